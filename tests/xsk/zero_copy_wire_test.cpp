// SPDX-License-Identifier: BSD-3-Clause
// The zero-copy driver of a simulated wire: when its NEED_WAKEUP flags rise and fall, and how the sockets live with it.
#include "fluxnet/xsk/simulation/detail/simulated_socket.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/xsk/bare_pair.hpp"
#include "tests/xsk/sim.hpp"
#include "tests/xsk/wire_line.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

TEST_CASE("a kernel that raises a flag looks at the ring once more") {
    bare_pair p(with_flags);
    const auto& memory = p.left.tx.memory();
    fluxnet::detail::kernel_ring ring(memory);
    *memory.flags = 0;
    CHECK(ring.empty_with_flag_raised());
    CHECK(p.left.tx.needs_wakeup());
    p.queue();
    CHECK_FALSE(ring.empty_with_flag_raised());
}

TEST_CASE("an awake driver sends without a kick and an asleep one waits for it") {
    bare_pair p(with_flags);
    CHECK(p.left.tx.needs_wakeup());
    p.queue();
    p.wire.advance_to(1us);
    CHECK(p.sent() == 0);
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 1);
    CHECK_FALSE(p.left.tx.needs_wakeup());
    CHECK(p.left.comp.available() == 0);  // the next poll will have noticed
    CHECK(p.wire.next_arrival() == p.wire.now());

    p.queue();
    CHECK(p.sent() == 1);
    p.wire.advance_to(2us);
    CHECK(p.sent() == 2);
    CHECK(p.left.comp.available() == 1);
    CHECK_FALSE(p.left.tx.needs_wakeup());

    p.wire.advance_to(2us);
    CHECK(p.left.comp.available() == 2);
    CHECK(p.left.tx.needs_wakeup());
    CHECK_FALSE(p.wire.next_arrival());
    p.queue();
    p.wire.advance_to(3us);
    CHECK(p.sent() == 2);
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 3);
}

TEST_CASE("a kick that nobody asked for does nothing") {
    bare_pair p(with_flags);
    p.queue();
    CHECK(p.left.kick_tx() == 0);
    p.queue();
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 1);
    p.wire.advance_to(0us);
    CHECK(p.sent() == 2);
}

TEST_CASE("a kick with nothing to send puts the driver back to sleep") {
    bare_pair p(with_flags);
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.left.tx.needs_wakeup());
    CHECK_FALSE(p.wire.next_arrival());
}

TEST_CASE("without need_wakeup the TX flag stays up and every kick is heard") {
    for (const int flags : {without_flags, static_cast<int>(XDP_COPY)}) {
        CAPTURE(flags);
        bare_pair p(flags);
        for (unsigned i = 1; i <= 4; ++i) {
            p.queue();
            CHECK(p.left.kick_tx() == 0);
            CHECK(p.sent() == i);
            CHECK(p.left.tx.needs_wakeup());
        }
        p.wire.advance_to(0us);
        CHECK(p.left.comp.available() == 4);
        CHECK(p.left.tx.needs_wakeup());
    }
}

TEST_CASE("a driver that ran out of frames takes new ones when it is kicked") {
    bare_pair p(with_flags);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.give(2);
    for (int i = 0; i < 2; ++i) { p.send(); }
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.send();
    CHECK(p.right.fill.needs_wakeup());
    CHECK(p.counts().fill_ring_empty == 1);

    p.give(2);
    p.send();
    CHECK(p.counts().fill_ring_empty == 2);
    CHECK(p.right.fill.pending() == 2);
    CHECK(p.right.kick_rx() == 0);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.send();
    CHECK(p.counts().delivered == 3);
    CHECK(p.right.rx.available() == 3);
}

TEST_CASE("a kick finds no frames when there are none") {
    bare_pair p(with_flags);
    p.send();
    CHECK(p.right.kick_rx() == 0);
    CHECK(p.right.fill.needs_wakeup());
    p.give(1);
    p.send();
    CHECK(p.counts().delivered == 0);
}

TEST_CASE("a driver that is polled for TX finds frames as well") {
    bare_pair p(with_flags);
    p.send();
    p.give(1);
    CHECK(p.right.fill.needs_wakeup());
    REQUIRE(p.right.tx.reserve(1).push({{2048}, 60, 0}));
    CHECK(p.right.kick_tx() == 0);
    CHECK_FALSE(p.right.fill.needs_wakeup());
    p.send();
    CHECK(p.counts().delivered == 1);
}

