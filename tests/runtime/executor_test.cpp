// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<executor> && !std::is_move_constructible_v<executor>);
static_assert(std::has_virtual_destructor_v<reactor>);

namespace {

using clock_type = std::chrono::steady_clock;

/// A node that counts what happens to it.
struct counting_node final : ready_node {
    void run() noexcept override { ++runs; }
    void dispose() noexcept override { ++disposals; }
    int runs = 0;
    int disposals = 0;
};

/// Keeps an executor alive and counts down to its end.
task<void> wait_for(const std::atomic<bool>& done) {
    while (!done.load()) { static_cast<void>(co_await sleep_for(1ms)); }
}

}  // namespace

TEST_CASE("spawned tasks start in the order in which they were spawned") {
    executor loop;
    std::vector<int> order;
    for (int i = 0; i < 5; ++i) {
        loop.spawn([&order, i]() -> task<void> {
            order.push_back(i);
            co_return;
        });
    }
    CHECK(order.empty());
    loop.run();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("run returns at once when there is nothing to do") {
    executor loop;
    loop.run();
    CHECK(loop.turns() == 0);
    CHECK(loop.sleeps() == 0);
}

TEST_CASE("run returns when everything spawned has ended and not before") {
    executor loop;
    int ended = 0;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            ++ended;
        });
        ++ended;
    });
    loop.run();
    CHECK(ended == 2);
}

TEST_CASE("a function object that was spawned keeps its captures until the coroutine ends") {
    executor loop;
    auto value = std::make_shared<int>(5);
    int seen = 0;
    loop.spawn([held = value, &seen]() -> task<void> {
        co_await requeue();
        seen = *held;
    });
    CHECK(value.use_count() == 2);
    loop.run();
    CHECK(seen == 5);
    CHECK(value.use_count() == 1);
}

TEST_CASE("an exception that leaves a task comes out of run and the rest goes on in the next run") {
    executor loop;
    bool ended = false;
    loop.spawn([]() -> task<void> {
        throw std::runtime_error("first");
        co_return;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        ended = true;
    });
    CHECK_THROWS_WITH_AS(loop.run(), "first", std::runtime_error);
    CHECK(executor::current() == nullptr);
    CHECK_FALSE(ended);
    loop.run();
    CHECK(ended);
}

TEST_CASE("of several exceptions in one turn run throws the first and drops the others") {
    executor loop;
    for (const char* text : {"one", "two"}) {
        loop.spawn([text]() -> task<void> {
            throw std::runtime_error(text);
            co_return;
        });
    }
    CHECK_THROWS_WITH_AS(loop.run(), "one", std::runtime_error);
    loop.run();
}

TEST_CASE("stop from a task ends run and the next run goes on") {
    executor loop;
    int steps = 0;
    loop.spawn([&]() -> task<void> {
        ++steps;
        loop.stop();
        static_cast<void>(co_await sleep_for(0ns));
        ++steps;
    });
    loop.run();
    CHECK(steps == 1);
    loop.run();
    CHECK(steps == 2);
}

TEST_CASE("stop before run makes the next run return and only that one") {
    executor loop;
    bool ended = false;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        ended = true;
    });
    loop.stop();
    loop.run();
    CHECK_FALSE(ended);
    loop.run();
    CHECK(ended);
}

TEST_CASE("stop from another thread ends a run that sleeps") {
    executor loop;
    loop.spawn([]() -> task<void> { co_await never(); });
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        loop.stop();
    });
    loop.run();
    other.join();
}

TEST_CASE("stop from another thread ends a run that is busy") {
    executor loop;
    loop.spawn([]() -> task<void> {
        for (;;) { co_await requeue(); }
    });
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        loop.stop();
    });
    loop.run();
    other.join();
}

TEST_CASE("request_stop cancels what tasks await now and later") {
    executor loop;
    std::vector<std::error_code> seen;
    loop.spawn([&]() -> task<void> {
        seen.push_back(co_await sleep_for(1h));
        seen.push_back(co_await sleep_for(1h));
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        loop.request_stop();
    });
    loop.run();
    CHECK(seen == std::vector<std::error_code>{errc::operation_canceled, errc::operation_canceled});
    CHECK(loop.stop_token().stop_requested());
}

