// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/simulated_wire.hpp"

#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <deque>
#include <optional>
#include <random>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

/// A wire with a socket on both ends.
struct line {
    explicit line(const wire_options& options = {}, std::uint32_t frames = 256, std::uint32_t ring = 64) : wire(options) {
        left.emplace(open(end::left, frames, ring));
        right.emplace(open(end::right, frames, ring));
    }

    system_sockets open(end which, std::uint32_t frames, std::uint32_t ring) {
        builder options = wire.socket_on(which);
        options.frames(frames).rx_ring(ring).tx_ring(ring).fill_ring(ring).completion_ring(ring);
        return options.build_system().value();
    }

    /// Queues and kicks one packet from the left.
    bool send(std::span<const std::byte> bytes) {
        packet one;
        if (left->tx.allocate(std::span(&one, 1)) != 1 || !one.assign(bytes) || !left->tx.try_send(one)) { return false; }
        return !left->tx.flush();
    }

    /// Receives everything that has arrived on the right.
    std::vector<std::vector<std::byte>> receive() {
        std::vector<std::vector<std::byte>> all;
        std::array<packet, 16> burst;
        while (const std::uint32_t count = right->rx.try_recv(burst)) {
            for (const packet& one : std::span<const packet>(burst).first(count)) {
                all.emplace_back(one.data().begin(), one.data().end());
            }
            for (packet& one : burst) { one.reset(); }
        }
        return all;
    }

    simulated_wire wire;
    std::optional<system_sockets> left;
    std::optional<system_sockets> right;
};

bool adds_up(const wire_counts& counts) {
    return counts.offered + counts.duplicated == counts.accounted();
}

}  // namespace

TEST_CASE("a packet crosses the wire as it is before the kick returns") {
    line pair;
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
    line pair(options);
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
    line pair(options);
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
    line pair(options);
    for (int i = 0; i < 3; ++i) { REQUIRE(pair.send(payload(100, 1))); }
    CHECK(pair.wire.next_arrival() == 100us);
    pair.wire.advance_to(250us);
    CHECK(pair.receive().size() == 2);
    CHECK(pair.wire.next_arrival() == 300us);
}

TEST_CASE("jitter keeps the order and reordering does not") {
    wire_options options;
    options.to_right = {.delay = 10us, .jitter = 50us};
    line steady(options);
    for (unsigned i = 0; i < 50; ++i) { REQUIRE(steady.send(payload(60, i))); }
    steady.wire.advance_to(1ms);
    const auto in_order = steady.receive();
    REQUIRE(in_order.size() == 50);
    for (unsigned i = 0; i < 50; ++i) { CHECK(same(in_order[i], payload(60, i))); }

    options.to_right = {.reordering = 0.3, .delay = 10us, .reordering_delay = 100us};
    line shuffled(options);
    for (unsigned i = 0; i < 50; ++i) { REQUIRE(shuffled.send(payload(60, i))); }
    shuffled.wire.advance_to(1ms);
    const auto out_of_order = shuffled.receive();
    REQUIRE(out_of_order.size() == 50);
    CHECK(out_of_order != in_order);
}

TEST_CASE("packets that cannot be received are dropped with the kernel's counters") {
    line pair({}, 16, 16);  // 12 frames to receive into
    for (unsigned i = 0; i < 14; ++i) { REQUIRE(pair.send(payload(60, i))); }
    CHECK(pair.wire.counts(end::left).fill_ring_empty == 2);
    CHECK(pair.right->rx.statistics().fill_ring_empty == 2);
    CHECK(pair.receive().size() == 12);

    line narrow;
    narrow.right.reset();
    narrow.right.emplace(narrow.wire.socket_on(end::right).rx_ring(4).build_system().value());
    for (unsigned i = 0; i < 6; ++i) { REQUIRE(narrow.send(payload(60, i))); }
    CHECK(narrow.wire.counts(end::left).rx_ring_full == 2);
    CHECK(narrow.right->rx.statistics().rx_ring_full == 2);
    CHECK(narrow.receive().size() == 4);

    line gone;
    gone.right.reset();
    REQUIRE(gone.send(payload(60, 1)));
    CHECK(gone.wire.counts(end::left).no_socket == 1);
    CHECK(adds_up(gone.wire.counts(end::left)));
}

