// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include "tests/xsk/sim.hpp"
#include "tests/xsk/wire_line.hpp"

#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <optional>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

TEST_CASE("a packet crosses the wire as it is before the kick returns") {
    wire_line pair;
    const auto sent = payload(100, 1);
    REQUIRE(pair.send(sent));
    const auto got = pair.receive();
    REQUIRE(got.size() == 1);
    CHECK(same(got[0], sent));
    const wire_counts counts = pair.wire.counts(end::left);
    CHECK(counts.offered == 1);
    CHECK(counts.delivered == 1);
    CHECK(pair.wire.counts(end::right).offered == 0);
    check_census(pair.left->rx.pool());
    check_census(pair.right->rx.pool());
}

TEST_CASE("what a wire does to packets is counted and adds up") {
    wire_options options;
    options.to_right = {.loss = 0.1, .duplication = 0.1, .corruption = 0.1, .reordering = 0.1, .delay = 10us, .jitter = 5us};
    wire_line pair(options);
    constexpr std::uint64_t count = 5000;
    std::uint64_t received = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        REQUIRE(pair.send(payload(60 + i % 1000, static_cast<unsigned>(i))));
        pair.wire.advance_to(pair.wire.now() + 3us);
        received += pair.receive().size();
        CHECK(adds_up(pair.wire.counts(end::left)));
    }
    pair.wire.advance_to(pair.wire.now() + 1s);
    received += pair.receive().size();
    const wire_counts counts = pair.wire.counts(end::left);
    CHECK(adds_up(counts));
    CHECK(counts.in_transit == 0);
    CHECK(counts.offered == count);
    CHECK(counts.delivered == received);
    for (const std::uint64_t happened : {counts.lost, counts.duplicated, counts.corrupted, counts.reordered}) {
        CHECK(happened > count / 20);
        CHECK(happened < count / 5);
    }
}

TEST_CASE("a delay is kept to the nanosecond") {
    wire_options options;
    options.to_right.delay = 1234ns;
    wire_line pair(options);
    pair.wire.advance_to(1000ns);
    REQUIRE(pair.send(payload(60, 1)));
    CHECK(pair.wire.next_arrival() == 2234ns);
    pair.wire.advance_to(2233ns);
    CHECK(pair.receive().empty());
    pair.wire.advance_to(2234ns);
    CHECK(pair.receive().size() == 1);
    CHECK_FALSE(pair.wire.next_arrival());
}

TEST_CASE("a rate spaces packets by the time their bits take") {
    wire_options options;
    options.to_right.bits_per_second = 8'000'000;  // a byte a microsecond
    wire_line pair(options);
    for (int i = 0; i < 3; ++i) { REQUIRE(pair.send(payload(100, 1))); }
    CHECK(pair.wire.next_arrival() == 100us);
    pair.wire.advance_to(250us);
    CHECK(pair.receive().size() == 2);
    CHECK(pair.wire.next_arrival() == 300us);
}

TEST_CASE("jitter keeps the order and reordering does not") {
    wire_options options;
    options.to_right = {.delay = 10us, .jitter = 50us};
    wire_line steady(options);
    for (unsigned i = 0; i < 50; ++i) { REQUIRE(steady.send(payload(60, i))); }
    steady.wire.advance_to(1ms);
    const auto in_order = steady.receive();
    REQUIRE(in_order.size() == 50);
    for (unsigned i = 0; i < 50; ++i) { CHECK(same(in_order[i], payload(60, i))); }

    options.to_right = {.reordering = 0.3, .delay = 10us, .reordering_delay = 100us};
    wire_line shuffled(options);
    for (unsigned i = 0; i < 50; ++i) { REQUIRE(shuffled.send(payload(60, i))); }
    shuffled.wire.advance_to(1ms);
    const auto out_of_order = shuffled.receive();
    REQUIRE(out_of_order.size() == 50);
    CHECK(out_of_order != in_order);
}

