// SPDX-License-Identifier: BSD-3-Clause
// What real drivers do differently, on a simulated wire: flags that rise late, completions that are late or never come, and
// ring indices that wrap.
#include "fluxnet/xsk/packet_batch.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include "tests/xsk/bare_pair.hpp"
#include "tests/xsk/sim.hpp"
#include "tests/xsk/wire_line.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

wire_options waiting_wire() {
    wire_options options = zero_copy_wire();
    options.temper = driver_temper::waits_for_kicks;
    return options;
}

}  // namespace

TEST_CASE("a driver that waits for kicks raises the fill flag late and does not look again") {
    bare_pair p(with_flags, waiting_wire());
    p.queue();
    p.left.kick_tx();
    CHECK(p.counts().fill_ring_empty == 1);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.give(2);
    CHECK(p.wire.next_arrival() == p.wire.now());
    p.wire.advance_to(0us);
    CHECK(p.right.fill.needs_wakeup());
    for (int i = 0; i < 3; ++i) {
        p.queue();
        p.left.kick_tx();
        p.wire.advance_to(p.wire.now());
    }
    CHECK(p.counts().fill_ring_empty == 4);
    CHECK(p.right.kick_rx() == 0);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.queue();
    p.left.kick_tx();
    CHECK(p.counts().delivered == 1);
}

TEST_CASE("a driver that is kicked before it has raised the fill flag does not raise it") {
    bare_pair p(with_flags, waiting_wire());
    p.queue();
    p.left.kick_tx();
    p.give(2);
    CHECK(p.right.kick_rx() == 0);
    p.wire.advance_to(0us);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.queue();
    p.left.kick_tx();
    CHECK(p.counts().delivered == 1);
}

TEST_CASE("a driver that waits for kicks stands still for ever unless its rx looks at the flag with the ring dry") {
    wire_line pair(waiting_wire(), 16, 16);  // 12 frames to receive into
    rx& receiver = pair.right->rx;
    const auto time_passes = [&] { pair.wire.advance_to(pair.wire.now() + 1us); };
    const auto delivered = [&] { return pair.wire.counts(end::left).delivered; };
    const auto send_some = [&](unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            REQUIRE(pair.send(payload(60, i)));
            REQUIRE(pair.left->tx.drain(5ms));
        }
    };
    // The fill ring runs dry and is refilled before the driver raises the flag: no refill kicks, then or later.
    const auto ask_late = [&](std::vector<packet>& held) {
        const std::uint64_t before = delivered();
        send_some(12);
        REQUIRE(pair.send(payload(60, 12)));
        REQUIRE(delivered() == before + 12);
        REQUIRE(receiver.try_recv(held) == 12);
        for (packet& one : held) { one.reset(); }
        receiver.refill();
        time_passes();
        REQUIRE(pair.left->tx.drain(5ms));
        REQUIRE(receiver.home().free_count() == 0);
    };
    std::vector<packet> held(12);
    packet none;
    for (int look = 0; look < 4; ++look) {
        CAPTURE(look);
        ask_late(held);
        // What a loop does that refills and never looks: nothing arrives, however long it goes on.
        const std::uint64_t before = delivered();
        for (int turn = 0; turn < 100; ++turn) {
            send_some(1);
            receiver.refill();
            time_passes();
            REQUIRE(receiver.available() == 0);
        }
        REQUIRE(delivered() == before);
        switch (look) {
            case 0: REQUIRE(receiver.try_recv(std::span(&none, 1)) == 0); break;
            case 1: REQUIRE(packet_batch(receiver, 0).receive(16) == 0); break;
            case 2: receiver.wake_if_needed(); break;
            default: REQUIRE_FALSE(receiver.wait(1ns)); break;
        }
        send_some(1);
        CHECK(delivered() == before + 1);
        CHECK(receiver.try_recv(std::span(&none, 1)) == 1);
        none.reset();
        receiver.refill();
    }
}

TEST_CASE("the TX flag of a driver that waits for kicks never goes down") {
    bare_pair p(with_flags, waiting_wire());
    for (unsigned i = 1; i <= 4; ++i) {
        CHECK(p.left.tx.needs_wakeup());
        p.queue();
        CHECK(p.left.kick_tx() == 0);
        CHECK(p.left.tx.needs_wakeup());
        p.wire.advance_to(p.wire.now());
        CHECK(p.sent() == i);
    }
    CHECK(p.left.comp.available() == 4);
}

