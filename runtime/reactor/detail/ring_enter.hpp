// SPDX-License-Identifier: BSD-3-Clause
// What surrounds an io_uring_enter: is one needed, for how long may it wait, what does its answer mean.
//
// Functions without state, on the ring that they are given. Used on the ring's thread.
#pragma once

#include <cerrno>
#include <chrono>
#include <system_error>

#include <liburing.h>

namespace fluxnet::detail {

/// Tells whether the kernel has completions that only an enter brings into the queue.
[[nodiscard]] inline bool has_deferred(const io_uring& ring) noexcept {
    return (__atomic_load_n(ring.sq.kflags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/// Has completions counted in an eventfd. Throws std::system_error when the kernel refuses. Where a completion comes from a
/// write to another eventfd the kernel counts later, and Linux 6.18 does that once only for each registration.
inline void register_eventfd(io_uring& ring, int fd) {
    const int answer = io_uring_register_eventfd(&ring, fd);
    if (answer < 0) { throw std::system_error(-answer, std::generic_category(), "give the io_uring an eventfd"); }
}

/// Has completions counted in the ring's eventfd, or not. An exchange, so that the kernel sees the flag before the caller
/// looks for completions: either the caller finds one or the kernel tells it.
inline void notify_eventfd(io_uring& ring, bool on) noexcept {
    if (ring.cq.kflags == nullptr) { return; }  // Linux before 5.8 always tells
    __atomic_exchange_n(ring.cq.kflags, on ? 0U : unsigned{IORING_CQ_EVENTFD_DISABLED}, __ATOMIC_SEQ_CST);
}

/// Returns how long it is until `deadline`; nothing when it has passed.
[[nodiscard]] inline __kernel_timespec time_until(std::chrono::steady_clock::time_point deadline) noexcept {
    // Compared before they are subtracted: the earliest time there is lies further back than a duration reaches.
    const auto now = std::chrono::steady_clock::now();
    const auto left = deadline > now ? deadline - now : std::chrono::steady_clock::duration::zero();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    return {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
}

/// Throws std::system_error for an answer that the reactor cannot go on after.
inline void check_enter(int answer) {
    // ETIME: the deadline; EINTR: a signal; EAGAIN and EBUSY: the kernel wants completions reaped first.
    if (answer >= 0 || answer == -ETIME || answer == -EINTR || answer == -EAGAIN || answer == -EBUSY) { return; }
    throw std::system_error(-answer, std::generic_category(), "io_uring_enter");
}

}  // namespace fluxnet::detail