TEST_CASE("packets that cannot be received are dropped with the kernel's counters") {
    wire_line pair({}, 16, 16);  // 12 frames to receive into
    for (unsigned i = 0; i < 14; ++i) { REQUIRE(pair.send(payload(60, i))); }
    CHECK(pair.wire.counts(end::left).fill_ring_empty == 2);
    CHECK(pair.right->rx.statistics().fill_ring_empty == 2);
    CHECK(pair.receive().size() == 12);

    wire_line narrow;
    narrow.right.reset();
    narrow.right.emplace(narrow.wire.socket_on(end::right).rx_ring(4).build_system().value());
    for (unsigned i = 0; i < 6; ++i) { REQUIRE(narrow.send(payload(60, i))); }
    CHECK(narrow.wire.counts(end::left).rx_ring_full == 2);
    CHECK(narrow.right->rx.statistics().rx_ring_full == 2);
    CHECK(narrow.receive().size() == 4);

    wire_line gone;
    gone.right.reset();
    REQUIRE(gone.send(payload(60, 1)));
    CHECK(gone.wire.counts(end::left).no_socket == 1);
    CHECK(adds_up(gone.wire.counts(end::left)));
}

TEST_CASE("a packet above the MTU is dropped on the wire and its frame comes back") {
    wire_line pair;
    REQUIRE(pair.send(payload(1514, 1)));
    REQUIRE(pair.send(payload(1515, 1)));
    CHECK(pair.wire.counts(end::left).oversized == 1);
    CHECK(pair.receive().size() == 1);
    CHECK(pair.left->tx.in_flight() == 0);
    check_census(pair.left->tx.pool());
}

TEST_CASE("a full wire drops what comes on top") {
    wire_options options;
    options.transit_capacity = 8;
    options.to_right.delay = 1ms;
    wire_line pair(options);
    for (unsigned i = 0; i < 10; ++i) { REQUIRE(pair.send(payload(60, i))); }
    CHECK(pair.wire.counts(end::left).transit_full == 2);
    CHECK(pair.wire.counts(end::left).in_transit == 8);
    pair.wire.advance_to(1ms);
    CHECK(pair.receive().size() == 8);
}

TEST_CASE("a flow stays on its queue and flows spread over the queues") {
    wire_options options;
    options.queues = 4;
    simulated_wire wire(options);
    system_sockets sender = wire.socket_on(end::left).frames(64).build_system().value();
    std::deque<system_sockets> receivers;
    for (std::uint32_t queue = 0; queue < 4; ++queue) {
        receivers.push_back(wire.socket_on(end::right).queue(queue).frames(256).build_system().value());
    }
    std::vector<std::byte> frame(60);
    frame[12] = std::byte{8};
    for (unsigned round = 0; round < 2; ++round) {
        for (unsigned flow = 0; flow < 64; ++flow) {
            frame[29] = static_cast<std::byte>(flow);              // the last byte of the source address
            frame[25] = static_cast<std::byte>(round * 7 + flow);  // in the header checksum, which is no part of a flow
            packet one;
            REQUIRE(sender.tx.allocate(std::span(&one, 1)) == 1);
            REQUIRE(one.assign(frame));
            REQUIRE(sender.tx.try_send(one));
            CHECK_FALSE(sender.tx.flush());
        }
    }
    std::array<int, 64> seen_on{};
    seen_on.fill(-1);
    for (int queue = 0; queue < 4; ++queue) {
        std::array<packet, 256> burst;
        const std::uint32_t count = receivers[static_cast<std::size_t>(queue)].rx.try_recv(burst);
        CHECK(count > 0);
        CHECK(count < 128);
        for (const packet& one : std::span<const packet>(burst).first(count)) {
            int& known = seen_on[static_cast<std::size_t>(one.data()[29])];
            CHECK((known == -1 || known == queue));
            known = queue;
        }
    }
}

TEST_CASE("two queues cannot be bound twice and a closed one can be bound again") {
    simulated_wire wire;
    std::optional<system_sockets> first = wire.socket_on(end::left).build_system().value();
    const auto second = wire.socket_on(end::left).build_system();
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::queue_busy);
    first.reset();
    CHECK(wire.socket_on(end::left).build_system().has_value());
}
