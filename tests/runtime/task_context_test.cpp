// SPDX-License-Identifier: BSD-3-Clause
// A stop that another thread requests, and a strand that goes from one executor to another: driven by hand, on one thread,
// so that the moment at which the stop is posted is known.
#include "fluxnet/runtime/core/task_context.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "tests/xsk/dies.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Two executors that the test drives by turns.
struct two_executors {
    event done{};  // before the executors, whose frames refer to it
    executor home{};
    executor away{};

    void turns() {
        for (int i = 0; i < 8; ++i) {
            home.poll();
            away.poll();
        }
    }

    /// Has another thread stop what was spawned at home; the requests are posted, and have not been looked at elsewhere.
    void request_stop_elsewhere() {
        std::thread([this] { home.request_stop(); }).join();
        home.poll();
    }
};

/// How a task's awaits ended.
using outcomes = std::vector<std::error_code>;

task<void> wait_away(two_executors& all, outcomes& seen) {
    const wait_result gone = co_await schedule_on(all.away);
    seen.push_back(gone);
    const wait_result waited = co_await all.done.wait();
    seen.push_back(waited);
}

task<void> wait_away_under_a_limit(two_executors& all, outcomes& seen) {
    const timed<void> ended = co_await timeout(1h, wait_away(all, seen));
    CHECK_FALSE(ended.expired);
    CHECK(executor::current() == &all.home);
    const wait_result slept = co_await sleep_for(1h);
    seen.push_back(slept);
}

}  // namespace

TEST_CASE("a stop from another executor reaches what a task awaits where it is") {
    two_executors all;
    outcomes seen;
    all.home.spawn(wait_away(all, seen));
    all.turns();
    all.request_stop_elsewhere();
    CHECK(seen.size() == 1);
    all.turns();
    CHECK(seen == outcomes{no_error, errc::operation_canceled});
    CHECK_FALSE(all.home.has_work());
}

TEST_CASE("a stop that is posted to an executor which the task leaves first ends what it awaits elsewhere") {
    two_executors all;
    outcomes seen;
    all.home.spawn(wait_away_under_a_limit(all, seen));
    all.turns();
    all.done.set();  // is posted first: the wait ends well, and the task goes home before the stop is looked at
    all.request_stop_elsewhere();
    all.turns();
    CHECK(seen == outcomes{no_error, no_error, errc::operation_canceled});
    CHECK_FALSE(all.home.has_work());
}

TEST_CASE("a task that ends elsewhere leaves no stop in the executor that it ends on") {
    two_executors all;
    outcomes seen;
    all.home.spawn(wait_away(all, seen));
    all.turns();
    all.done.set();
    all.request_stop_elsewhere();
    all.turns();
    CHECK(seen == outcomes{no_error, no_error});
    CHECK_FALSE(all.home.has_work());
    all.away.poll();
}

TEST_CASE("a task that was stopped from another thread before it began awaits nothing") {
    executor loop;
    outcomes seen;
    loop.spawn([](outcomes& ends) -> task<void> {
        const wait_result slept = co_await sleep_for(1h);
        ends.push_back(slept);
    }(seen));
    std::thread([&] { loop.request_stop(); }).join();
    loop.run();
    CHECK(seen == outcomes{errc::operation_canceled});
}

TEST_CASE("a task may be moved while it is awaited") {
    executor loop;
    event done;
    std::optional<int> got;
    auto first = std::make_unique<task<int>>([](event& until) -> task<int> {
        const wait_result waited = co_await until.wait();
        co_return waited ? 0 : 7;
    }(done));
    loop.spawn([](task<int>& awaited, std::optional<int>& value) -> task<void> { value = co_await awaited; }(*first, got));
    loop.poll();
    loop.poll();
    task<int> second = std::move(*first);
    first.reset();
    SUBCASE("and its value reaches the awaiting coroutine") {
        done.set();
        loop.run();
        CHECK(got == 7);
    }
    SUBCASE("and is destroyed with what awaits it") {
        loop.discard_tasks();
        CHECK(loop.tasks().empty());
        CHECK_FALSE(second);
    }
}

TEST_CASE("an executor's tasks are not discarded inside its run(), where the caller may be one of them") {
    executor loop;
    std::error_code refused;
    loop.spawn([](executor& here, std::error_code& why) -> task<void> {
        try {
            here.discard_tasks();
        } catch (const std::system_error& error) { why = error.code(); }
        co_return;
    }(loop, refused));
    loop.run();
    CHECK(refused == errc::already_running);
}

TEST_CASE("a program whose executor is destroyed by its own task ends with a message") {
    CHECK(dies([] {
        auto loop = std::make_unique<executor>();
        loop->post([&] { loop.reset(); });
        executor::work_guard until(*loop);
        loop->run();
    }));
}