TEST_CASE("copy mode never touches the fill ring's flag") {
    bare_pair p(XDP_COPY | XDP_USE_NEED_WAKEUP);
    p.send();
    CHECK(p.counts().fill_ring_empty == 1);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    *p.right.fill.memory().flags = XDP_RING_NEED_WAKEUP;
    p.give(1);
    CHECK(p.right.kick_rx() == 0);
    p.send();
    CHECK(p.counts().delivered == 1);
    CHECK(p.right.fill.needs_wakeup());
}

TEST_CASE("a late completion comes at its time and holds up those behind it") {
    for (const int flags : {static_cast<int>(XDP_COPY), with_flags}) {
        CAPTURE(flags);
        wire_options options = zero_copy_wire();
        options.to_right.withheld = 1;
        options.to_right.withheld_for = 10us;
        bare_pair p(flags, options);
        const auto send_at = [&](std::chrono::nanoseconds when) {
            p.wire.advance_to(when);
            p.queue();
            CHECK(p.left.kick_tx() == 0);
            p.wire.advance_to(when);
        };
        send_at(0us);
        send_at(4us);
        CHECK(p.wire.next_arrival() == 10us);
        p.wire.advance_to(9us);
        CHECK(p.left.comp.available() == 0);
        p.wire.advance_to(10us);
        CHECK(p.left.comp.available() == 1);
        CHECK(p.wire.next_arrival() == 14us);
        p.wire.advance_to(14us);
        CHECK(p.left.comp.available() == 2);
        CHECK_FALSE(p.wire.next_arrival());
    }
}

TEST_CASE("a late completion keeps its place in the completion ring") {
    wire_options options;
    options.to_right.withheld = 1;
    options.to_right.withheld_for = 10us;
    bare_pair p(XDP_COPY, options);
    for (unsigned i = 0; i < bare_socket::ring_size; ++i) { p.queue(); }
    CHECK(p.left.kick_tx() == 0);
    p.queue();
    CHECK(p.left.kick_tx() == -EAGAIN);
    CHECK(p.sent() == bare_socket::ring_size);
    p.wire.advance_to(10us);
    CHECK(p.left.kick_tx() == -EAGAIN);
    CHECK(p.left.comp.consume(1).next().value == 0);
    CHECK(p.left.kick_tx() == 0);
}

TEST_CASE("after a reset no completion comes and the frames stay with the kernel") {
    for (const bool zero_copy : {false, true}) {
        CAPTURE(zero_copy);
        wire_options options;
        options.zero_copy = zero_copy;
        options.to_right.completions_end = 1ms;
        wire_line pair(options);
        const auto bytes = payload(100, 1);
        REQUIRE(pair.send(bytes));
        CHECK(pair.left->tx.drain(5ms));
        pair.wire.advance_to(1ms);
        for (int i = 0; i < 3; ++i) { REQUIRE(pair.send(bytes)); }
        CHECK_FALSE(pair.left->tx.drain(5ms));
        pair.wire.advance_to(1s);
        CHECK(pair.left->tx.reap() == 0);
        CHECK(pair.left->tx.in_flight() == 3);
        CHECK(pair.receive().size() == 4);
        check_census(pair.left->tx.pool(), 0, 3);
    }
}

TEST_CASE("traffic goes on while the indices of all rings wrap") {
    for (const bool zero_copy : {false, true}) {
        CAPTURE(zero_copy);
        wire_options options;
        options.zero_copy = zero_copy;
        options.first_index = ~std::uint32_t{0} - 20;
        wire_line pair(options, 32, 16);
        for (unsigned i = 0; i < 100; ++i) {
            const auto bytes = payload(100 + i, i);
            REQUIRE(pair.send(bytes));
            REQUIRE(pair.left->tx.drain(5ms));
            const auto received = pair.receive();
            REQUIRE(received.size() == 1);
            REQUIRE(same(received[0], bytes));
            pair.right->rx.refill();
        }
        check_census(pair.left->tx.pool());
        check_census(pair.right->rx.pool());
    }
}
