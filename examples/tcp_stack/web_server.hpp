// SPDX-License-Identifier: BSD-3-Clause
// serve_web(): serves a folder over HTTP/1.1, and serve_echo() sends back what comes; over any `listener`: that of a host in
// user space, or the kernel's.
//
//     site here{.root = "/srv"};
//     co_await serve_web(door, here);  // until the task is cancelled
//
// GET and HEAD of a file below the root, and of /bytes/N: N octets that are made as they are sent. One coroutine for each
// connection, which has 64 KiB of memory, however long a file is. Every wait for a client has a limit.
//
// Threads: that of the executor. The site outlives the tasks.
#pragma once

#include "examples/http_counters/request_reader.hpp"
#include "examples/tcp_stack/content.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tcp_example {

constexpr std::chrono::seconds patience{60};

struct site {
    std::string root;
    std::uint64_t connections = 0;
    std::uint64_t requests = 0;
    std::uint64_t octets = 0;  ///< Of bodies, and those that were sent back.
};

/// Sends the body of an answer. Returns whether all of it went.
template <fluxnet::stream S>
fluxnet::task<bool> send_body(S& peer, content& body, site& at) {
    std::vector<std::byte> room(std::min<std::uint64_t>(body.length(), 65'536));
    for (std::uint64_t done = 0; done != body.length();) {
        const auto part = std::span(room).first(std::min<std::uint64_t>(room.size(), body.length() - done));
        const std::size_t filled = co_await body.fill(part, done);
        if (filled == 0) { co_return false; }  // the file has shrunk meanwhile
        const auto sent = co_await fluxnet::timeout(patience, peer.write(part.first(filled)));
        at.octets += sent.value.n;
        done += sent.value.n;
        if (sent.value.ec) { co_return false; }
    }
    co_return true;
}

/// Answers one request. Returns whether the connection may go on.
template <fluxnet::stream S>
fluxnet::task<bool> answer(S& peer, const http_example::http_request& asked, site& at) {
    ++at.requests;
    content body = co_await find_content(at.root, asked);
    const std::string head = body.head(asked);
    const auto sent = co_await fluxnet::timeout(patience, peer.write(std::as_bytes(std::span(head))));
    if (sent.value.ec) { co_return false; }
    if (asked.method == http_example::http_request::verb::head) { co_return asked.keep_alive; }
    const bool whole = co_await send_body(peer, body, at);
    co_return whole && asked.keep_alive;
}

template <fluxnet::stream S>
fluxnet::task<void> attend(S peer, site& at) {
    http_example::request_reader reader;
    for (bool goes_on = true; goes_on;) {
        while (!reader.ready()) {
            const auto got = co_await fluxnet::timeout(patience, peer.read(reader.room()));
            if (got.value.ec) { co_return; }
            reader.received(got.value.n);
        }
        const http_example::http_request asked = reader.take();
        goes_on = co_await answer(peer, asked, at);
    }
    // A stream that is closed with octets unread is reset, and the client might lose the last answer by that.
    const fluxnet::wait_result ended = co_await peer.shutdown_write();
    std::array<std::byte, 1024> dropped;
    for (bool more = !ended; more;) {
        const auto got = co_await fluxnet::timeout(std::chrono::seconds(1), peer.read(dropped));
        more = !got.value.ec;
    }
}

/// Sends back what comes, out of the memory that it came in.
template <fluxnet::stream S>
fluxnet::task<void> echo(S peer, site& at) {
    for (;;) {
        const auto lent = co_await peer.read_borrowed();
        if (lent.ec) { co_return; }
        const auto sent = co_await fluxnet::timeout(patience, peer.write(lent.buffer.bytes()));
        at.octets += sent.value.n;
        if (sent.value.ec) { co_return; }
    }
}

template <fluxnet::listener L, class Attend>
fluxnet::task<void> accept_all(L& door, site& at, Attend each) {
    fluxnet::scope connections;
    for (;;) {
        auto next = co_await door.accept();
        if (!next && next.error().code == fluxnet::errc::operation_canceled) { break; }
        if (!next) {
            std::fprintf(stderr, "%s\n", next.error().message().c_str());
            if (next.error().code == fluxnet::errc::closed || next.error().code == fluxnet::errc::interface_gone) { break; }
            continue;
        }
        ++at.connections;
        connections.spawn(each(std::move(*next), at));
    }
}

template <fluxnet::listener L>
fluxnet::task<void> serve_web(L& door, site& at) {
    using stream_type = typename decltype(fluxnet::detail::awaiter_of(door.accept()).await_resume())::value_type;
    return accept_all(door, at, attend<stream_type>);
}

template <fluxnet::listener L>
fluxnet::task<void> serve_echo(L& door, site& at) {
    using stream_type = typename decltype(fluxnet::detail::awaiter_of(door.accept()).await_resume())::value_type;
    return accept_all(door, at, echo<stream_type>);
}

}  // namespace tcp_example
