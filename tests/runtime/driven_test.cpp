// SPDX-License-Identifier: BSD-3-Clause
// An executor whose waiting somebody else does, and what else one may do with an executor beside run().
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/support/epoll_waiter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <poll.h>
#include <unistd.h>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

/// Turns until nothing is left to do at once.
void settle(executor& loop) {
    while (loop.poll()) {}
}

/// Drives the executor until it has no work.
void finish(executor& loop) {
    test::epoll_waiter waiter;
    for (settle(loop); loop.has_work(); settle(loop)) {
        const auto plan = loop.prepare_sleep();
        if (!plan) { continue; }
        REQUIRE(waiter.wait(*plan, 60s));
        loop.after_sleep();
    }
}

bool readable_now(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// What a call throws.
template <class F>
std::error_code thrown_by(F call) {
    try {
        call();
    } catch (const std::system_error& failure) { return failure.code(); }
    return {};
}

task<void> count_bytes(int fd, int& count) {
    for (;;) {
        const std::error_code ec = co_await readable(fd);
        if (ec) { co_return; }
        char byte = 0;
        while (::read(fd, &byte, 1) == 1) { ++count; }
    }
}

}  // namespace

TEST_CASE("a plan names a descriptor that becomes readable when an awaited descriptor does") {
    executor loop;
    const test::pipe_ends pipe;
    int count = 0;
    loop.spawn(count_bytes(pipe.read.get(), count));
    settle(loop);
    for (int round = 1; round <= 3; ++round) {
        CAPTURE(round);
        const auto plan = loop.prepare_sleep();
        REQUIRE(plan);
        CHECK_FALSE(plan->deadline);
        CHECK_FALSE(readable_now(plan->fd));
        pipe.put();
        CHECK(readable_now(plan->fd));
        loop.after_sleep();
        settle(loop);
        CHECK(count == round);
        const auto next = loop.prepare_sleep();
        REQUIRE(next);
        CHECK(next->fd == plan->fd);
        CHECK_FALSE(readable_now(next->fd));
        loop.after_sleep();
        settle(loop);
    }
    loop.request_stop();
    finish(loop);
    CHECK_FALSE(loop.has_work());
}

TEST_CASE("a plan tells when the next timer is due") {
    executor loop;
    bool ended = false;
    loop.spawn([&]() -> task<void> {
        const std::error_code ec = co_await sleep_for(1h);
        ended = static_cast<bool>(ec);
    });
    const auto before = std::chrono::steady_clock::now();
    settle(loop);
    const auto plan = loop.prepare_sleep();
    REQUIRE(plan);
    REQUIRE(plan->deadline);
    CHECK(*plan->deadline >= before + 1h);
    CHECK(*plan->deadline <= std::chrono::steady_clock::now() + 1h);
    loop.after_sleep();
    loop.request_stop();
    settle(loop);
    CHECK(ended);
}

TEST_CASE("a post from another thread, a spawn and stop make the descriptor of a plan readable") {
    executor loop;
    int ran = 0;
    const std::array<std::function<void()>, 3> disturbances{
        [&] { std::thread([&] { loop.post([&] { ++ran; }); }).join(); },
        [&] {
            loop.spawn([&]() -> task<void> {
                ++ran;
                co_return;
            });
        },
        [&] { std::thread([&] { loop.stop(); }).join(); },
    };
    for (std::size_t i = 0; i < disturbances.size(); ++i) {
        CAPTURE(i);
        settle(loop);
        const auto plan = loop.prepare_sleep();
        REQUIRE(plan);
        CHECK_FALSE(readable_now(plan->fd));
        disturbances[i]();
        CHECK(readable_now(plan->fd));
        loop.after_sleep();
        settle(loop);
    }
    CHECK(ran == 2);
    CHECK(loop.stopped());
    loop.restart();
    CHECK_FALSE(loop.stopped());
}

TEST_CASE("there is no plan while something is ready, or was posted") {
    executor loop;
    loop.post([] {});
    CHECK_FALSE(loop.prepare_sleep());
    settle(loop);
    loop.spawn([]() -> task<void> { co_return; });
    CHECK_FALSE(loop.prepare_sleep());
    settle(loop);
    CHECK(loop.prepare_sleep());
    loop.after_sleep();
}

TEST_CASE("poll ends a sleep that was prepared") {
    executor loop;
    int ran = 0;
    REQUIRE(loop.prepare_sleep());
    loop.post([&] { ++ran; });
    settle(loop);
    CHECK(ran == 1);
    REQUIRE(loop.prepare_sleep());
    loop.after_sleep();
    loop.after_sleep();  // which does nothing
}

