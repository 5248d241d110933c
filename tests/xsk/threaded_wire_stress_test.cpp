// SPDX-License-Identifier: BSD-3-Clause
// A simulated wire whose sockets live on several threads.
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include "tests/support/deadline.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/scale.hpp"
#include "tests/xsk/sim.hpp"
#include "tests/xsk/wire_threads.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;
using steady = std::chrono::steady_clock;

TEST_CASE("two threads echo at each other through a wait each and no wake-up is lost") {
    for (const auto& [window, zero_copy] : {std::pair{1U, false}, {16U, false}, {1U, true}, {16U, true}}) {
        CAPTURE(window);
        CAPTURE(zero_copy);
        const std::uint64_t rounds_made = rounds(zero_copy ? 8'000 : 40'000, 8);
        wire_options options = threaded();
        options.zero_copy = zero_copy;
        simulated_wire wire(options);
        system_sockets left = open(wire, end::left);
        system_sockets right = open(wire, end::right);
        std::atomic<bool> done = false;
        std::thread other([&] { echo(right, done); });
        receiver answers;
        std::uint64_t sent = 0;
        while (sent < rounds_made && !answers.stalled) {
            const std::uint64_t left_now = send(left.tx, sent, window);
            sent += left_now;
            answers.take(left.rx, left_now);
        }
        done = true;
        other.join();
        CHECK_FALSE(answers.stalled);
        CHECK(left.rx.zero_copy() == zero_copy);
        CHECK(answers.received == sent);
        CHECK(answers.wrong == 0);
        for (const end from : {end::left, end::right}) {
            CHECK(wire.counts(from).offered == sent);
            CHECK(wire.counts(from).delivered == sent);
        }
        check_whole(left);
        check_whole(right);
    }
}

TEST_CASE("packets under way on a threaded wire arrive in real time with nobody moving the clock") {
    simulated_wire wire(threaded({.delay = 3ms}));
    system_sockets left = open(wire, end::left);
    system_sockets right = open(wire, end::right);
    for (std::uint64_t round = 0; round < 10; ++round) {
        const auto start = steady::now();
        REQUIRE(send(left.tx, round, 1) == 1);
        REQUIRE(right.rx.wait(10min));
        CHECK(steady::now() - start >= 3ms);
        packet one;
        REQUIRE(right.rx.try_recv(std::span(&one, 1)) == 1);
        CHECK(number_of(one) == round);
    }
    CHECK(wire.now() >= 30ms);
    CHECK_FALSE(wire.next_arrival());
    check_whole(left);
    check_whole(right);
}

TEST_CASE("a packet that is due earlier than the one the wire sleeps for is not kept waiting") {
    wire_options options = threaded({.delay = 1h});
    options.to_left.delay = 2ms;
    simulated_wire wire(options);
    system_sockets left = open(wire, end::left);
    system_sockets right = open(wire, end::right);
    REQUIRE(send(left.tx, 0, 1) == 1);
    std::this_thread::sleep_for(20ms);  // the wire sleeps for the one above by then
    const auto start = steady::now();
    REQUIRE(send(right.tx, 0, 1) == 1);
    CHECK(left.rx.wait(10min));
    CHECK(steady::now() - start >= 2ms);
    CHECK(wire.counts(end::left).in_transit == 1);  // and it ends with a packet under way
}

