// SPDX-License-Identifier: BSD-3-Clause
// What an executor tells about its tasks, and how it ends them.
#include "fluxnet/runtime/core/dump_on_signal.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include <csignal>

#include <unistd.h>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

bool lists(std::span<const task_info> tasks, std::string_view awaiting, unsigned line) {
    return std::ranges::any_of(tasks, [&](const task_info& task) {
        return task.awaiting == awaiting && task.where.line() == line &&
               std::string_view(task.where.file_name()).ends_with("tasks_test.cpp");
    });
}

}  // namespace

TEST_CASE("an executor lists what each task awaits and where it was spawned") {
    const auto begin = std::chrono::steady_clock::now();
    executor loop;
    channel<int> numbers(2);
    std::vector<task_info> seen;
    unsigned sleeper = 0;
    unsigned receiver = 0;
    unsigned parent = 0;
    unsigned child = 0;
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(10s)); }), sleeper = __LINE__;
    loop.spawn(
        [&]() -> task<void> {
            int value = 0;
            static_cast<void>(co_await numbers.recv(value));
        },
        std::source_location::current()),
        receiver = __LINE__ - 1;
    loop.spawn(
        [&]() -> task<void> {
            scope children;
            children.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(10s)); }), child = __LINE__;
            static_cast<void>(co_await children.join());
        },
        std::source_location::current()),
        parent = __LINE__ - 1;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(20ms));
        seen = loop.tasks();
        loop.request_stop();
    });
    loop.run();
    CHECK(seen.size() == 5);
    CHECK(lists(seen, "sleep", sleeper));
    CHECK(lists(seen, "channel::recv", receiver));
    CHECK(lists(seen, "scope::join", parent));
    CHECK(lists(seen, "sleep", child));
    for (const task_info& task : seen) {
        if (!task.awaiting.empty()) { CHECK(task.waiting_for >= 10ms); }
        if (!task.awaiting.empty()) { CHECK(task.waiting_for <= std::chrono::steady_clock::now() - begin); }
    }
    CHECK(to_text(seen).find("tasks_test.cpp:" + std::to_string(sleeper)) != std::string::npos);
    CHECK(to_text(seen).find("channel::recv for 0.") != std::string::npos);
    CHECK(loop.tasks().empty());
}

TEST_CASE("shutting down cancels what can be cancelled and names what does not end") {
    executor loop;
    bool canceled = false;
    unsigned stubborn = 0;
    loop.spawn([&]() -> task<void> {
        const std::error_code ended = co_await sleep_for(10s);
        canceled = ended == errc::operation_canceled;
    });
    loop.spawn([]() -> task<void> {
        for (;;) {
            const std::error_code ended = co_await sleep_for(1ms);
            if (ended) { co_await test::never(); }
        }
    }),
        stubborn = __LINE__;
    const std::vector<task_info> left = loop.shut_down(50ms);
    CHECK(canceled);
    REQUIRE(left.size() == 1);
    CHECK(left[0].where.line() <= stubborn);
    CHECK(left[0].where.line() >= stubborn - 8);
    executor other;
    other.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
    CHECK(other.shut_down(10min).empty());
}

TEST_CASE("a signal makes an executor tell its tasks in every temper") {
    for (const poller how : {poller::wait, poller::adaptive, poller::busy}) {
        executor loop({.how = how});
        std::string told;
        dump_on_signal tell(loop, SIGUSR2, [&](const std::string& text) { told += text; });
        loop.spawn([&]() -> task<void> {
            for (int i = 0; i < 2; ++i) {
                static_cast<void>(co_await sleep_for(5ms));
                ::kill(::getpid(), SIGUSR2);
                static_cast<void>(co_await sleep_for(5ms));
            }
        });
        loop.run();
        CHECK(std::count(told.begin(), told.end(), '\n') == 2);
        CHECK(told.find("sleep for") != std::string::npos);
    }
}

TEST_CASE("a function of dump_on_signal that throws ends run by a named error with the exception in it") {
    for (const poller how : {poller::wait, poller::adaptive, poller::busy}) {
        executor loop({.how = how});
        unsigned told = 0;
        dump_on_signal tell(loop, SIGUSR2, [&](const std::string&) {
            if (++told == 1) { throw std::runtime_error("the disk is full"); }
            if (told == 2) { throw 2; }
        });
        bool ended = false;
        loop.spawn([&]() -> task<void> {
            while (told < 3) {
                ::kill(::getpid(), SIGUSR2);
                static_cast<void>(co_await sleep_for(5ms));
            }
            ended = true;
        });
        std::string inner;
        try {
            loop.run();
        } catch (const std::system_error& failure) {
            CHECK(failure.code() == errc::callback_threw);
            CHECK(std::string_view(failure.what()).find("dump_on_signal threw: the disk is full") != std::string_view::npos);
            try {
                std::rethrow_if_nested(failure);
            } catch (const std::runtime_error& thrown) { inner = thrown.what(); }
        }
        CHECK(inner == "the disk is full");
        CHECK_THROWS_AS(loop.run(), std::system_error);
        CHECK_FALSE(ended);
        loop.run();
        CHECK(ended);
        CHECK(told == 3);
    }
}

TEST_CASE("a task that has gone to another executor is listed as being elsewhere") {
    executor here;
    executor there;
    std::vector<task_info> seen;
    here.spawn([&]() -> task<void> { static_cast<void>(co_await schedule_on(there)); });
    here.spawn([&]() -> task<void> {
        static_cast<void>(co_await yield());
        seen = here.tasks();
        here.stop();
    });
    here.run();
    REQUIRE(seen.size() == 2);
    there.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1ms)); });
    there.run();
    CHECK(here.tasks()[0].elsewhere);
    here.run();
    CHECK(here.tasks().empty());
}

TEST_CASE("a task that travels is listed as travelling, and what it awaited is not looked at") {
    executor here;
    executor there;
    unsigned traveller = 0;
    here.spawn([&]() -> task<void> { static_cast<void>(co_await schedule_on(there)); }), traveller = __LINE__;
    here.spawn([&]() -> task<void> { static_cast<void>(co_await timeout(1h, schedule_on(there))); });
    CHECK(here.run_for(0ns));  // both are in the other's inbox, which nobody looks at
    CHECK(here.tasks().size() == 3);
    for (const task_info& each : here.tasks()) {
        CHECK(each.travelling);
        CHECK(each.elsewhere);
        CHECK(each.awaiting.empty());
    }
    CHECK(to_text(here.tasks()).find(std::to_string(traveller)) != std::string::npos);
    CHECK(to_text(here.tasks()).find("travelling to another executor") != std::string::npos);
    CHECK(there.tasks().empty());
    std::thread other([&] {
        auto guard = executor::work_guard(there);
        there.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            guard.release();
        });
        there.run();
    });
    here.run();
    other.join();
    CHECK(here.tasks().empty());
}
