// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/executor_group.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/xsk/dies.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>

using namespace fluxnet;
using namespace std::chrono_literals;

TEST_CASE("each executor of a group runs on a thread of its own that keeps to its CPU") {
    executor_group group;
    cpu_set_t allowed;
    REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    CHECK(group.size() == static_cast<std::size_t>(CPU_COUNT(&allowed)));
    std::vector<std::thread::id> threads(group.size());
    std::vector<int> cpus(group.size());
    for (std::size_t i = 0; i < group.size(); ++i) {
        group.spawn(i, [&, i]() -> task<void> {
            threads[i] = std::this_thread::get_id();
            cpu_set_t mine;
            CHECK(::sched_getaffinity(0, sizeof mine, &mine) == 0);
            CHECK(CPU_COUNT(&mine) == 1);
            cpus[i] = ::sched_getcpu();
            CHECK(executor::current() == &group[i]);
            co_return;
        });
    }
    group.run();
    CHECK(std::set<std::thread::id>(threads.begin(), threads.end()).size() == group.size());
    CHECK(std::set<int>(cpus.begin(), cpus.end()).size() == group.size());
}

TEST_CASE("a group ends when the last task has") {
    {
        executor_group nothing_to_do({.size = 2});
        nothing_to_do.run();
    }
    executor_group group({.size = 3, .pinned = false});
    std::atomic<int> ended = 0;
    channel<int> between(2);
    group.spawn(0, [&]() -> task<void> {
        for (int i = 0; i < 100; ++i) {
            int value = i;
            static_cast<void>(co_await between.send(value));
        }
        between.close();
        ++ended;
    });
    group.spawn(2, [&]() -> task<void> {
        int value = 0;
        for (;;) {
            const io_result got = co_await between.recv(value);
            if (got.ec) { break; }
            if (value % 10 == 0) {
                static_cast<void>(co_await schedule_on(group[1]));
                static_cast<void>(co_await schedule_on(group[2]));
            }
        }
        ++ended;
    });
    group.run();
    CHECK(ended == 2);
}

TEST_CASE("an exception on one executor cancels the tasks of all and comes out of run") {
    executor_group group({.size = 2, .pinned = false});
    bool canceled = false;
    group.spawn(0, [&]() -> task<void> {
        const std::error_code waited = co_await sleep_for(10s);
        canceled = waited == errc::operation_canceled;
    });
    group.spawn(1, []() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        throw std::runtime_error("failed on purpose");
    });
    CHECK_THROWS_AS(group.run(), std::runtime_error);
    CHECK(canceled);
}

TEST_CASE("tasks spread over executors are destroyed with the group") {
    auto alive = std::make_shared<int>(0);
    {
        executor_group group({.size = 2, .pinned = false});
        for (std::size_t i = 0; i < 2; ++i) {
            group.spawn(i, [&, i, alive]() -> task<void> {
                static_cast<void>(co_await schedule_on(group[1 - i]));
                static_cast<void>(co_await sleep_for(1ms));
                group[0].stop();
                group[1].stop();
                static_cast<void>(co_await sleep_for(10s));
            });
        }
        group.run();
        CHECK(alive.use_count() > 1);
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("a group takes plain tasks and function objects that can only be moved, of any result") {
    executor_group group({.size = 2, .pinned = false});
    std::atomic<int> sum = 0;
    const auto add = [&](int value) -> task<int> {
        sum += value;
        co_return value;
    };
    group.spawn(0, add(1));
    group.spawn(1, [](std::atomic<int>& into) -> task<void> {
        into += 10;
        co_return;
    }(sum));
    group.spawn(1, [&, owned = std::make_unique<int>(100)]() -> task<int> {
        const wait_result slept = co_await sleep_for(1ms);  // the function object is kept meanwhile
        CHECK_FALSE(slept);
        CHECK(executor::current() == &group[1]);
        sum += *owned;
        co_return *owned;
    });
    group.run();
    CHECK(sum == 111);
}

TEST_CASE("a group that never runs destroys what was spawned on it") {
    auto alive = std::make_shared<int>(0);
    {
        executor_group group({.size = 1, .pinned = false});
        group.spawn(0, [alive]() -> task<void> { co_return; });
        group.spawn(0, [](std::shared_ptr<int>) -> task<void> { co_return; }(alive));
        CHECK(alive.use_count() > 1);
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("a task that waits on another executor than its own ends when the group is asked to stop") {
    for (int round = 0; round < 50; ++round) {
        executor_group group({.size = 2, .pinned = false});
        bool canceled = false;
        group.spawn(0, [&]() -> task<void> {
            static_cast<void>(co_await schedule_on(group[1]));
            group.request_stop();
            const wait_result slept = co_await sleep_for(1h);
            canceled = slept == errc::operation_canceled;
        });
        group.run();
        CHECK(canceled);
    }
}

TEST_CASE("a task for an executor that a group does not have is refused with both numbers") {
    executor_group group({.size = 2, .pinned = false});
    std::string told;
    try {
        group.spawn(7, []() -> task<void> { co_return; });
    } catch (const std::out_of_range& refused) { told = refused.what(); }
    CHECK(told.find("executor 7 of a group of 2") != std::string::npos);
    if (fluxnet::test::asserts) {
        CHECK(fluxnet::test::dies([&] { static_cast<void>(group[2]); }));
    }
    group.run();  // and waits for nothing that was refused
}

TEST_CASE("a group that has run says so when it is run again") {
    executor_group group({.size = 2, .pinned = false});
    group.run();
    std::string told;
    try {
        group.run();
    } catch (const std::logic_error& refused) { told = refused.what(); }
    CHECK(told.find("has run before") != std::string::npos);
}
