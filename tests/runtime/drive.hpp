// SPDX-License-Identifier: BSD-3-Clause
// Drives an executor by an epoll loop of the test's own, whose calls come from two threads in turn.
//
// Used on one thread, which makes every second call itself and leaves the others to threads that it waits for.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/support/epoll_waiter.hpp"

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

/// Drives `loop` until `done()` says so after a poll().
template <class Done>
void drive_by_turns(executor& loop, Done done) {
    taking_turns call;
    epoll_waiter waiter;
    for (;;) {
        bool again = false;
        call([&] { again = loop.poll(); });
        if (done()) { return; }
        if (again) { continue; }
        std::optional<sleep_plan> plan;
        call([&] { plan = loop.prepare_sleep(); });
        if (!plan) { continue; }
        waiter.wait(*plan, std::chrono::seconds(60));
        call([&] { loop.after_sleep(); });
    }
}

}  // namespace fluxnet::test
