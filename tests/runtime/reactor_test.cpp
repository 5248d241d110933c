// SPDX-License-Identifier: BSD-3-Clause
// What every backend does: each case runs on io_uring and on epoll.
#include "runtime/reactor.hpp"

#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_abstract_v<reactor> && std::has_virtual_destructor_v<reactor>);
static_assert(!std::is_copy_constructible_v<poll_operation> && !std::is_move_constructible_v<poll_operation>);

FLUXNET_REACTOR_TEST("a poll fires once with its events and may be armed again") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    CHECK(operation.armed());
    tested->poll();
    CHECK(operation.results.empty());
    pipe.put();
    REQUIRE(fires_within(*tested, operation, 5s));
    CHECK_FALSE(operation.armed());
    CHECK((operation.results.at(0) & POLLIN) != 0);
    tested->poll();
    CHECK(operation.results.size() == 1);
    operation.results.clear();
    tested->arm(operation, pipe.read.get(), POLLIN);
    CHECK(fires_within(*tested, operation, 5s));
}

FLUXNET_REACTOR_TEST("a wait ends at its deadline and not before") {
    const auto tested = attached(kind);
    const auto start = clock_type::now();
    int fewest = waits_until(*tested, start + 20ms);
    for (int round = 0; round < 10; ++round) { fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms)); }
    CHECK(fewest == 1);
    CHECK(clock_type::now() - start < 5s);
}

FLUXNET_REACTOR_TEST("a wait with a deadline of the past returns at once") {
    const auto tested = attached(kind);
    const auto start = clock_type::now();
    tested->wait(start - 1s);
    tested->wait(clock_type::time_point{});
    tested->wait(clock_type::time_point::min());
    CHECK(clock_type::now() - start < 5s);
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
    const auto start = clock_type::now();
    tested->wait(start + 10s);
    CHECK(clock_type::now() - start < 5s);
}

FLUXNET_REACTOR_TEST("a disarmed operation fires with ECANCELED") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->poll();
    tested->disarm(operation);
    REQUIRE(fires_within(*tested, operation, 5s));
    CHECK(operation.results == std::vector<int>{-ECANCELED});
    tested->disarm(operation);
    tested->wait(clock_type::now());
    CHECK(operation.results.size() == 1);
}

FLUXNET_REACTOR_TEST("an operation that is disarmed now never fires") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    for (const bool submitted : {false, true}) {
        recorder operation;
        tested->arm(operation, pipe.read.get(), POLLIN);
        if (submitted) { tested->poll(); }
        tested->disarm_now(operation);
        CHECK_FALSE(operation.armed());
        tested->wait(clock_type::now() + 1ms);
        CHECK(operation.results.empty());
    }
}

FLUXNET_REACTOR_TEST("an operation that has completed and is disarmed now does not fire") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->poll();
    pipe.put();
    tested->disarm_now(operation);
    CHECK_FALSE(operation.armed());
    tested->wait(clock_type::now() + 1ms);
    CHECK(operation.results.empty());
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
    const auto start = clock_type::now();
    tested->wait(start + 3s);
    CHECK(clock_type::now() - start < 2s);
    CHECK(first.results.size() == 1);
    CHECK(second.results.empty());
}

FLUXNET_REACTOR_TEST("an operation may disarm or arm others while it fires") {
    struct starter final : poll_operation {
        reactor* tested = nullptr;
        recorder* other = nullptr;
        int fd = -1;
        void on_ready(int) noexcept override {
            tested->disarm_now(*other);
            tested->arm(*other, fd, POLLIN);
        }
    };
    const auto tested = attached(kind);
    const pipe_ends pipe;
    pipe.put();
    starter first;
    recorder second;
    first.tested = tested.get();
    first.other = &second;
    first.fd = pipe.read.get();
    // Both are ready at once; the first one takes the second's firing away and arms it anew.
    tested->arm(first, pipe.read.get(), POLLIN);
    tested->arm(second, pipe.read.get(), POLLIN);
    REQUIRE(fires_within(*tested, second, 5s));
    CHECK(second.results.size() == 1);
}

