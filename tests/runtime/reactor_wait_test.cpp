// SPDX-License-Identifier: BSD-3-Clause
// What ends a wait, on every backend: each case runs on io_uring and on epoll.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

FLUXNET_REACTOR_TEST("a wait ends at its deadline and not before") {
    const auto tested = attached(kind);
    int fewest = waits_until(*tested, clock_type::now() + 20ms);
    for (int round = 0; round < 10; ++round) { fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms)); }
    CHECK(fewest == 1);
}

FLUXNET_REACTOR_TEST("a wait with a deadline of the past returns at once") {
    const auto tested = attached(kind);
    tested->wait(clock_type::now() - 1s);
    tested->wait(clock_type::time_point{});
    tested->wait(clock_type::time_point::min());
}

FLUXNET_REACTOR_TEST("a wake from another thread ends a wait") {
    const auto tested = attached(kind);
    for (int round = 0; round < 20; ++round) {
        std::thread other([&] {
            std::this_thread::sleep_for(1ms);
            tested->wake();
        });
        tested->wait(std::nullopt);
        other.join();
    }
}

FLUXNET_REACTOR_TEST("a wake before a wait ends that wait") {
    const auto tested = attached(kind);
    tested->wake();
    tested->wake();
    tested->wait(std::nullopt);
}

FLUXNET_REACTOR_TEST("a completion that was reaped while another operation was disarmed is not slept over") {
    const auto tested = attached(kind);
    const pipe_ends ready;
    const pipe_ends silent;
    recorder first;
    recorder second;
    tested->arm(first, ready.read.get(), POLLIN);
    tested->arm(second, silent.read.get(), POLLIN);
    tested->poll();
    ready.put();
    tested->disarm_now(second);
    tested->wait(std::nullopt);
    CHECK(first.results.size() == 1);
    CHECK(second.results.empty());
}

FLUXNET_REACTOR_TEST("a wake that a poll has seen still ends the next wait") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->poll();
    int fewest = 1000;
    for (int round = 0; round < 10; ++round) {
        tested->wake();
        tested->poll();
        tested->wait(std::nullopt);
        fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms));
    }
    CHECK(fewest == 1);  // it ends no other
    tested->disarm_now(operation);
}

FLUXNET_REACTOR_TEST("wake-ups that come together end one wait and no other") {
    const auto tested = attached(kind);
    int fewest = 1000;
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 3; ++i) { tested->wake(); }
        tested->wait(std::nullopt);
        fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms));
    }
    CHECK(fewest == 1);
}

FLUXNET_REACTOR_TEST("each of a thousand wake-ups ends a wait") {
    for (const reactor_threads threads : {reactor_threads::one, reactor_threads::changing}) {
        const auto tested = make_reactor(kind, threads);
        tested->attach();
        std::atomic<int> asked = 0;
        std::thread other([&] {
            for (int answered = 0; answered < 1000; ++answered) {
                while (asked.load() == answered) { std::this_thread::yield(); }
                tested->wake();
            }
        });
        for (int round = 1; round <= 1000; ++round) {
            asked.store(round);
            tested->wait(std::nullopt);  // for ever, should the wake-up be lost
        }
        other.join();
    }
}

FLUXNET_REACTOR_TEST("wake-ups end waits on a thread that follows another") {
    const auto tested = make_reactor(kind, reactor_threads::changing);
    std::thread([&] {
        tested->attach();
        tested->wait(clock_type::now());
    }).join();
    for (int round = 0; round < 3; ++round) {
        tested->wake();
        tested->wait(std::nullopt);  // for ever, should the wake-up be lost
    }
}

FLUXNET_REACTOR_TEST("a deadline is not rounded down to milliseconds") {
    const auto tested = attached(kind);
    auto shortest = clock_type::duration::max();
    for (int round = 0; round < 100; ++round) {
        const auto start = clock_type::now();
        waits_until(*tested, start + 100us);
        shortest = std::min(shortest, clock_type::now() - start);
    }
    CHECK(shortest >= 100us);
}

FLUXNET_REACTOR_TEST("a signal ends a wait") {
    struct sigaction action {};
    struct sigaction former {};
    action.sa_handler = [](int) {};
    REQUIRE(::sigaction(SIGUSR1, &action, &former) == 0);
    const auto tested = attached(kind);
    std::atomic<bool> ended = false;
    std::thread other([&, target = ::pthread_self()] {
        while (!ended) {  // more than one, because the first may come before the wait
            std::this_thread::sleep_for(1ms);
            ::pthread_kill(target, SIGUSR1);
        }
    });
    tested->wait(std::nullopt);
    ended = true;
    other.join();
    ::sigaction(SIGUSR1, &former, nullptr);
}
