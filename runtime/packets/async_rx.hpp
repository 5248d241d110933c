// SPDX-License-Identifier: BSD-3-Clause
// `async_rx`: an rx bound to an executor, so that coroutines there can await packets.
//
//     auto sockets = open_async(loop, builder("eth0")).value();
//     std::array<packet, 64> burst;
//     const auto [ec, n] = co_await sockets.rx.recv(burst);  // burst[0] to burst[n - 1] are the program's until dropped
//     if (ec) { co_return; }                                 // cancelled, or the interface is gone
//
// Threads: used and destroyed on the executor's thread, or while no thread runs the executor.
//
// Owns the rx. While coroutines sleep the executor keeps one one-shot poll armed on the socket. The poll belongs to the
// handle, not to an await, and is armed only when the ring is dry and the thread is about to sleep. The executor also stocks
// the fill ring after every turn, and is woken by the first frame that another thread returns while the fill ring runs low.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/packets/move_awaiter.hpp"
#include "fluxnet/runtime/packets/receive_operation.hpp"
#include "fluxnet/xsk/rx.hpp"

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>

namespace fluxnet {

namespace detail {
class rx_service;
}

/// Every await on a handle that was moved from ends at once with `closed`.
class FLUXNET_EXPORT async_rx {
public:
    class [[nodiscard]] recv_awaiter;

    /// Binds `socket`. Must be called in the network namespace of its interface. Throws std::system_error when no
    /// rtnetlink socket can be had.
    async_rx(executor& on, rx socket);
    async_rx(async_rx&&) noexcept;
    async_rx& operator=(async_rx&&) noexcept;

    /// Takes the poll back from the kernel, waits for its last completion, and closes its half of the socket. An await
    /// under way ends with `closed`.
    ~async_rx();

    /// Receives packets: completes with n >= 1 packets at the front of `into`, at once when the ring has some, else when
    /// they arrive. Drops what `into` held, at the end of the turn at the latest, so that no frame is kept while waiting.
    /// One coroutine waits at a time. `into` must stay valid until it completes; with an empty one n is 0, without waiting
    /// for packets. Resumes on the bound executor. Fairness: a coroutine that has received its share of packets this turn
    /// lets others run first. Errors: operation_canceled (nothing was taken from the ring), interface_gone,
    /// program_detached, ring_corruption, closed, handle_in_use (another coroutine waits), wrong_executor (it would have to
    /// wait on another executor than the bound one). A detached program is noticed with the next news of the interface: the
    /// kernel announces deletions and link changes, not that. A link that is down is no error: it stays pending and goes on
    /// when the link is up again.
    [[nodiscard]] recv_awaiter recv(std::span<packet> into) noexcept;

    /// Receives one packet into `into`.
    [[nodiscard]] recv_awaiter recv(packet& into) noexcept;

    /// Waits until there is something to receive, and takes nothing: n is 0. Otherwise as recv(), which does not wait then.
    [[nodiscard]] recv_awaiter wait() noexcept;

    /// Hands the handle over to `target` and goes on there, on its thread: the poll is taken back from the kernel, frames
    /// that come back wake the target, and so does the news of the interface. No other coroutine may await the handle, nor
    /// use it before this completes. The former executor need not outlive the handle any more. Blocks for microseconds;
    /// allocates when the target first hears of a network namespace. `target` must run until the task has ended or gone
    /// elsewhere. Errors: operation_canceled, when the task was asked to stop before, and then nothing has changed;
    /// handle_in_use, wrong_executor (awaited on another than the bound one), likewise. interface_not_found, when the
    /// target's thread is in another network namespace, not_in_virtual_time, system_failure: the task goes on there, but the
    /// handle belongs to no executor; see move_awaiter.hpp for what that means. Before Linux 5.14 namespaces cannot be told
    /// apart: a handle that goes to a thread in another one does not hear of its interface's end then. Not under timeout():
    /// the coroutine would come back and leave the handle there, as a task under a time limit that awaits this does.
    [[nodiscard]] move_awaiter move_to(executor& target) noexcept;

    /// The receiving half itself, for its observers; not of a handle that was moved from.
    [[nodiscard]] rx& socket() noexcept;
    [[nodiscard]] const rx& socket() const noexcept;

    /// Lets packets end the executor's sleep even while no coroutine awaits them, for somebody who takes them with
    /// try_recv() at every turn.
    void listen(bool wanted) noexcept;

    /// Times that the socket's poll woke the executor; 0 of a handle that was moved from.
    [[nodiscard]] std::uint64_t wakeups() const noexcept;

private:
    std::unique_ptr<detail::rx_service> service_;
};

class [[nodiscard]] async_rx::recv_awaiter final : private detail::receive_operation {
public:
    /// `waits`: for packets to come, if none are there.
    recv_awaiter(detail::rx_service* service, std::span<packet> into, bool waits) noexcept;

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        suspend_and_wait(waiting, waits_);
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "async_rx::recv"; }
    friend detail::rx_service;

    void drop_held(rx& socket) noexcept;

    std::span<packet> into_;
    const bool waits_;
    bool holds_ = true;  // packets from before, perhaps; until the turn ends without new ones
};

inline async_rx::recv_awaiter async_rx::recv(packet& into) noexcept {
    return recv(std::span(&into, 1));
}

}  // namespace fluxnet
