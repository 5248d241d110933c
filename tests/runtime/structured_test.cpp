// SPDX-License-Identifier: BSD-3-Clause
// Tasks beside each other: scopes, when_all and when_any, time limits, and moving between executors.
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/when.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer(int value, std::chrono::nanoseconds after = 0ns) {
    const std::error_code canceled = co_await sleep_for(after);
    co_return canceled ? -1 : value;
}

task<void> fail_after(std::chrono::nanoseconds after) {
    const std::error_code canceled = co_await sleep_for(after);
    if (!canceled) { throw std::runtime_error("failed on purpose"); }
}

}  // namespace

TEST_CASE("a scope ends after its children") {
    const int sum = sync_wait([]() -> task<int> {
        int total = 0;
        scope children;
        for (int i = 1; i <= 10; ++i) {
            children.spawn([&total, i]() -> task<void> {
                const std::error_code canceled = co_await sleep_for(std::chrono::microseconds(100 * (10 - i)));
                CHECK_FALSE(canceled);
                total += i;
            });
        }
        CHECK(children.running() == 10);
        const std::error_code ended = co_await children.join();
        CHECK_FALSE(ended);
        CHECK(children.running() == 0);
        co_return total;
    }());
    CHECK(sum == 55);
}

TEST_CASE("the first child that fails cancels the rest and its exception comes out of join") {
    bool canceled = false;
    const auto run = [&]() -> task<void> {
        scope children;
        children.spawn(fail_after(1ms));
        children.spawn([&]() -> task<void> {
            const std::error_code ended = co_await sleep_for(10s);
            canceled = ended == errc::operation_canceled;
        });
        static_cast<void>(co_await children.join());
    };
    CHECK_THROWS_AS(sync_wait(run()), std::runtime_error);
    CHECK(canceled);
}

TEST_CASE("a scope may await all of its children in spite of a failure") {
    bool ended = false;
    const auto run = [&]() -> task<void> {
        scope children(on_error::await_all);
        children.spawn(fail_after(1ms));
        children.spawn([&]() -> task<void> {
            const std::error_code canceled = co_await sleep_for(5ms);
            ended = !canceled;
        });
        static_cast<void>(co_await children.join());
    };
    CHECK_THROWS_AS(sync_wait(run()), std::runtime_error);
    CHECK(ended);
}

TEST_CASE("cancelling who joins cancels the children and join says so") {
    executor loop;
    std::error_code child;
    std::error_code joined;
    loop.spawn([&]() -> task<void> {
        scope children;
        children.spawn([&]() -> task<void> { child = co_await sleep_for(10s); });
        joined = co_await children.join();
    });
    loop.spawn([&]() -> task<void> {
        const std::error_code waited = co_await sleep_for(1ms);
        CHECK_FALSE(waited);
        loop.request_stop();
    });
    loop.run();
    CHECK(child == errc::operation_canceled);
    CHECK(joined == errc::operation_canceled);
}

