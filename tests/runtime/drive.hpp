// SPDX-License-Identifier: BSD-3-Clause
// Drives an executor by an epoll loop of the test's own, whose calls come from two threads in turn.
//
// Used on one thread, which makes every second call itself and leaves the others to threads that it waits for.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"

#include <doctest/doctest.h>

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

namespace fluxnet::test {

/// Makes each call on another thread than the one before.
class taking_turns {
public:
    template <class F>
    void operator()(F call) {
        elsewhere_ = !elsewhere_;
        if (elsewhere_) {
            std::thread(call).join();
        } else {
            call();
        }
    }

private:
    bool elsewhere_ = false;
};

/// Waits as a loop of epoll does. Returns whether the descriptor became readable before the deadline, or `limit`.
inline bool wait_for(const sleep_plan& plan, std::chrono::milliseconds limit) {
    if (plan.deadline) {
        const auto left = *plan.deadline - std::chrono::steady_clock::now();
        limit = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(0), limit);
    }
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    REQUIRE(::epoll_ctl(set, EPOLL_CTL_ADD, plan.fd, &event) == 0);
    const int ready = ::epoll_wait(set, &event, 1, static_cast<int>(limit.count()));
    ::close(set);
    return ready == 1;
}

/// Drives `loop` until `done()` says so after a poll().
template <class Done>
void drive_by_turns(executor& loop, Done done) {
    taking_turns call;
    for (;;) {
        bool again = false;
        call([&] { again = loop.poll(); });
        if (done()) { return; }
        if (again) { continue; }
        std::optional<sleep_plan> plan;
        call([&] { plan = loop.prepare_sleep(); });
        if (!plan) { continue; }
        wait_for(*plan, std::chrono::seconds(60));
        call([&] { loop.after_sleep(); });
    }
}

}  // namespace fluxnet::test