TEST_CASE("without need_wakeup new frames are found without a kick and the flag stays down") {
    for (const int flags : {without_flags, static_cast<int>(XDP_COPY)}) {
        CAPTURE(flags);
        bare_pair p(flags);
        p.send();
        CHECK(p.counts().fill_ring_empty == 1);
        CHECK_FALSE(p.right.fill.needs_wakeup());
        p.give(1);
        p.send();
        CHECK(p.counts().delivered == 1);
    }
}

TEST_CASE("a full completion ring holds packets back until it is emptied and kicked") {
    bare_pair p(with_flags);
    for (int round = 0; round < 2; ++round) {
        for (unsigned i = 0; i < bare_socket::ring_size; ++i) { p.queue(); }
        CHECK(p.left.kick_tx() == 0);
        p.wire.advance_to(0us);
    }
    CHECK(p.sent() == 8);
    CHECK(p.left.tx.pending() == 8);
    CHECK(p.left.tx.needs_wakeup());
    CHECK_FALSE(p.wire.next_arrival());
    {
        auto done = p.left.comp.consume();
        while (done.remaining() != 0) { done.next(); }
    }
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 16);
}

TEST_CASE("zero-copy drops bad descriptors and their frames") {
    bare_pair p(with_flags);
    REQUIRE(p.left.tx.reserve(1).push({{1ULL << 40}, 60, 0}));
    p.queue();
    CHECK(p.left.kick_tx() == 0);
    p.wire.advance_to(0us);
    CHECK(p.sent() == 1);
    CHECK(p.left.comp.available() == 1);
}

TEST_CASE("a driver that has sent nothing and still finds packets stays awake") {
    simulated_wire wire(zero_copy_wire());
    raw_socket socket = wire.socket_on(end::left).tx_ring(512).build_raw().value();
    {
        auto slots = socket.tx.reserve(301);
        for (int i = 0; i < 300; ++i) { REQUIRE(slots.push({{1ULL << 40}, 60, 0})); }  // more than it looks at in one go
        REQUIRE(slots.push({{2048ULL * 2000}, 60, 0}));
    }
    CHECK_FALSE(socket.wakeup_tx());
    CHECK(wire.counts(end::left).offered == 0);
    CHECK_FALSE(socket.needs_wakeup_tx());
    CHECK(wire.next_arrival() == wire.now());
    wire.advance_to(wire.now());
    CHECK(wire.counts(end::left).offered == 1);
    CHECK(socket.statistics().tx_invalid_descs == 300);
}

TEST_CASE("a builder takes zero-copy where the drivers have it") {
    wire_line pair(zero_copy_wire());
    CHECK(pair.left->rx.zero_copy());
    CHECK(pair.left->refusals.empty());
    const auto bytes = payload(100, 1);
    REQUIRE(pair.send(bytes));
    REQUIRE(pair.send(bytes));
    CHECK(pair.receive().size() == 1);
    CHECK(pair.left->tx.in_flight() == 2);
    CHECK(pair.left->tx.drain(5ms));
    CHECK(pair.receive().size() == 1);
    check_census(pair.left->tx.pool());

    wire_line plain;
    CHECK_FALSE(plain.left->rx.zero_copy());
    CHECK(plain.left->refusals.size() == 1);
}

TEST_CASE("a frame too small for a driver with zero-copy is taken in copy mode") {
    simulated_wire wire(zero_copy_wire());
    const auto sockets = wire.socket_on(end::left).headroom(270).build_system().value();
    CHECK_FALSE(sockets.rx.zero_copy());
    REQUIRE(sockets.refusals.size() == 1);
    CHECK(contains(sockets.refusals[0].cause, "EINVAL"));
}

TEST_CASE("a receiver that runs dry and holds packets gets new ones when it gives them back") {
    wire_line pair(zero_copy_wire(), 16, 16);  // 12 frames to receive into
    std::vector<packet> held(12);
    for (int round = 0; round < 20; ++round) {
        for (unsigned i = 0; i < 14; ++i) {
            REQUIRE(pair.send(payload(60, i)));
            REQUIRE(pair.left->tx.drain(5ms));
        }
        REQUIRE(pair.right->rx.try_recv(held) == 12);
        for (packet& one : held) { one.reset(); }
        pair.right->rx.refill();
    }
    CHECK(pair.wire.counts(end::left).delivered == 20 * 12);
    CHECK(pair.wire.counts(end::left).fill_ring_empty == 20 * 2);
    check_census(pair.right->rx.pool());
}
