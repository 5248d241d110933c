// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/timeout.hpp"

#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer(int value, std::chrono::nanoseconds after) {
    const wait_result canceled = co_await sleep_for(after);
    co_return canceled ? -1 : value;
}

/// Runs a coroutine function object to its end.
template <class F>
void run(F function) {
    executor loop;
    loop.spawn(std::move(function));
    loop.run();
}

/// Ends on another executor than it began on.
task<int> end_on(executor& there, int value) {
    const wait_result gone = co_await schedule_on(there);
    CHECK_FALSE(gone);
    CHECK(executor::current() == &there);
    if (value < 0) { throw std::runtime_error("failed elsewhere"); }
    co_return value;
}

template <class A>
concept awaitable_as_lvalue = requires(A& work) {
    work.operator co_await();
};

}  // namespace

TEST_CASE("a task that is not done in time is cancelled and what it returns is kept") {
    executor loop;
    loop.spawn([&]() -> task<void> {
        const timed<int> late = co_await timeout(1ms, answer(1, 10s));
        CHECK(late.expired);
        CHECK(late.value == -1);
        const timed<int> early = co_await timeout(10s, answer(2, 1ms));
        CHECK_FALSE(early.expired);
        CHECK(early.value == 2);
        const timed<void> past = co_await fluxnet::deadline(loop.now() - 1s, []() -> task<void> {
            const wait_result ended = co_await sleep_for(10s);
            CHECK(ended == errc::operation_canceled);
        }());
        CHECK(past.expired);
    });
    loop.run();
}

TEST_CASE("whatever can be awaited can have a time limit") {
    pipe_ends pipe;
    channel<int> numbers(1);
    event happened;
    mutex one;
    semaphore none(0);
    run([&]() -> task<void> {
        auto held = co_await one.lock();
        int value = 0;
        const timed<io_result> received = co_await timeout(1ms, numbers.recv(value));
        CHECK(received.expired);
        CHECK(received.value.ec == errc::operation_canceled);
        const timed<wait_result> slept = co_await timeout(1ms, sleep_for(10s));
        CHECK(slept.expired);
        const timed<wait_result> waited = co_await timeout(1ms, happened.wait());
        CHECK(waited.expired);
        const timed<wait_result> acquired = co_await timeout(1ms, none.acquire());
        CHECK(acquired.expired);
        const timed<wait_result> read = co_await timeout(1ms, readable(pipe.read.get()));
        CHECK(read.expired);
        CHECK(read.value == errc::operation_canceled);
        timed<mutex::guard> locked = co_await timeout(1ms, one.lock());
        CHECK(locked.expired);
        CHECK_FALSE(static_cast<bool>(locked.value));
        held.unlock();
        timed<mutex::guard> again = co_await timeout(10s, one.lock());
        CHECK_FALSE(again.expired);
        CHECK(static_cast<bool>(again.value));
    });
}

TEST_CASE("what is received at the end of a time limit is not lost") {
    channel<int> numbers(1);
    run([&]() -> task<void> {
        int sent = 7;
        static_cast<void>(co_await numbers.send(sent));
        int value = 0;
        const timed<io_result> got = co_await timeout(0ns, numbers.recv(value));
        CHECK(got.value.n == 1);
        CHECK(value == 7);
    });
}

TEST_CASE("time limits lie inside each other and the shorter one counts") {
    run([]() -> task<void> {
        const timed<timed<wait_result>> inner = co_await timeout(10s, timeout(1ms, sleep_for(20s)));
        CHECK_FALSE(inner.expired);
        CHECK(inner.value.expired);
        const timed<timed<wait_result>> outer = co_await timeout(1ms, timeout(10s, sleep_for(20s)));
        CHECK(outer.expired);
        CHECK_FALSE(outer.value.expired);
        CHECK(outer.value.value == errc::operation_canceled);
    });
}

TEST_CASE("work under a time limit may be named first unless it refers to a temporary") {
    static_assert(awaitable_as_lvalue<decltype(timeout(1s, answer(1, 1s)))>);
    static_assert(!awaitable_as_lvalue<decltype(timeout(1s, sleep_for(1s)))>);
    static_assert(std::is_same_v<fluxnet::detail::awaited_value<sleep_awaiter>, wait_result>);
    run([]() -> task<void> {
        auto limited = timeout(10s, answer(3, 0ns));
        const timed<int> ended = co_await limited;
        CHECK(ended.value == 3);
        std::error_code again;
        try {
            static_cast<void>(co_await limited);
        } catch (const std::system_error& failure) { again = failure.code(); }
        CHECK(again == errc::not_awaitable);
        sleep_awaiter sleeping = sleep_for(10s);
        const timed<wait_result> slept = co_await timeout(1ms, sleeping);
        CHECK(slept.expired);
    });
}

TEST_CASE("a task that ends on another executor under a time limit brings its awaiter back home") {
    executor here;
    executor there;
    auto guard = executor::work_guard(there);
    std::thread other([&] { there.run(); });
    here.spawn([&]() -> task<void> {
        const timed<int> ended = co_await timeout(10s, end_on(there, 5));
        CHECK(executor::current() == &here);
        CHECK(ended.value == 5);
        bool thrown = false;
        try {
            static_cast<void>(co_await timeout(10s, end_on(there, -1)));
        } catch (const std::runtime_error&) { thrown = true; }
        CHECK(thrown);
        CHECK(executor::current() == &here);
        const timed<wait_result> moved = co_await timeout(10s, schedule_on(there));
        CHECK_FALSE(moved.expired);
        CHECK(executor::current() == &here);
        // It is cancelled there, and comes back all the same.
        const timed<wait_result> canceled = co_await timeout(1ms, [](executor& away) -> task<wait_result> {
            static_cast<void>(co_await schedule_on(away));
            const wait_result slept = co_await sleep_for(10s);
            co_return slept;
        }(there));
        CHECK(canceled.expired);
        CHECK(canceled.value == errc::operation_canceled);
        CHECK(executor::current() == &here);
    });
    here.run();
    guard.release();
    other.join();
}

TEST_CASE("an executor may go while awaiters wait under time limits, in the coroutine around or in one of their own") {
    for (const bool stopped : {false, true}) {
        event never;
        channel<int> empty(1);
        {
            executor loop;
            loop.spawn([]() -> task<void> { static_cast<void>(co_await timeout(1h, sleep_for(2h))); });
            loop.spawn([&]() -> task<void> { static_cast<void>(co_await timeout(1h, never.wait())); });
            loop.spawn([&]() -> task<void> {
                int value = 0;
                static_cast<void>(co_await timeout(1h, timeout(2h, empty.recv(value))));
            });
            loop.spawn([&]() -> task<void> {
                static_cast<void>(co_await timeout(1h, [](event& at) -> task<void> {
                    static_cast<void>(co_await timeout(2h, at.wait()));
                }(never)));
            });
            static_cast<void>(loop.poll());
            static_cast<void>(loop.poll());
            // What was cancelled is about to go on, and does not come to it.
            if (stopped) { loop.request_stop(); }
        }
        never.set();
        int value = 1;
        CHECK(empty.try_send(std::span(&value, 1)) == 1);
    }
}