TEST_CASE("delayed and shuffled packets between two threads are all accounted for") {
    const std::uint64_t count = rounds(40'000, 8);
    simulated_wire wire(threaded(
        {.loss = 0.02, .duplication = 0.02, .reordering = 0.05, .delay = 50us, .jitter = 30us, .reordering_delay = 100us}));
    system_sockets left = open(wire, end::left);
    system_sockets right = open(wire, end::right);
    std::atomic<bool> done = false;
    std::thread other([&] { echo(right, done); });
    std::uint64_t received = 0;
    std::array<packet, 32> burst;
    for (std::uint64_t sent = 0; sent < count;) {
        sent += send(left.tx, sent, 16);
        if (left.rx.wait(100us)) { received += left.rx.try_recv(burst); }
    }
    while (left.rx.wait(50ms)) { received += left.rx.try_recv(burst); }
    done = true;
    other.join();
    while (const std::uint32_t rest = left.rx.try_recv(burst)) { received += rest; }
    for (packet& one : burst) { one.reset(); }
    for (const end from : {end::left, end::right}) {
        const wire_counts counts = wire.counts(from);
        CHECK(counts.offered + counts.duplicated == counts.accounted());
        CHECK(counts.in_transit == 0);
        CHECK(counts.lost > 0);
        CHECK(counts.reordered > 0);
    }
    CHECK(wire.counts(end::left).offered >= count);
    CHECK(wire.counts(end::right).delivered == received);
    check_whole(left);
    check_whole(right);
}

TEST_CASE("the halves of a socket work on a thread each") {
    const std::uint64_t count = rounds(60'000, 8);
    simulated_wire wire(threaded());
    system_sockets left = open(wire, end::left);
    system_sockets right = open(wire, end::right);
    receiver answers;
    std::atomic<std::uint64_t> seen = 0;
    std::atomic<bool> done = false;
    std::thread sending([&] {
        for (std::uint64_t sent = 0; sent < count;) {
            if (sent - seen >= 48) {
                std::this_thread::yield();
            } else {
                sent += send(left.tx, sent, std::min<std::uint64_t>(16, count - sent));
            }
        }
        left.tx.release();
    });
    std::thread echoing([&] { echo(right, done); });
    while (answers.received < count && !answers.stalled) {
        answers.take(left.rx, 1);
        seen = answers.received;
    }
    if (answers.stalled) { seen = count; }
    sending.join();
    done = true;
    echoing.join();
    CHECK(answers.received >= count);
    CHECK(answers.wrong == 0);
    check_whole(left);
    check_whole(right);
}

TEST_CASE("sockets come and go while the other side sends") {
    for (const auto& [delay, zero_copy] : {std::pair{0us, false}, {20us, false}, {20us, true}}) {
        CAPTURE(zero_copy);
        wire_options options = threaded({.delay = delay});
        options.zero_copy = zero_copy;
        simulated_wire wire(options);
        system_sockets left = open(wire, end::left);
        std::atomic<bool> done = false;
        std::thread sending([&] {
            for (std::uint64_t sent = 0; !done;) { sent += send(left.tx, sent, 16); }
            left.tx.release();
        });
        std::uint64_t received = 0;
        for (std::uint32_t round = 0; round < rounds(400, 4); ++round) {
            {
                system_sockets right = open(wire, end::right);
                std::array<packet, 32> burst;
                if (right.rx.wait(10min)) { received += right.rx.try_recv(burst); }
            }
            const std::uint64_t missed = wire.counts(end::left).no_socket;
            const deadline limit(round % 8 == 0 ? 5s : 0s);
            while (wire.counts(end::left).no_socket == missed && !limit.passed()) { std::this_thread::yield(); }
        }
        done = true;
        sending.join();
        CHECK(received >= rounds(400, 4));
        const wire_counts counts = wire.counts(end::left);
        CHECK(counts.offered + counts.duplicated == counts.accounted());
        CHECK(counts.no_socket > 0);
        CHECK(counts.delivered >= received);
        check_whole(left);
    }
}

TEST_CASE("a zero-copy driver that falls asleep overlooks no packet") {
    wire_options options = threaded();
    options.zero_copy = true;
    simulated_wire wire(options);
    system_sockets left = open(wire, end::left);
    system_sockets right = open(wire, end::right);
    receiver got;
    std::minstd_rand random(1);
    std::uint64_t sent = 0;
    const deadline enough(1s);
    while (!enough.passed() && !got.stalled) {
        sent += send(left.tx, sent, 1);
        packet next;
        if (left.tx.allocate(std::span(&next, 1)) != 1 || !next.assign(numbered(sent))) { break; }
        // The poll that completes a packet goes to sleep when it finds no other: this one comes at that very moment.
        const deadline limit(5s);
        while (left.tx.in_flight() != 0 && left.tx.reap() == 0 && !limit.passed()) {}
        for (unsigned i = random() % 32; i != 0; --i) { static_cast<void>(left.tx.pending()); }
        if (!left.tx.try_send(next)) { break; }
        left.tx.flush();
        got.take(right.rx, ++sent - got.received);
    }
    CHECK_FALSE(got.stalled);
    CHECK(sent > 10);
    CHECK(got.received == sent);
    CHECK(got.wrong == 0);
    check_whole(left);
    check_whole(right);
}

TEST_CASE("nobody moves the clock of a threaded wire") {
    FLUXNET_SKIP_IF(why_no_assertions());
    simulated_wire wire(threaded());
    CHECK(dies([&] { wire.advance_to(1s); }));
    CHECK_FALSE(dies([] { simulated_wire().advance_to(1s); }));
}
