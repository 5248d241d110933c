// SPDX-License-Identifier: BSD-3-Clause
// What an ordinary program does wrong: it ends by a named error, or does no harm.
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <coroutine>
#include <functional>
#include <limits>
#include <optional>
#include <system_error>
#include <vector>

#include <signal.h>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

/// A coroutine that no executor runs: it starts at the call.
struct loose {
    struct promise_type {
        loose get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {}
    };
};

/// What `make` ends with where no executor runs.
template <class Make>
loose await_loosely(Make make, std::error_code& thrown) {
    try {
        auto awaited = make();
        static_cast<void>(co_await awaited);
    } catch (const std::system_error& failure) { thrown = failure.code(); }
}

task<int> give(int value) {
    co_return value;
}

task<std::error_code> code_of(task<int>& work) {
    std::error_code code;
    try {
        const int value = co_await work;
        static_cast<void>(value);
    } catch (const std::system_error& failure) { code = failure.code(); }
    co_return code;
}

}  // namespace

TEST_CASE("a task that is empty, was moved away, or was awaited before throws by name when it is awaited") {
    executor loop;
    std::vector<std::error_code> seen;
    loop.spawn([&]() -> task<void> {
        task<int> empty;
        seen.push_back(co_await code_of(empty));
        task<int> first = give(1);
        task<int> second = std::move(first);
        seen.push_back(co_await code_of(first));
        const std::error_code once = co_await code_of(second);
        CHECK_FALSE(once);
        seen.push_back(co_await code_of(second));
    });
    loop.run();
    REQUIRE(seen.size() == 3);
    for (const std::error_code& each : seen) { CHECK(each == errc::not_awaitable); }
    CHECK(seen.front().message() == "task is empty, was moved away or has been awaited before");
}

TEST_CASE("what is awaited where no executor runs throws by name") {
    event never;
    const test::pipe_ends pipe;
    std::array<std::error_code, 5> seen;
    await_loosely([] { return sleep_for(1s); }, seen[0]);
    await_loosely([] { return yield(); }, seen[1]);
    await_loosely([&] { return never.wait(); }, seen[2]);
    await_loosely([&] { return readable(pipe.read.get()); }, seen[3]);
    await_loosely([] { return timeout(1s, give(1)); }, seen[4]);
    for (const std::error_code& each : seen) { CHECK(each == errc::no_executor); }
}

TEST_CASE("a loop that does not look at what cancelled awaits return lets others run, and shut_down names it") {
    const test::pipe_ends pipe;
    channel<int> empty(2);
    event never;
    semaphore none(0);
    mutex held;
    const auto guard = held.try_lock();
    executor elsewhere;
    const std::array<std::function<task<void>()>, 8> loops{
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await sleep_for(1h)); }
        },
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await yield()); }
        },
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await readable(pipe.read.get())); }
        },
        [&]() -> task<void> {
            int value = 0;
            for (;;) { static_cast<void>(co_await empty.recv(value)); }
        },
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await never.wait()); }
        },
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await none.acquire()); }
        },
        [&]() -> task<void> {
            for (;;) { const auto lock = co_await held.lock(); }
        },
        [&]() -> task<void> {
            for (;;) { static_cast<void>(co_await schedule_on(elsewhere)); }
        },
    };
    for (std::size_t i = 0; i < loops.size(); ++i) {
        CAPTURE(i);
        executor loop;
        int others = 0;
        loop.request_stop();
        loop.run();
        loop.spawn(loops[i]());
        loop.spawn([&]() -> task<void> {
            for (int turn = 0; turn < 3; ++turn) {
                ++others;
                static_cast<void>(co_await yield());
            }
        });
        const std::vector<task_info> left = loop.shut_down(1ms);
        CHECK(others == 3);
        REQUIRE(left.size() == 1);
        CHECK(left.front().where.line() != 0);
    }
}

