// SPDX-License-Identifier: BSD-3-Clause
// ask(): asks a udp_kv service over any `datagram_socket`, again when no answer comes, and gives up in the end.
//
//     const asked got = co_await ask(socket, to, 17, "GET colour");
//     if (!got.ec && got.how == outcome::ok) { use(got.text); }
//
// The same number goes with each try, so that the service does once what was asked several times. Datagrams from elsewhere
// and answers to other numbers are not looked at.
//
// Threads: that of the executor. The socket outlives the task; nobody else receives on it meanwhile.
#pragma once

#include "examples/udp_kv/protocol.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace kv_example {

struct ask_options {
    std::chrono::nanoseconds first_wait =
        std::chrono::milliseconds(200);  ///< Each try waits twice as long as the one before.
    unsigned tries = 6;
};

struct asked {
    std::error_code ec;  ///< timed_out (std::errc), or what has ended the socket or the task.
    outcome how = outcome::error;
    std::string text;
    unsigned tries = 0;
};

/// Waits for the answer to `id`.
template <fluxnet::datagram_socket S>
fluxnet::task<std::error_code> await_answer(S& socket, const fluxnet::proto::ip_endpoint& from, std::uint64_t id,
                                            asked& into) {
    std::array<std::byte, max_datagram> room;
    for (;;) {
        const fluxnet::datagram_result got = co_await socket.recv_from(room);
        if (got.ec == std::errc::message_size) { continue; }
        if (got.ec) { co_return got.ec; }
        const auto read = read_reply(std::string_view(reinterpret_cast<const char*>(room.data()), got.n));
        if (got.from != from || !read || read->id != id) { continue; }
        into.how = read->how;
        into.text = read->text;
        co_return std::error_code();
    }
}

template <fluxnet::datagram_socket S>
fluxnet::task<asked> ask(S& socket, fluxnet::proto::ip_endpoint to, std::uint64_t id, std::string what,
                         ask_options options = {}) {
    const std::string request = std::to_string(id) + " " + what;
    asked told;
    std::chrono::nanoseconds wait = options.first_wait;
    while (told.tries != options.tries) {
        ++told.tries;
        // What could not be sent now may be sent later: the neighbour may appear.
        const fluxnet::io_result sent = co_await socket.send_to(std::as_bytes(std::span(request)), to);
        const auto got = co_await fluxnet::timeout(wait, await_answer(socket, to, id, told));
        told.ec = got.value;
        if (!got.expired || !got.value) { break; }
        told.ec = sent.ec ? sent.ec : std::make_error_code(std::errc::timed_out);
        wait *= 2;
    }
    co_return told;
}

}  // namespace kv_example
