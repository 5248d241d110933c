// SPDX-License-Identifier: BSD-3-Clause
// Mutex, semaphore, event and latch.
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

using namespace fluxnet;
using namespace std::chrono_literals;

TEST_CASE("a mutex lets one coroutine in at a time in the order in which they came") {
    mutex door;
    int inside = 0;
    std::string order;
    executor loop;
    for (const char name : {'a', 'b', 'c', 'd'}) {
        loop.spawn([&, name]() -> task<void> {
            for (int i = 0; i < 3; ++i) {
                const mutex::guard held = co_await door.lock();
                CHECK(held);
                CHECK(++inside == 1);
                static_cast<void>(co_await sleep_for(10us));
                --inside;
                order += name;
            }
        });
    }
    loop.run();
    CHECK(order == "abcdabcdabcd");
    const mutex::guard now = door.try_lock();
    CHECK(now);
    CHECK_FALSE(door.try_lock());
}

TEST_CASE("a lock that is cancelled holds nothing and does not stop the next") {
    mutex door;
    event given_up;
    executor loop;
    loop.spawn([&]() -> task<void> {
        const mutex::guard held = co_await door.lock();
        static_cast<void>(co_await given_up.wait());
    });
    bool reached = false;
    loop.spawn([&]() -> task<void> {
        const auto wait = [](mutex& at) -> task<std::error_code> {
            const mutex::guard held = co_await at.lock();
            co_return held.error();
        };
        const timed<std::error_code> late = co_await timeout(1ms, wait(door));
        CHECK(late.expired);
        CHECK(late.value == errc::operation_canceled);
        given_up.set();
    });
    loop.spawn([&]() -> task<void> {
        const mutex::guard held = co_await door.lock();
        reached = static_cast<bool>(held);
    });
    loop.run();
    CHECK(reached);
    CHECK(door.try_lock());
}

TEST_CASE("a semaphore serves large demands before later small ones") {
    semaphore units(3);
    std::string order;
    executor loop;
    CHECK(units.try_acquire(2));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await units.acquire(3));
        order += 'L';
        units.release(3);
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await units.acquire(1));
        order += 's';
        units.release(1);
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(order.empty());
        CHECK_FALSE(units.try_acquire());
        units.release(2);
    });
    loop.run();
    CHECK(order == "Ls");
    CHECK(units.available() == 3);
}

TEST_CASE("cancelling a large demand lets the small one behind it through") {
    semaphore units(1);
    executor loop;
    bool small = false;
    loop.spawn([&]() -> task<void> {
        const auto wait = [](semaphore& from) -> task<std::error_code> { co_return co_await from.acquire(2); };
        const timed<std::error_code> late = co_await timeout(2ms, wait(units));
        CHECK(late.value == errc::operation_canceled);
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        static_cast<void>(co_await units.acquire());
        small = true;
    });
    loop.run();
    CHECK(small);
    CHECK(units.available() == 0);
}

TEST_CASE("units granted to a coroutine that is destroyed before it resumes come back") {
    semaphore units(0);
    {
        executor loop;
        loop.spawn([&]() -> task<void> { static_cast<void>(co_await units.acquire()); });
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await yield());
            loop.stop();
        });
        loop.run();
        units.release();  // from outside: the coroutine has the unit, and will never run again
        CHECK(units.available() == 0);
    }
    CHECK(units.available() == 1);
}

TEST_CASE("an event lets everybody go on and can be reset") {
    event started;
    int through = 0;
    executor loop;
    for (int i = 0; i < 5; ++i) {
        loop.spawn([&]() -> task<void> {
            const std::error_code waited = co_await started.wait();
            CHECK_FALSE(waited);
            ++through;
        });
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(through == 0);
        started.set();
        static_cast<void>(co_await yield());
        CHECK(through == 5);
        static_cast<void>(co_await started.wait());
        started.reset();
        CHECK_FALSE(started.is_set());
    });
    loop.run();
    CHECK(through == 5);
}

TEST_CASE("a latch opens at zero from whichever thread") {
    latch done(3);
    executor loop;
    std::thread other([&] {
        std::this_thread::sleep_for(2ms);
        done.count_down(2);
    });
    loop.spawn([&]() -> task<void> {
        done.count_down();
        const std::error_code waited = co_await done.wait();
        CHECK_FALSE(waited);
    });
    loop.run();
    other.join();
    CHECK(done.is_done());
}