FLUXNET_REACTOR_TEST("more operations than the ring has entries can be armed and disarmed") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    std::vector<recorder> all(2000);
    for (recorder& one : all) { tested->arm(one, pipe.read.get(), POLLIN); }
    tested->poll();
    for (std::size_t i = 0; i < all.size(); i += 2) { tested->disarm(all[i]); }
    const auto end = clock_type::now() + 10s;
    const auto fired = [&] {
        std::size_t count = 0;
        for (const recorder& one : all) { count += one.results.size(); }
        return count;
    };
    while (fired() != all.size() / 2 && clock_type::now() < end) { tested->wait(end); }
    CHECK(fired() == all.size() / 2);
    pipe.put();
    while (fired() != all.size() && clock_type::now() < end) { tested->wait(end); }
    CHECK(fired() == all.size());
}

FLUXNET_REACTOR_TEST("a reactor that is shut down forgets its operations without firing them") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder waiting;
    recorder disarmed;
    recorder fresh;
    tested->arm(waiting, pipe.read.get(), POLLIN);
    tested->arm(disarmed, pipe.read.get(), POLLIN);
    tested->poll();
    pipe.put();
    tested->disarm(disarmed);
    tested->arm(fresh, pipe.read.get(), POLLIN);
    tested->shut_down();
    for (recorder* one : {&waiting, &disarmed, &fresh}) {
        CHECK_FALSE(one->armed());
        CHECK_FALSE(one->is_linked());
        CHECK(one->results.empty());
    }
    tested->shut_down();
}

FLUXNET_REACTOR_TEST("a reactor that was never attached can be destroyed") {
    const auto tested = make_reactor(kind);
    tested->wake();
}

FLUXNET_REACTOR_TEST("what is ready already fires at the next poll") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    pipe.put();
    recorder operation;
    for (std::size_t round = 1; round <= 3; ++round) {
        tested->arm(operation, pipe.read.get(), POLLIN);
        CHECK(operation.results.size() == round - 1);
        tested->poll();
        CHECK(operation.results.size() == round);
    }
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
        const auto start = clock_type::now();
        tested->wait(start + 10s);
        CHECK(clock_type::now() - start < 5s);
        fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms));
    }
    CHECK(fewest == 1);  // it ends no other
    tested->disarm_now(operation);
}

FLUXNET_REACTOR_TEST("a deadline is not rounded to milliseconds") {
    const auto tested = attached(kind);
    auto shortest = clock_type::duration::max();
    for (int round = 0; round < 100; ++round) {
        const auto start = clock_type::now();
        waits_until(*tested, start + 100us);
        shortest = std::min(shortest, clock_type::now() - start);
    }
    CHECK(shortest >= 100us);
    CHECK(shortest < 900us);
}

FLUXNET_REACTOR_TEST("a signal ends a wait") {
    struct sigaction action{};
    struct sigaction former{};
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
    const auto start = clock_type::now();
    tested->wait(start + 10s);
    CHECK(clock_type::now() - start < 5s);
    ended = true;
    other.join();
    ::sigaction(SIGUSR1, &former, nullptr);
}

FLUXNET_REACTOR_TEST("an operation that is disarmed and then disarmed now never fires") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->poll();
    tested->disarm(operation);
    tested->disarm(operation);
    tested->disarm_now(operation);
    CHECK_FALSE(operation.armed());
    tested->wait(clock_type::now() + 1ms);
    CHECK(operation.results.empty());
    tested->arm(operation, pipe.read.get(), POLLIN);
    pipe.put();
    CHECK(fires_within(*tested, operation, 5s));
}

FLUXNET_REACTOR_TEST("an operation that was never handed over is cancelled all the same") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->disarm(operation);
    REQUIRE(fires_within(*tested, operation, 5s));
    CHECK(operation.results == std::vector<int>{-ECANCELED});
}

FLUXNET_REACTOR_TEST("an operation may arm itself again while it fires") {
    struct repeater final : poll_operation {
        reactor* owner = nullptr;
        int fd = -1;
        int fired = 0;
        void on_ready(int) noexcept override {
            if (++fired < 5) { owner->arm(*this, fd, POLLIN); }
        }
    };
    const auto tested = attached(kind);
    const pipe_ends pipe;
    pipe.put();
    repeater operation;
    operation.owner = tested.get();
    operation.fd = pipe.read.get();
    tested->arm(operation, operation.fd, POLLIN);
    for (int turn = 1; turn <= 7; ++turn) {
        tested->poll();
        CHECK(operation.fired == std::min(turn, 5));  // once a turn: the others get theirs
    }
}
