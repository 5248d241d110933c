// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include "tests/xsk/bare_pair.hpp"
#include "tests/xsk/filter_frames.hpp"
#include "tests/xsk/sim.hpp"
#include "tests/xsk/wire_line.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
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

TEST_CASE("a wire delivers what the filter of its interface redirects, through changes, and nothing else") {
    for (const bool zero_copy : {false, true}) {
        simulated_wire wire({.queues = 2, .zero_copy = zero_copy});
        const packet_filter wanted{filter_rule::udp_to(7)};
        auto receivers = wire.socket_on(end::right).frames(64).only(wanted).build_queues(2).value();
        auto sender = wire.socket_on(end::left).frames(64).build_system().value();
        const auto send = [&](const frame_bytes& frame) {
            packet one;
            REQUIRE(sender.tx.allocate(std::span(&one, 1)) == 1);
            REQUIRE(one.assign(frame));
            REQUIRE(sender.tx.try_send(one));
            REQUIRE_FALSE(sender.tx.flush());
            for (int i = 0; i < 4; ++i) { wire.advance_to(wire.now() + 1us); }
        };
        const auto received = [&] {
            std::array<packet, 8> burst;
            return receivers[0].rx.try_recv(burst) + receivers[1].rx.try_recv(burst);
        };
        const auto filtered = [&] { return wire.counts(end::left).filtered; };
        for (unsigned from = 0; from < 8; ++from) {  // flows of both queues
            send(ipv4({}, from_to(from, 7)));
            send(ipv4({}, from_to(from, 8)));
        }
        CHECK(received() == 8);
        CHECK(filtered() == 8);
        REQUIRE(receivers[1].rx.set_filter({filter_rule::udp_to(8)}).has_value());
        send(ipv4({}, from_to(1, 7)));
        send(ipv4({}, from_to(2, 8)));
        CHECK(received() == 1);
        CHECK(filtered() == 9);
        CHECK(receivers[0].rx.set_filter({{.destination_ports = port_range(7)}}).error().code == errc::invalid_option);
        CHECK(adds_up(wire.counts(end::left)));
        // With its last socket the interface loses its filter.
        receivers.clear();
        auto all = wire.socket_on(end::right).frames(64).build_system().value();
        send(ethernet(0x88b5, frame_bytes(46)));
        CHECK(all.rx.available() == 1);
        CHECK(sender.rx.set_filter(packet_filter()).has_value());
    }
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

TEST_CASE("a kick ends at the packet that the interface does not send, and tells of it") {
    bare_pair p(XDP_COPY);
    const auto queue = [&](std::uint32_t length) { REQUIRE(p.left.tx.reserve(1).push({{0}, length, 0})); };
    for (const std::uint32_t length : {13U, 1515U}) {
        CAPTURE(length);
        queue(length);
        queue(60);
        CHECK(p.left.kick_tx() == -EBUSY);
        CHECK(p.left.comp.consume(1).remaining() == 1);
        CHECK(p.left.tx.pending() == 2);  // the TX ring does not tell that one of them is gone
        CHECK(p.left.kick_tx() == 0);
        CHECK(p.left.tx.pending() == 0);
    }
    CHECK(p.counts().oversized == 2);
    CHECK(p.sent() == 4);
}

TEST_CASE("a kick ends at an invalid descriptor and the next one goes on") {
    bare_pair p(XDP_COPY);
    REQUIRE(p.left.tx.reserve(1).push({{1ULL << 40}, 60, 0}));
    p.queue();
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 0);
    CHECK(p.left.comp.available() == 1);
    CHECK(p.left.kick_tx() == 0);
    CHECK(p.sent() == 1);
}

TEST_CASE("a kick that ends early shows how far it came unless the wire hides it") {
    for (const bool hides : {false, true}) {
        CAPTURE(hides);
        wire_options options;
        options.hides_progress = hides;
        bare_pair p(XDP_COPY, options);
        p.queue();
        REQUIRE(p.left.tx.reserve(1).push({{0}, 13, 0}));
        CHECK(p.left.kick_tx() == -EBUSY);
        CHECK(p.left.tx.pending() == (hides ? 2 : 0));
        CHECK(p.left.comp.available() == 2);
        CHECK(p.left.kick_tx() == 0);
        CHECK(p.left.tx.pending() == 0);
    }
}

