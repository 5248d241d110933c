// SPDX-License-Identifier: BSD-3-Clause
// `ring_wakeup`: the eventfd by which other threads end the wait of the thread that drives an io_uring.
//
// Part of the io_uring reactor and used on its thread, except wake(): any thread, also in a signal handler. A wake-up is a
// write to the eventfd. The reactor waits in one of two ways.
//
// In the ring. A request for the eventfd is in flight. Where one thread drives the ring it is a multi-shot poll: each write
// to the eventfd is one completion or joins one that has not been taken. The poll is edge-triggered, so nobody reads the
// eventfd, and a wake-up costs the waiting thread no request. The counter that is never read holds 2^64 writes. Where
// threads take turns it is a READ, armed anew for each wait, because the kernel carries out a request on the thread that
// handed it over: with a poll that would always be the first one, whatever that does now. So it is on Linux before 5.13,
// which knows no multi-shot poll.
//
// In another loop, which watches the eventfd itself. The kernel adds to it with each completion, or each piece of work that
// only an enter completes. A flag in the ring tells the kernel not to while nobody waits so. Such an addition ends the
// multi-shot poll of that eventfd, should one be in flight (the kernel breaks the circle); it is armed at the next wait in
// the ring.
#pragma once

#include "fluxnet/runtime/reactor/reactor.hpp"

#include <cstdint>

#include <liburing.h>

namespace fluxnet::detail {

class ring_wakeup {
public:
    static constexpr std::uint64_t tag = 1;  ///< The user_data of its request.

    /// Throws std::system_error when the kernel gives no eventfd.
    explicit ring_wakeup(reactor_threads threads);
    ring_wakeup(const ring_wakeup&) = delete;
    ring_wakeup& operator=(const ring_wakeup&) = delete;
    ~ring_wakeup();

    /// Any thread. One system call.
    void wake() const noexcept;

    [[nodiscard]] int fd() const noexcept { return fd_; }

    /// A wake-up has come since the last forget().
    [[nodiscard]] bool woken() const noexcept { return woken_; }
    void forget() noexcept { woken_ = false; }

    // For a wait in the ring:

    /// The request is in flight.
    [[nodiscard]] bool armed() const noexcept { return armed_; }
    /// Fills in the request, which is armed then.
    void arm(io_uring_sqe& entry) noexcept;
    /// Takes a completion of the request, of whatever result: a cancelled request tells of a thread that has ended, and the
    /// wake-up that found it out must not be lost.
    void take(const io_uring_cqe& completion) noexcept;

    // For a wait in another loop:

    /// Has the ring count completions in the eventfd, anew if it has counted. Throws std::system_error when the kernel
    /// refuses.
    void count_completions(io_uring& ring);
    /// Empties the eventfd.
    void empty() noexcept;

private:
    const int fd_;
    bool multishot_;
    bool armed_ = false;
    bool woken_ = false;
    bool counts_ = false;      // the ring has the eventfd
    bool counted_ = false;     // and has added to it since
    std::uint64_t value_ = 0;  // the kernel writes here while a READ is armed
};

}  // namespace fluxnet::detail