TEST_CASE("a packet above the MTU is dropped on the wire and its frame comes back") {
    line pair;
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
    line pair(options);
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

namespace {

/// Both ends send, hold, drop and return packets at random; what arrives undamaged is what was sent, and within the bound.
std::uint64_t mixed_workload(std::uint64_t seed) {
    wire_options options;
    options.seed = seed;
    options.to_right = {
        .loss = 0.05, .duplication = 0.05, .corruption = 0.02, .reordering = 0.05, .delay = 20us, .jitter = 10us};
    options.to_right.reordering_delay = 100us;
    options.to_left = options.to_right;
    line pair(options, 64, 32);
    std::mt19937_64 random(seed);
    std::vector<packet> held;
    std::array<system_sockets*, 2> sides{&*pair.left, &*pair.right};
    std::uint64_t damaged = 0;
    for (unsigned step = 0; step < 400; ++step) {
        system_sockets& side = *sides[random() % 2];
        switch (random() % 4) {
            case 0:
            case 1: {
                std::array<packet, 4> fresh;
                const std::uint32_t made = side.tx.allocate(fresh);
                for (packet& one : std::span(fresh).first(made)) {
                    const std::size_t size = 64 + random() % 1400;
                    auto bytes = payload(size, static_cast<unsigned>(random()));
                    const auto sent_at = static_cast<std::uint64_t>(pair.wire.now().count());
                    std::memcpy(bytes.data() + 14, &sent_at, sizeof sent_at);
                    std::uint64_t sum = 0;
                    for (std::size_t i = 14; i + 8 < bytes.size(); ++i) {
                        sum = sum * 31 + static_cast<std::uint64_t>(bytes[i]);
                    }
                    std::memcpy(bytes.data() + bytes.size() - 8, &sum, sizeof sum);
                    REQUIRE(one.assign(bytes));
                }
                side.tx.try_send(std::span(fresh).first(made));
                side.tx.flush();
                break;
            }
            case 2: {
                std::array<packet, 8> burst;
                const std::uint32_t count = side.rx.try_recv(burst);
                for (packet& one : std::span(burst).first(count)) {
                    const auto bytes = one.data();
                    std::uint64_t sum = 0;
                    std::uint64_t expected = 0;
                    std::uint64_t sent_at = 0;
                    for (std::size_t i = 14; i + 8 < bytes.size(); ++i) {
                        sum = sum * 31 + static_cast<std::uint64_t>(bytes[i]);
                    }
                    std::memcpy(&expected, bytes.data() + bytes.size() - 8, sizeof expected);
                    std::memcpy(&sent_at, bytes.data() + 14, sizeof sent_at);
                    if (sum != expected) {
                        ++damaged;
                    } else if (static_cast<std::uint64_t>(pair.wire.now().count()) < sent_at + 20'000) {
                        FAIL_CHECK("a packet was faster than the wire");
                    }
                    if (random() % 4 == 0) { held.push_back(std::move(one)); }
                }
                break;
            }
            default:
                pair.wire.advance_to(pair.wire.now() + std::chrono::nanoseconds(random() % 30'000));
                if (held.size() > 20) { held.clear(); }
                break;
        }
    }
    held.clear();
    // Nothing stays under way for longer than delay, jitter and the time of a reordered packet.
    pair.wire.advance_to(pair.wire.now() + 130us);
    CHECK_FALSE(pair.wire.next_arrival());
    CHECK(damaged <= pair.wire.counts(end::left).corrupted + pair.wire.counts(end::right).corrupted);
    for (system_sockets* side : sides) {
        CHECK(side->tx.drain(0ms));
        std::array<packet, 64> rest;
        while (side->rx.try_recv(rest) != 0) {}
        for (packet& one : rest) { one.reset(); }
        check_census(side->rx.pool());
    }
    CHECK(adds_up(pair.wire.counts(end::left)));
    CHECK(adds_up(pair.wire.counts(end::right)));
    return pair.wire.digest();
}

}  // namespace

TEST_CASE("a seed replays to the same digest and another seed does not") {
    const std::uint64_t first = mixed_workload(1);
    CHECK(first == mixed_workload(1));
    CHECK(first != mixed_workload(2));
    // The same in every process and with every compiler.
    std::printf("digest of seed 1: %016llx\n", 0ULL + first);
    CHECK(first == 0x4dc0a3dea863e63cULL);
}

TEST_CASE("a thousand seeds of a mixed workload lose no frame and account for every packet") {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        CAPTURE(seed);
        mixed_workload(seed);
    }
}
