// SPDX-License-Identifier: BSD-3-Clause
// `epoll_waiter`: waits for an executor as somebody else's epoll loop does.
//
// Owned by one test. Used on one thread at a time, for one executor.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <optional>

namespace fluxnet::test {

class epoll_waiter {
public:
    /// Waits until the plan's descriptor is readable, or its deadline or `limit` has passed; returns whether it is readable.
    bool wait(const sleep_plan& plan, std::optional<std::chrono::nanoseconds> limit = std::nullopt) {
        watch(plan.fd);
        if (plan.deadline) {
            const std::chrono::nanoseconds left = *plan.deadline - std::chrono::steady_clock::now();
            limit = std::clamp(left, std::chrono::nanoseconds::zero(), limit.value_or(std::chrono::nanoseconds::max()));
        }
        timespec timeout{};
        if (limit) { timeout = {limit->count() / 1'000'000'000, limit->count() % 1'000'000'000}; }
        epoll_event event{};
        const int ready = ::epoll_pwait2(epoll_.get(), &event, 1, limit ? &timeout : nullptr, nullptr);
        if (ready < 0 && errno != EINTR) { detail::throw_errno("wait for an executor"); }
        return ready == 1;
    }

private:
    void watch(int fd) {
        if (watched_) { return; }
        epoll_event event{.events = EPOLLIN, .data = {}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) { detail::throw_errno("watch an executor"); }
        watched_ = true;
    }

    detail::file_descriptor epoll_ = detail::file_descriptor::checked(::epoll_create1(EPOLL_CLOEXEC), "make an epoll");
    bool watched_ = false;
};

}  // namespace fluxnet::test