TEST_CASE("a loop of awaits that complete at once does not hold the thread") {
    channel<int> values(2);
    event set(true);
    semaphore units(1);
    const std::array<std::function<task<void>(bool&)>, 4> loops{
        [&](bool& over) -> task<void> {
            int value = 0;
            while (!over) {
                static_cast<void>(co_await values.send(value));
                static_cast<void>(co_await values.recv(value));
            }
        },
        [&](bool& over) -> task<void> {
            while (!over) { static_cast<void>(co_await set.wait()); }
        },
        [&](bool& over) -> task<void> {
            while (!over) {
                static_cast<void>(co_await units.acquire());
                units.release();
            }
        },
        [&](bool& over) -> task<void> {
            scope nobody;
            while (!over) { static_cast<void>(co_await nobody.join()); }
        },
    };
    for (std::size_t i = 0; i < loops.size(); ++i) {
        CAPTURE(i);
        executor loop;
        bool over = false;
        loop.spawn(loops[i](over));
        loop.spawn([&]() -> task<void> {
            over = true;
            co_return;
        });
        loop.run();
        CHECK(over);
    }
}

TEST_CASE("when_any of nothing throws by name") {
    std::error_code thrown;
    try {
        static_cast<void>(sync_wait(when_any(std::vector<task<int>>{})));
    } catch (const std::system_error& failure) { thrown = failure.code(); }
    CHECK(thrown == errc::invalid_option);
}

TEST_CASE("durations of every type and length are kept or last for ever") {
    executor loop;
    int ended = 0;
    const auto wait = [&](auto duration) {
        loop.spawn([&ended, duration]() -> task<void> {
            static_cast<void>(co_await sleep_for(duration));
            ++ended;
        });
    };
    wait(std::chrono::hours(-1'000'000'000));
    wait(std::chrono::duration<double>(-1e300));
    wait(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()));
    wait(std::chrono::duration<float, std::milli>(0.25F));
    wait(std::chrono::duration<int, std::pico>(5));
    wait(std::chrono::hours(1'000'000'000));
    wait(std::chrono::duration<double>(1e300));
    wait(std::chrono::years(100'000'000));
    loop.spawn([&]() -> task<void> {
        using far = std::chrono::time_point<std::chrono::steady_clock, std::chrono::hours>;
        static_cast<void>(co_await sleep_until(far(std::chrono::hours::max())));
        ++ended;
    });
    loop.spawn([&]() -> task<void> {
        const auto in_time = co_await timeout(std::chrono::hours(1'000'000'000), give(1));
        CHECK_FALSE(in_time.expired);
        while (ended != 5) { static_cast<void>(co_await yield()); }
        loop.request_stop();
    });
    loop.run();
    CHECK(ended == 9);  // four of them cancelled
}

TEST_CASE("sync_wait throws by name when the executor is stopped before the end, and the task may end later") {
    executor loop;
    event proceed;
    bool ended = false;
    const auto slow = [&]() -> task<int> {
        static_cast<void>(co_await proceed.wait());
        ended = true;
        co_return 7;
    };
    loop.post([&] { loop.stop(); });
    std::error_code thrown;
    try {
        static_cast<void>(sync_wait(loop, slow()));
    } catch (const std::system_error& failure) { thrown = failure.code(); }
    CHECK(thrown == errc::stopped);
    CHECK_FALSE(ended);
    proceed.set();
    loop.run();
    CHECK(ended);
}

TEST_CASE("sync_wait inside a coroutine of another executor gives its value, and of its own throws by name") {
    executor loop;
    int value = 0;
    std::error_code thrown;
    loop.spawn([&]() -> task<void> {
        value = sync_wait(give(5));
        CHECK(executor::current() == &loop);
        try {
            static_cast<void>(sync_wait(loop, give(6)));
        } catch (const std::system_error& failure) { thrown = failure.code(); }
        co_return;
    });
    loop.run();
    CHECK(value == 5);
    CHECK(thrown == errc::already_running);
}

TEST_CASE("stop_on cancels what goes on at the first signal and gives the former mask back") {
    executor loop;
    bool canceled = false;
    loop.spawn_background(stop_on({SIGWINCH}));
    loop.spawn([&]() -> task<void> {
        const std::error_code ec = co_await sleep_for(1h);
        canceled = ec == errc::operation_canceled;
    });
    loop.post([] { REQUIRE(::raise(SIGWINCH) == 0); });
    loop.run();
    CHECK(canceled);
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    CHECK(::sigismember(&mask, SIGWINCH) == 0);
}
