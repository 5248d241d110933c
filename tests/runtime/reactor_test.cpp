// SPDX-License-Identifier: BSD-3-Clause
// What every backend does with operations: each case runs on io_uring and on epoll.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
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
    wait_for(*tested, operation);
    CHECK_FALSE(operation.armed());
    CHECK((operation.results.at(0) & POLLIN) != 0);
    tested->poll();
    CHECK(operation.results.size() == 1);
    operation.results.clear();
    tested->arm(operation, pipe.read.get(), POLLIN);
    wait_for(*tested, operation);
}

FLUXNET_REACTOR_TEST("a disarmed operation fires with ECANCELED") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->poll();
    tested->disarm(operation);
    wait_for(*tested, operation);
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
    wait_for(*tested, second);
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
    wait_for(*tested, operation);
}

FLUXNET_REACTOR_TEST("an operation that was never handed over is cancelled all the same") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    tested->disarm(operation);
    wait_for(*tested, operation);
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

FLUXNET_REACTOR_TEST("an operation that came due while another was disarmed stays armed until it has fired") {
    const auto tested = attached(kind);
    const pipe_ends due;
    const pipe_ends silent;
    recorder first;
    recorder second;
    tested->arm(first, due.read.get(), POLLIN);
    tested->arm(second, silent.read.get(), POLLIN);
    tested->poll();
    due.put();
    tested->disarm_now(second);
    REQUIRE(first.results.empty());
    CHECK(first.armed());  // a handler that arms whatever is not armed, as those of links and signals do, leaves it alone
    if (!first.armed()) { tested->arm(first, due.read.get(), POLLIN); }
    wait_for(*tested, first);
    tested->poll();
    CHECK(first.results == std::vector<int>{POLLIN});
    CHECK_FALSE(first.armed());
    CHECK_FALSE(first.is_linked());
}

FLUXNET_REACTOR_TEST("an operation that has come due is armed while others fire and idle when it fires itself") {
    struct witness final : poll_operation {
        witness* other = nullptr;
        bool idle_itself = false;
        bool other_armed = false;
        void on_ready(int) noexcept override {
            idle_itself = !armed() && !is_linked();
            other_armed = other->armed();
        }
    };
    const auto tested = attached(kind);
    const pipe_ends pipe;
    witness pair[2];
    pair[0].other = &pair[1];
    pair[1].other = &pair[0];
    pipe.put();
    for (witness& one : pair) { tested->arm(one, pipe.read.get(), POLLIN); }
    tested->poll();
    for (const witness& one : pair) { CHECK(one.idle_itself); }
    CHECK(pair[0].other_armed != pair[1].other_armed);  // true for the first that fires
}

FLUXNET_REACTOR_TEST("an operation that came due while another was disarmed can be disarmed itself") {
    const auto tested = attached(kind);
    const pipe_ends due;
    const pipe_ends silent;
    recorder first;
    recorder second;
    for (const bool now : {false, true}) {
        tested->arm(first, due.read.get(), POLLIN);
        tested->arm(second, silent.read.get(), POLLIN);
        tested->poll();
        due.put();
        tested->disarm_now(second);
        if (now) {
            tested->disarm_now(first);
            CHECK_FALSE(first.armed());
        } else {
            tested->disarm(first);
            wait_for(*tested, first);
        }
        tested->poll();
        CHECK(first.results.size() == (now ? 0U : 1U));
        first.results.clear();
        due.take();
    }
}
