// SPDX-License-Identifier: BSD-3-Clause
// Tasks of every kind on an executor, and a program's main task.
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<int> give(int value, int& given) {
    given += value;
    co_return value;
}

task<std::string> wait_and_tell(std::chrono::nanoseconds time) {
    const wait_result ended = co_await sleep_for(time);
    co_return ended ? "cancelled" : "slept";
}

task<void> fail() {
    throw std::runtime_error("failed on purpose");
    co_return;
}

/// Goes on however often it is cancelled.
task<void> stubborn(int& turns) {
    for (;;) {
        static_cast<void>(co_await sleep_for(1h));
        ++turns;
    }
}

template <class F>
std::error_code code_of(F function) {
    try {
        function();
    } catch (const std::system_error& failure) { return failure.code(); }
    return {};
}

}  // namespace

TEST_CASE("tasks of any result can be spawned on an executor, in the background and in a scope") {
    executor loop;
    int given = 0;
    loop.spawn(give(1, given));
    loop.spawn([&]() -> task<int> { return give(10, given); });
    loop.spawn_background(give(100, given));
    loop.spawn_background([&]() -> task<int> { return give(1000, given); });
    loop.spawn([&]() -> task<void> {
        scope children;
        children.spawn(give(10000, given));
        children.spawn([&]() -> task<int> { return give(100000, given); });
        static_cast<void>(co_await children.join());
    });
    loop.spawn([owned = std::make_unique<int>(1000000), &given]() -> task<int> { return give(*owned, given); });
    loop.run();
    CHECK(given == 1111111);
}

TEST_CASE("an executor runs a main task, returns its value and ends the rest in order") {
    executor loop;
    std::string beside;
    std::string behind;
    loop.spawn([&]() -> task<void> { beside = co_await wait_and_tell(1h); });
    loop.spawn_background([&]() -> task<void> { behind = co_await wait_and_tell(1h); });
    CHECK(loop.run(wait_and_tell(1ms)) == "slept");
    CHECK(beside == "cancelled");
    CHECK(behind == "cancelled");
    CHECK(loop.tasks().empty());
    // And again: what is spawned now is not cancelled.
    CHECK(loop.run(wait_and_tell(1ms)) == "slept");
    int given = 0;
    loop.run([](int& into) -> task<void> { static_cast<void>(co_await give(2, into)); }(given));
    CHECK(given == 2);
}

TEST_CASE("an exception of the main task or of another ends everything and comes out of run") {
    executor loop;
    std::string beside;
    loop.spawn([&]() -> task<void> { beside = co_await wait_and_tell(1h); });
    CHECK_THROWS_AS(loop.run(fail()), std::runtime_error);
    CHECK(beside == "cancelled");
    CHECK(loop.tasks().empty());
    loop.spawn(fail());
    CHECK_THROWS_AS(static_cast<void>(loop.run(wait_and_tell(1h))), std::runtime_error);
    CHECK(loop.tasks().empty());
    CHECK(loop.run(wait_and_tell(0ns)) == "slept");
}

TEST_CASE("a task that goes on in spite of being cancelled does not keep the main task's run") {
    executor loop;
    int turns = 0;
    loop.spawn(stubborn(turns));
    CHECK(loop.run(wait_and_tell(0ns), 10ms) == "slept");
    CHECK(turns > 0);
    CHECK(loop.tasks().size() == 1);
}

TEST_CASE("what goes on after a main task is given any duration to end in") {
    executor loop;
    const auto end_slowly = []() -> task<void> {
        static_cast<void>(co_await sleep_for(1h));
        for (int i = 0; i < 10; ++i) { static_cast<void>(co_await yield()); }
    };
    loop.spawn(end_slowly);
    CHECK(loop.run(wait_and_tell(0ns), std::chrono::hours::max()) == "slept");
    CHECK(loop.tasks().empty());
    loop.spawn(end_slowly);
    CHECK(loop.run(wait_and_tell(0ns), std::chrono::duration<double>(1e300)) == "slept");
    CHECK(loop.tasks().empty());
}

TEST_CASE("a main task that is stopped before its end is told by name and may end later") {
    executor loop;
    channel<int> numbers(1);
    int received = 0;
    const auto receive = [&]() -> task<int> {
        const io_result got = co_await numbers.recv(received);
        CHECK(got.n == 1);
        co_return received;
    };
    loop.spawn([&]() -> task<void> {
        loop.stop();
        co_return;
    });
    CHECK(code_of([&] { static_cast<void>(loop.run(receive())); }) == errc::stopped);
    CHECK(loop.tasks().size() == 1);
    int five = 5;
    CHECK(numbers.try_send(std::span(&five, 1)) == 1);
    loop.run();
    CHECK(received == 5);
}

TEST_CASE("running a main task inside the executor's own run is refused by name") {
    executor loop;
    std::error_code refused;
    std::string inner;
    loop.spawn([&]() -> task<void> {
        refused = code_of([&] { static_cast<void>(loop.run(wait_and_tell(0ns))); });
        executor other;
        inner = other.run(wait_and_tell(0ns));
        CHECK(executor::current() == &loop);
        co_return;
    });
    loop.run();
    CHECK(refused == errc::already_running);
    CHECK(inner == "slept");
}

TEST_CASE("an exception during the shutdown does not leave the other tasks where they are") {
    executor loop;
    std::string other;
    loop.spawn([]() -> task<void> {
        const wait_result ended = co_await sleep_for(1h);
        if (ended) { throw std::runtime_error("cancelled"); }
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await wait_and_tell(1h));
        other = co_await wait_and_tell(0ns);
    });
    CHECK(loop.run_for(0ns));
    CHECK_THROWS_AS(static_cast<void>(loop.shut_down(10s)), std::runtime_error);
    CHECK(other == "cancelled");
    CHECK(loop.tasks().empty());
}

TEST_CASE("a request to stop from another thread that comes after the restart does not cancel what is new") {
    executor loop;
    std::thread([&] { loop.request_stop(); }).join();  // posted, and not yet seen
    loop.restart();
    std::string told;
    loop.spawn([&]() -> task<void> { told = co_await wait_and_tell(1ms); });
    loop.run();
    CHECK(told == "slept");
}