TEST_CASE("run, run_for and shut_down end a sleep that was prepared, and sleep by themselves") {
    executor loop;
    bool ended = false;
    REQUIRE(loop.prepare_sleep());
    CHECK_FALSE(loop.run_for(1us));
    REQUIRE(loop.prepare_sleep());
    loop.spawn([&]() -> task<void> {
        const std::error_code ec = co_await sleep_for(20ms);
        ended = !ec;
    });
    const std::uint64_t before = loop.turns();
    loop.run();
    CHECK(ended);
    CHECK(loop.turns() - before < 100);  // it does not spin
    REQUIRE(loop.prepare_sleep());
    CHECK(loop.shut_down(10s).empty());
}

TEST_CASE("shut_down ends the tasks although the executor was stopped before") {
    executor loop;
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
    settle(loop);
    loop.stop();
    CHECK_FALSE(loop.poll());
    CHECK(loop.shut_down(10s).empty());
}

TEST_CASE("a driven executor that has nothing to do makes no system call") {
    FLUXNET_SKIP_IF(test::syscall_counter::why_not_available());
    executor loop;
    const test::pipe_ends pipe;
    int count = 0;
    loop.spawn(count_bytes(pipe.read.get(), count));
    settle(loop);
    REQUIRE(loop.prepare_sleep());
    test::syscall_counter calls(::gettid(), test::counted::thread);
    loop.after_sleep();  // a look around by its loop, which nothing has woken
    calls.reset();
    for (int turn = 0; turn < 1000; ++turn) { loop.poll(); }
    // epoll has no other way to look than to ask: once a turn while something is awaited.
    const std::uint64_t looks = loop.reactor_name().starts_with("epoll") ? 1000 : 0;
    CHECK(test::own_calls(calls) <= looks + looks / 100);
    loop.request_stop();
    finish(loop);
}