TEST_CASE("request_stop from another thread cancels a sleeping executor's tasks") {
    executor loop;
    std::error_code seen;
    loop.spawn([&]() -> task<void> { seen = co_await sleep_for(1h); });
    std::thread other([&] {
        std::this_thread::sleep_for(10ms);
        loop.request_stop();
    });
    loop.run();
    other.join();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("request_stop before run cancels from the first await on") {
    executor loop;
    std::error_code seen;
    loop.spawn([&]() -> task<void> { seen = co_await sleep_for(1h); });
    loop.request_stop();
    loop.run();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("a task spawned after request_stop starts and is cancelled at its first await") {
    executor loop;
    loop.request_stop();
    loop.run();
    bool started = false;
    std::error_code seen;
    loop.spawn([&]() -> task<void> {
        started = true;
        seen = co_await sleep_for(1h);
    });
    loop.run();
    CHECK(started);
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("posts from many threads run exactly once each and in the order of each thread") {
    constexpr int threads = 4;
    constexpr int posts = 2000;
    executor loop;
    std::array<std::vector<int>, threads> seen;
    std::atomic<bool> done = false;
    loop.spawn(wait_for(done));
    std::thread starter([&] {
        std::vector<std::thread> all;
        for (int t = 0; t < threads; ++t) {
            all.emplace_back([&, t] {
                for (int i = 0; i < posts; ++i) {
                    loop.post([&seen, t, i] { seen[static_cast<std::size_t>(t)].push_back(i); });
                }
            });
        }
        for (std::thread& one : all) { one.join(); }
        loop.post([&] { done = true; });
    });
    loop.run();
    starter.join();
    for (const auto& of_thread : seen) {
        REQUIRE(of_thread.size() == posts);
        CHECK(std::is_sorted(of_thread.begin(), of_thread.end()));
    }
}

TEST_CASE("a post wakes a sleeping executor") {
    constexpr int rounds = 41;
    executor loop;
    std::atomic<bool> done = false;
    std::atomic<int> arrived = 0;
    loop.spawn([&]() -> task<void> {
        while (!done) { static_cast<void>(co_await sleep_for(1h)); }
    });
    std::thread other([&] {
        for (int i = 0; i < rounds; ++i) {
            std::this_thread::sleep_for(2ms);
            loop.post([&] { ++arrived; });
            while (arrived == i) { std::this_thread::yield(); }
        }
        done = true;
        loop.post([&] { loop.request_stop(); });
    });
    loop.run();
    other.join();
    CHECK(arrived == rounds);
    CHECK(loop.sleeps() <= 2 * rounds + 4);  // it slept until it was woken
}

TEST_CASE("a node is posted in place and runs once") {
    executor loop;
    counting_node node;
    std::thread([&] { fluxnet::detail::inside(loop).post(node); }).join();
    loop.run();
    CHECK(node.runs == 1);
    fluxnet::detail::inside(loop).post(node);
    loop.run();
    CHECK(node.runs == 2);
    CHECK(node.disposals == 0);
}

TEST_CASE("what was posted and never ran is disposed of with the executor") {
    counting_node node;
    auto held = std::make_shared<int>(0);
    {
        executor loop;
        fluxnet::detail::inside(loop).post(node);
        loop.post([held] { ++*held; });
        std::thread([&] { loop.post([held] { ++*held; }); }).join();
    }
    CHECK(node.runs == 0);
    CHECK(node.disposals == 1);
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

TEST_CASE("an executor that never ran can be destroyed with tasks in it") {
    auto held = std::make_shared<int>(0);
    {
        executor loop;
        loop.spawn([held]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("an executor is destroyed with suspended tasks of every kind") {
    auto held = std::make_shared<int>(0);
    {
        executor loop;
        loop.spawn([held]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
        loop.spawn([held]() -> task<void> { co_await never(); });
        loop.spawn([held]() -> task<void> {
            for (;;) { co_await requeue(); }
        });
        loop.spawn([held, &loop]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            loop.stop();
            static_cast<void>(co_await sleep_for(0ms));
        });
        loop.run();
        CHECK(held.use_count() == 5);
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("an executor that ran on one thread can be destroyed on another") {
    auto held = std::make_shared<int>(0);
    auto loop = std::make_unique<executor>();
    std::thread([&] {
        loop->spawn([held, &loop]() -> task<void> {
            loop->stop();
            static_cast<void>(co_await sleep_for(1h));
        });
        loop->run();
    }).join();
    loop.reset();
    CHECK(held.use_count() == 1);
}

TEST_CASE("current names the executor inside run and nothing elsewhere") {
    executor loop;
    CHECK(executor::current() == nullptr);
    executor* inside = nullptr;
    executor* posted = nullptr;
    executor* elsewhere = &loop;
    loop.spawn([&]() -> task<void> {
        inside = executor::current();
        std::thread([&] { elsewhere = executor::current(); }).join();
        co_return;
    });
    loop.post([&] { posted = executor::current(); });
    loop.run();
    CHECK(inside == &loop);
    CHECK(posted == &loop);
    CHECK(elsewhere == nullptr);
    CHECK(executor::current() == nullptr);
}

TEST_CASE("executors on several threads run side by side") {
    std::vector<std::thread> threads;
    std::atomic<int> right = 0;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            executor loop;
            loop.spawn([&]() -> task<void> {
                for (int round = 0; round < 20; ++round) {
                    static_cast<void>(co_await sleep_for(1ms));
                    if (executor::current() == &loop) { ++right; }
                }
            });
            loop.run();
        });
    }
    for (std::thread& one : threads) { one.join(); }
    CHECK(right == 60);
}

TEST_CASE("tasks that are always ready starve neither timers nor posts nor each other") {
    executor loop;
    std::atomic<bool> done = false;
    std::array<std::uint64_t, 600> steps{};  // more than are resumed in one turn
    for (std::uint64_t& count : steps) {
        loop.spawn([&done, &count]() -> task<void> {
            while (!done) {
                ++count;
                co_await requeue();
            }
        });
    }
    bool posted = false;
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        loop.post([&] { posted = true; });
    });
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 10; ++i) { static_cast<void>(co_await sleep_for(1ms)); }
        while (!posted) { static_cast<void>(co_await sleep_for(1ms)); }
        done = true;
    });
    loop.run();
    other.join();
    const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
    CHECK(*least > 0);
    CHECK(*most - *least <= 2);
}

TEST_CASE("an executor names its reactor") {
    const executor loop;
    const char* const refusal = std::getenv("FLUXNET_WITHOUT_IO_URING");
    const std::string name(loop.reactor_name());
    const std::string reason(loop.reactor_reason());
    if (refusal != nullptr) {
        CHECK_MESSAGE(reason.find(std::string("io_uring_setup answered ") + refusal) == 0, reason);
        CHECK(name == "epoll (" + reason + ')');
    } else {
        CHECK_FALSE(reason.empty());
        CHECK_MESSAGE((name.find("io_uring (") == 0 || name == "epoll (" + reason + ')'), name);
    }
}

TEST_CASE("wake makes a sleeping executor look around") {
    executor loop;
    loop.spawn([]() -> task<void> { co_await never(); });
    std::thread other([&] {
        while (loop.sleeps() == 0) { std::this_thread::yield(); }
        loop.wake();
        while (loop.sleeps() == 1) { std::this_thread::yield(); }
        loop.stop();
    });
    loop.run();
    other.join();
    CHECK(loop.sleeps() >= 2);
    CHECK(loop.turns() < 20);
}

TEST_CASE("wake before run costs a turn and no more") {
    executor loop;
    loop.wake();
    loop.wake();
    bool ended = false;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        ended = true;
    });
    loop.run();
    CHECK(ended);
}

TEST_CASE("an exception comes out of run at once though other tasks sleep") {
    executor loop;
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
    loop.spawn([]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        throw std::runtime_error("failed on purpose");
    });
    CHECK_THROWS_AS(loop.run(), std::runtime_error);
}

TEST_CASE("stop_requested tells of a request as soon as any thread has made it, until restart") {
    executor loop;
    CHECK_FALSE(loop.stop_requested());
    std::thread([&] { loop.request_stop(); }).join();
    CHECK(loop.stop_requested());
    CHECK_FALSE(loop.stop_token().stop_requested());  // it takes effect in a turn
    loop.restart();
    CHECK_FALSE(loop.stop_requested());
    loop.poll();
    CHECK_FALSE(loop.stop_requested());
    CHECK_FALSE(loop.stop_token().stop_requested());
    loop.spawn([&]() -> task<void> {
        loop.request_stop();
        co_return;
    });
    loop.run();
    CHECK(loop.stop_requested());
    CHECK(loop.stop_token().stop_requested());
}
