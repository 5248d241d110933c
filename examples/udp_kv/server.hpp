// SPDX-License-Identifier: BSD-3-Clause
// serve(): answers what comes to any `datagram_socket`: that of a host in user space, the kernel's, or one in memory.
//
//     kv_service store;
//     const std::error_code ended = co_await serve(socket, store);  // until the task is cancelled, or the socket fails
//
// A few coroutines take turns to receive, and each sends its own answer: sending to a neighbour that does not exist takes
// time, in which the others go on. Nothing is allocated for a datagram but what the service keeps, and the limit of a send.
//
// Threads: that of the executor. The socket and the service outlive the task.
#pragma once

#include "examples/udp_kv/kv_service.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace kv_example {

constexpr unsigned workers = 16;
constexpr std::chrono::milliseconds longest_send{250};

/// Who receives next, and how the socket has ended.
struct receiving {
    fluxnet::mutex turn;
    std::error_code ended;
};

template <fluxnet::datagram_socket S>
fluxnet::task<void> work(S& socket, kv_service& of, receiving& shared) {
    std::array<std::byte, max_datagram> room;
    std::string answer;
    for (;;) {
        fluxnet::datagram_result got;
        {
            const auto mine = co_await shared.turn.lock();
            got.ec = mine.error();
            if (mine) { got = co_await socket.recv_from(room); }
        }
        if (got.ec && got.ec != std::errc::message_size) {
            if (!shared.ended) { shared.ended = got.ec; }
            co_return;
        }
        try {
            const std::string_view asked(reinterpret_cast<const char*>(room.data()), got.ec ? 0 : got.n);
            answer = of.answer(asked, got.from, fluxnet::executor::current()->now());
        } catch (const std::bad_alloc&) {
            of.note_ignored();  // the client asks again
            continue;
        }
        if (answer.empty()) { continue; }
        const auto sent =
            co_await fluxnet::timeout(longest_send, socket.send_to(std::as_bytes(std::span(answer)), got.from));
        if (sent.value.ec) { of.note_unsent(); }
    }
}

/// Forgets each client when its time has come.
inline fluxnet::task<void> forget_silent_clients(kv_service& of) {
    for (;;) {
        const auto now = fluxnet::executor::current()->now();
        of.expire(now);
        const auto next = of.clients().next_expiry().value_or(now + of.clients().idle());
        const fluxnet::wait_result canceled = co_await fluxnet::sleep_until(next);
        if (canceled) { co_return; }
    }
}

/// Completes with how the socket has ended; operation_canceled when the task was cancelled.
template <fluxnet::datagram_socket S>
fluxnet::task<std::error_code> serve(S& socket, kv_service& of) {
    receiving shared;
    fluxnet::scope all;
    all.spawn(forget_silent_clients(of));
    fluxnet::scope receivers;
    for (unsigned i = 0; i != workers; ++i) { receivers.spawn(work(socket, of, shared)); }
    static_cast<void>(co_await receivers.join());
    all.request_stop();
    static_cast<void>(co_await all.join());
    co_return shared.ended;
}

}  // namespace kv_example