TEST_CASE("an exception that leaves the parent destroys the children first") {
    auto alive = std::make_shared<int>(0);
    const auto run = [&]() -> task<void> {
        scope children;
        children.spawn([alive]() -> task<void> { static_cast<void>(co_await sleep_for(10s)); });
        static_cast<void>(co_await sleep_for(1ms));
        throw std::runtime_error("out");
    };
    CHECK_THROWS_AS(sync_wait(run()), std::runtime_error);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("when_all gives every value in order") {
    const auto values = sync_wait([]() -> task<std::tuple<int, int, std::monostate>> {
        auto all = when_all(answer(1, 2ms), answer(2, 1ms), fail_after(-1ns));
        static_cast<void>(all);
        auto other = when_all(answer(1, 2ms), answer(2, 1ms), []() -> task<void> { co_return; }());
        const auto got = co_await other;
        co_return got;
    }());
    CHECK(std::get<0>(values) == 1);
    CHECK(std::get<1>(values) == 2);
    const auto many = sync_wait([]() -> task<std::vector<int>> {
        std::vector<task<int>> work;
        for (int i = 0; i < 20; ++i) { work.push_back(answer(i, std::chrono::microseconds(500 - 20 * i))); }
        auto all = when_all(std::move(work));
        co_return co_await all;
    }());
    REQUIRE(many.size() == 20);
    for (int i = 0; i < 20; ++i) { CHECK(many[static_cast<std::size_t>(i)] == i); }
}

TEST_CASE("when_any gives the first value and cancels the rest") {
    const auto first = sync_wait([]() -> task<first_of<std::tuple<std::optional<int>, std::optional<std::monostate>>>> {
        auto any = when_any(answer(7, 1ms), fail_after(1h));
        co_return co_await any;
    }());
    CHECK(first.index == 0);
    CHECK(std::get<0>(first.values) == 7);
}

TEST_CASE("when_any hands out what all of its tasks had received and loses nothing") {
    executor loop;
    channel<int> one(1);
    channel<int> other(1);
    const auto receive = [](channel<int>& from) -> task<std::optional<int>> {
        int value = 0;
        const auto [ec, n] = co_await from.recv(value);
        if (n == 0) { co_return std::nullopt; }
        co_return value;
    };
    int received = 0;
    loop.spawn([&]() -> task<void> {
        // Both values are there before either task resumes.
        int value = 1;
        static_cast<void>(co_await one.send(value));
        static_cast<void>(co_await other.send(++value));
        auto any = when_any(receive(one), receive(other));
        const auto first = co_await any;
        for (const auto& each : {std::get<0>(first.values), std::get<1>(first.values)}) {
            REQUIRE(each);  // returned, cancelled or not
            received += each->value_or(0);
        }
    });
    loop.run();
    CHECK(received == 3);
}

TEST_CASE("when_any of many hands out every value and leaves those empty that threw") {
    const auto fails = []() -> task<int> {
        const wait_result ended = co_await sleep_for(10s);
        if (ended) { throw std::runtime_error("cancelled"); }
        co_return 0;
    };
    const auto first = sync_wait([](task<int> failing) -> task<first_of<std::vector<std::optional<int>>>> {
        std::vector<task<int>> work;
        work.push_back(answer(1, 10s));
        work.push_back(std::move(failing));
        work.push_back(answer(3, 1ms));
        auto any = when_any(std::move(work));
        auto result = co_await any;
        co_return result;
    }(fails()));
    CHECK(first.index == 2);
    CHECK(first.values[0] == -1);
    CHECK_FALSE(first.values[1]);
    CHECK(first.values[2] == 3);
}

TEST_CASE("a coroutine that moves to another executor goes on there and comes back") {
    executor here;
    executor there;
    std::thread::id thread_there;
    std::thread other([&] {
        thread_there = std::this_thread::get_id();
        there.spawn([&]() -> task<void> { static_cast<void>(co_await sleep_for(10s)); });
        there.run();
    });
    bool moved = false;
    here.spawn([&]() -> task<void> {
        const std::error_code went = co_await schedule_on(there);
        CHECK_FALSE(went);
        moved = std::this_thread::get_id() == thread_there && executor::current() == &there;
        const std::error_code came = co_await schedule_on(here);
        CHECK_FALSE(came);
        CHECK(executor::current() == &here);
        there.request_stop();
    });
    here.run();
    other.join();
    CHECK(moved);
}

TEST_CASE("yield lets everybody else go first") {
    std::string order;
    executor loop;
    for (const char name : {'a', 'b', 'c'}) {
        loop.spawn([&order, name]() -> task<void> {
            for (int i = 0; i < 3; ++i) {
                order += name;
                static_cast<void>(co_await yield());
            }
        });
    }
    loop.run();
    CHECK(order == "abcabcabc");
}

TEST_CASE("tasks that end on another executor race on the one where when_any was awaited") {
    executor here;
    executor there;
    auto guard = executor::work_guard(there);
    std::thread other([&] { there.run(); });
    const auto go = [&](int value) -> task<int> {
        static_cast<void>(co_await schedule_on(there));
        co_return value;
    };
    here.spawn([&]() -> task<void> {
        for (int i = 0; i < 200; ++i) {
            auto any = when_any(go(1), go(2));
            const auto first = co_await any;
            CHECK(executor::current() == &here);
            CHECK(first.index < 2);
            CHECK(std::get<0>(first.values) == 1);
            CHECK(std::get<1>(first.values) == 2);
        }
    });
    here.run();
    guard.release();
    other.join();
}
