// SPDX-License-Identifier: BSD-3-Clause
// `async_raw`: a raw socket bound to an executor, so that coroutines there can await descriptors.
//
// Threads: used and destroyed on the executor's thread, or while no thread runs the executor.
//
// Owns the raw_socket. It does for the user only what a sleep needs. While a coroutine waits, the executor keeps one
// one-shot poll armed on the socket, armed only when the RX ring is dry and the thread is about to sleep. The kernel is
// woken then if it asks for that and frames wait in the fill ring. Fill, TX and completion rings are the user's, through
// socket(), and so is every frame: the handle neither refills, nor kicks TX, nor reaps.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/packets/move_awaiter.hpp"
#include "fluxnet/runtime/packets/receive_operation.hpp"
#include "fluxnet/xsk/raw_socket.hpp"

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>

namespace fluxnet {

namespace detail {
class raw_service;
}

/// Every await on a handle that was moved from ends at once with `closed`.
class FLUXNET_EXPORT async_raw {
public:
    class [[nodiscard]] recv_awaiter;

    /// Binds `socket`. Must be called in the network namespace of its interface. Throws std::system_error when no
    /// rtnetlink socket can be had.
    async_raw(executor& on, raw_socket socket);
    async_raw(async_raw&&) noexcept;
    async_raw& operator=(async_raw&&) noexcept;

    /// Takes the poll back from the kernel, waits for its last completion, and closes the socket. An await under way ends
    /// with `closed`.
    ~async_raw();

    /// Receives descriptors: completes with n >= 1 of them at the front of `into`, copied as the kernel wrote them and
    /// released from the RX ring, at once when the ring has some, else when they arrive (none when the program itself has
    /// emptied the ring before the coroutine resumed). Their frames are the user's then,
    /// until given to the fill or the TX ring. One coroutine waits at a time, and no claim of the RX ring may be open.
    /// `into` must stay valid until it completes; with an empty one n is 0, without waiting for descriptors. Resumes on the
    /// bound executor. Allocates nothing. Fairness: a coroutine that has received its share of packets this turn lets others
    /// run first. Errors: operation_canceled (nothing was taken from the ring), interface_gone, program_detached (noticed
    /// with the next news of the interface), ring_corruption, closed, handle_in_use (another coroutine waits),
    /// wrong_executor (it would have to wait on another executor than the bound one). A link that is down is no error: it
    /// stays pending.
    [[nodiscard]] recv_awaiter recv_batch(std::span<xdp_desc> into) noexcept;

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

    /// The socket with its four rings; not of a handle that was moved from.
    [[nodiscard]] raw_socket& socket() noexcept;
    [[nodiscard]] const raw_socket& socket() const noexcept;

    /// Times that the socket's poll woke the executor; 0 of a handle that was moved from.
    [[nodiscard]] std::uint64_t wakeups() const noexcept;

private:
    std::unique_ptr<detail::raw_service> service_;
};

class [[nodiscard]] async_raw::recv_awaiter final : private detail::receive_operation {
public:
    recv_awaiter(detail::raw_service* service, std::span<xdp_desc> into) noexcept;

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        suspend_and_wait(waiting, !into_.empty());
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "async_raw::recv_batch"; }

    std::span<xdp_desc> into_;
};

}  // namespace fluxnet
