// SPDX-License-Identifier: BSD-3-Clause
// `doorbell`: how a thread whose queues are empty sleeps until somebody has pushed to one of them.
//
// One thread waits, any number of threads ring. Ringing costs an exchange, and a write(2) only when the other one sleeps.
//
// No ring is lost. The waiter sets `asleep_` and then looks at its queues once more; whoever rings has pushed before it
// clears `asleep_`. Both are exchanges, so one of them comes first. If the ringer's does, the waiter's exchange acquires
// what the ringer released, and its second look finds the packet. If the waiter's does, the ringer reads true and writes to
// the descriptor, which ends the poll. A write that comes too late ends the next wait early, no more. `asleep_` is changed
// by exchanges only: a plain store between them would break the chain that hands over the ringer's writes.
#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace load_balancer {

class doorbell {
public:
    static constexpr std::chrono::milliseconds for_ever{-1};

    doorbell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (fd_ < 0) { throw std::system_error(errno, std::generic_category(), "eventfd"); }
    }
    doorbell(const doorbell&) = delete;
    doorbell& operator=(const doorbell&) = delete;
    ~doorbell() { ::close(fd_); }

    /// Wakes the waiter, if it sleeps.
    void ring() noexcept {
        if (!asleep_.exchange(false, std::memory_order_acq_rel)) { return; }
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
    }

    /// Sleeps until ring(), or until `limit` has passed; not at all unless `idle()` is true.
    template <class Predicate>
    void wait(Predicate idle, std::chrono::milliseconds limit = for_ever) {
        asleep_.exchange(true, std::memory_order_acq_rel);
        pollfd rung{fd_, POLLIN, 0};
        if (idle() && ::poll(&rung, 1, static_cast<int>(limit.count())) > 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto taken = ::read(fd_, &count, sizeof count);
        }
        asleep_.exchange(false, std::memory_order_acq_rel);
    }

private:
    int fd_;
    std::atomic<bool> asleep_ = false;
};

}  // namespace load_balancer