TEST_CASE("an executor for changing threads is driven by one thread after the other") {
    executor loop({}, reactor_kind::automatic, reactor_threads::changing);
    const test::pipe_ends pipe;
    int count = 0;
    loop.spawn(count_bytes(pipe.read.get(), count));
    for (int round = 1; round <= 20; ++round) {
        std::thread([&] {
            settle(loop);
            const auto plan = loop.prepare_sleep();
            REQUIRE(plan);
            pipe.put();
            pollfd entry{plan->fd, POLLIN, 0};
            REQUIRE(::poll(&entry, 1, 10'000) == 1);
        }).join();
        std::thread([&] {
            loop.after_sleep();
            settle(loop);
        }).join();
        CHECK(count == round);
    }
    loop.request_stop();
    finish(loop);
    CHECK_FALSE(loop.has_work());
}

TEST_CASE("an executor of one thread says so when another thread drives it") {
    executor loop;
    loop.poll();
    loop.spawn([]() -> task<void> { co_return; });
    std::error_code seen;
    std::thread([&] { seen = thrown_by([&] { loop.run(); }); }).join();
    CHECK(seen == errc::wrong_thread);
    std::thread([&] { seen = thrown_by([&] { loop.poll(); }); }).join();
    CHECK(seen == errc::wrong_thread);
    loop.run();
    CHECK_FALSE(loop.has_work());
}

TEST_CASE("run inside the run of another executor restores what was") {
    executor outer;
    executor inner;
    int steps = 0;
    outer.spawn([&]() -> task<void> {
        CHECK(executor::current() == &outer);
        inner.spawn([&]() -> task<void> {
            CHECK(executor::current() == &inner);
            const std::error_code ec = co_await sleep_for(1us);
            CHECK_FALSE(ec);
            ++steps;
        });
        inner.run();
        CHECK(executor::current() == &outer);
        const std::error_code ec = co_await sleep_for(1us);
        CHECK_FALSE(ec);
        ++steps;
    });
    outer.run();
    CHECK(steps == 2);
    CHECK(executor::current() == nullptr);
}

TEST_CASE("run inside its own run throws by name and changes nothing") {
    executor loop;
    std::vector<std::error_code> seen;
    loop.spawn([&]() -> task<void> {
        seen.push_back(thrown_by([&] { loop.run(); }));
        seen.push_back(thrown_by([&] { loop.poll(); }));
        seen.push_back(thrown_by([&] { loop.run_for(1s); }));
        CHECK(executor::current() == &loop);
        co_return;
    });
    loop.run();
    REQUIRE(seen.size() == 3);
    for (const std::error_code& each : seen) { CHECK(each == errc::already_running); }
}

TEST_CASE("run_for and run_until return at their limit and tell whether work is left") {
    executor loop;
    int steps = 0;
    loop.spawn([&]() -> task<void> {
        for (; steps < 3; ++steps) {
            const std::error_code ec = co_await sleep_for(20ms);
            if (ec) { co_return; }
        }
    });
    CHECK(loop.run_for(0s));
    CHECK(steps == 0);
    CHECK(loop.run_until(std::chrono::steady_clock::now() - 1h));
    CHECK_FALSE(loop.run_for(std::chrono::hours(1'000'000'000)));  // longer than the clock reaches
    CHECK(steps == 3);
    CHECK_FALSE(loop.run_until(std::chrono::steady_clock::time_point::max()));
    CHECK_FALSE(loop.run_for(1.5s));
}

TEST_CASE("a work guard keeps run from returning until it is released on another thread") {
    executor loop;
    std::atomic<int> ran = 0;
    executor::work_guard guard(loop);
    std::thread elsewhere([&, held = std::move(guard)]() mutable {
        while (loop.sleeps() == 0) { std::this_thread::yield(); }
        for (int i = 0; i < 10; ++i) {
            loop.post([&] { ++ran; });
        }
        while (ran != 10) { std::this_thread::yield(); }
        held.release();
    });
    loop.run();
    CHECK(ran == 10);
    elsewhere.join();
    loop.run();  // nothing keeps it now
}

TEST_CASE("a background task runs beside the others and does not keep run from returning") {
    executor loop;
    int ticks = 0;
    bool canceled = false;
    loop.spawn_background([&]() -> task<void> {
        for (;;) {
            const std::error_code ec = co_await sleep_for(1ms);
            if (ec) {
                canceled = true;
                co_return;
            }
            ++ticks;
        }
    });
    loop.run();
    CHECK(ticks == 0);
    loop.spawn([&]() -> task<void> {
        while (ticks < 3) {
            const std::error_code ec = co_await sleep_for(1ms);
            if (ec) { co_return; }
        }
    });
    loop.run();
    CHECK(ticks >= 3);
    CHECK(loop.tasks().size() == 1);
    CHECK(loop.shut_down(10s).empty());
    CHECK(canceled);
}

TEST_CASE("after request_stop a restarted executor does not cancel what is spawned") {
    executor loop;
    loop.request_stop();
    loop.run();
    std::vector<std::error_code> seen;
    const auto look = [&]() -> task<void> {
        const std::error_code ec = co_await sleep_for(1us);
        seen.push_back(ec);
    };
    loop.spawn(look);
    loop.run();
    loop.restart();
    loop.spawn(look);
    loop.run();
    REQUIRE(seen.size() == 2);
    CHECK(seen[0] == errc::operation_canceled);
    CHECK_FALSE(seen[1]);
}

namespace {

std::vector<std::string>& events() {
    static std::vector<std::string> all;
    return all;
}

struct first_service final : service {
    explicit first_service(executor&) { events().push_back("first made"); }
    ~first_service() override { events().push_back("first gone"); }
};

struct second_service final : service {
    explicit second_service(executor& of) : first(of.use_service<first_service>()) { events().push_back("second made"); }
    ~second_service() override { events().push_back("second gone"); }
    first_service& first;
};

}  // namespace

TEST_CASE("a service is made once for each executor and goes before those it was made with") {
    events().clear();
    {
        executor loop;
        executor other;
        second_service& second = loop.use_service<second_service>();
        CHECK(&second == &loop.use_service<second_service>());
        CHECK(&second.first == &loop.use_service<first_service>());
        CHECK(&second.first != &other.use_service<first_service>());
        CHECK(events() == std::vector<std::string>{"first made", "second made", "first made"});
        events().clear();
    }
    CHECK(events() == std::vector<std::string>{"first gone", "second gone", "first gone"});
}

TEST_CASE("a service outlives the frames of tasks that have not ended") {
    events().clear();
    struct ending {
        ~ending() { events().push_back("frame gone"); }
    };
    {
        executor loop;
        static_cast<void>(loop.use_service<first_service>());
        loop.spawn([]() -> task<void> {
            const ending at_the_end;
            const std::error_code ec = co_await sleep_for(1h);
            static_cast<void>(ec);
        });
        settle(loop);
    }
    CHECK(events() == std::vector<std::string>{"first made", "frame gone", "first gone"});
}