TEST_CASE("a packet that finds the RX ring full leaves its frame to the next one") {
    bare_pair p(XDP_COPY);
    p.give(8);
    for (int i = 0; i < 8; ++i) { p.send(); }
    p.give(2);
    for (int i = 0; i < 3; ++i) { p.send(); }
    CHECK(p.counts().rx_ring_full == 3);
    CHECK(p.right.fill.pending() == 1);  // one is out of sight
    const std::uint64_t first = p.right.rx.consume(1).next().addr.value;
    p.send();
    CHECK(p.right.fill.pending() == 1);
    std::uint64_t last = 0;
    {
        auto arrived = p.right.rx.consume();
        CHECK(arrived.remaining() == 8);
        while (arrived.remaining() != 0) { last = arrived.next().addr.value; }
    }
    CHECK(last == first);  // give() goes round
}

TEST_CASE("while a link is not up kicks and binds say so and nothing arrives") {
    wire_line pair;
    const auto bytes = payload(60, 1);
    pair.wire.set_link(end::left, wire_link::down);
    REQUIRE(pair.send(bytes));
    CHECK(pair.wire.counts(end::left).offered == 0);
    CHECK(pair.left->tx.pending() == 1);
    interface_info found;
    REQUIRE(pair.wire.side(end::left).find_interface("left", found) == 0);
    CHECK_FALSE(found.up);
    pair.wire.set_link(end::left, wire_link::up);
    CHECK_FALSE(pair.left->tx.flush());
    CHECK(pair.receive().size() == 1);

    pair.wire.set_link(end::right, wire_link::down);
    REQUIRE(pair.send(bytes));
    CHECK(pair.wire.counts(end::left).no_socket == 1);
    pair.right.reset();
    const auto down = pair.wire.socket_on(end::right).build_system();
    REQUIRE_FALSE(down.has_value());
    CHECK(contains(down.error().cause, "ENETDOWN"));

    pair.wire.set_link(end::left, wire_link::gone);
    CHECK_FALSE(pair.send(bytes));
    CHECK(pair.left->tx.failure() == errc::interface_gone);
    pair.left.reset();
    CHECK(pair.wire.socket_on(end::left).build_system().error().code == errc::interface_not_found);
}

TEST_CASE("a zero-copy driver whose link is down completes what it cannot send") {
    bare_pair p(with_flags);
    p.queue();
    CHECK(p.left.kick_tx() == 0);
    p.queue();
    p.wire.set_link(end::left, wire_link::down);
    while (p.wire.next_arrival()) { p.wire.advance_to(p.wire.now()); }
    CHECK(p.sent() == 1);
    CHECK(p.left.comp.available() == 2);
    CHECK(p.left.kick_tx() == -ENETDOWN);
}

TEST_CASE("what the kernel would refuse of a UMEM and of a transmit budget is refused") {
    simulated_wire wire;
    const umem memory = small_umem();
    bare_socket one(wire.side(end::left));
    fluxnet::detail::umem_registration request;
    request.addr = reinterpret_cast<std::uintptr_t>(memory.base());
    request.len = 16 * 2048;
    request.chunk_size = 2048;
    const auto registers = [&](auto change) {
        fluxnet::detail::umem_registration changed = request;
        change(changed);
        return wire.side(end::left).set_option(one.fd(), XDP_UMEM_REG, &changed, sizeof changed);
    };
    CHECK(registers([](auto& it) { it.chunk_size = 1024; }) == -EINVAL);
    CHECK(registers([](auto& it) { it.chunk_size = 3000; }) == -EINVAL);
    CHECK(registers([](auto& it) { it.chunk_size = 8192; }) == -EINVAL);
    CHECK(registers([](auto& it) { it.headroom = 2048 - 256; }) == -EINVAL);
    CHECK(registers([](auto& it) { it.addr += 64; }) == -EINVAL);
    CHECK(registers([](auto& it) { it.len = 1024; }) == -EINVAL);
    CHECK(registers([](auto&) {}) == 0);
    REQUIRE(one.make(XDP_TX_RING, 64) == 0);
    const auto budget = [&](std::uint32_t count) {
        return wire.side(end::left).set_option(one.fd(), fluxnet::detail::xdp_max_tx_skb_budget, &count, sizeof count);
    };
    CHECK(budget(31) == -EACCES);
    CHECK(budget(65) == -EACCES);
    CHECK(budget(64) == 0);
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
