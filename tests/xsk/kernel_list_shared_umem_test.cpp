// SPDX-License-Identifier: BSD-3-Clause
// Several sockets over one UMEM, on different queues and on different interfaces. The scenario is one of the kernel's own
// AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c, "shared umem").
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// One socket for each of the queues, over one UMEM.
std::vector<system_sockets> open_queues(const veth_pair& pair, side end, xdp_mode mode, std::uint32_t count) {
    const network_namespace::scoped_enter inside(pair.bed.place(end));
    return pair.at(end, mode).build_queues(count).value();
}

/// The queue by which the other end must send for a packet to arrive on `queue`. In generic mode a veth hands the number of
/// the sending queue on in the place of a receive queue's, which the kernel counts from 1 there.
std::uint32_t sent_by(xdp_mode mode, std::uint32_t queue) {
    return mode == xdp_mode::generic && queue != 0 ? queue + 1 : queue;
}

umem make_memory(std::uint32_t sockets) {
    return umem::create({.frame_count = 128 * sockets, .fill_ring = 64, .completion_ring = 64}).value();
}

}  // namespace

FLUXNET_VETH_TEST("sockets of two queues over one UMEM receive each their own packets and share no shortage") {
    veth_pair pair({.queues = 3});
    std::vector<system_sockets> host = open_queues(pair, side::host, mode, 2);
    std::vector<system_sockets> peer = open_queues(pair, side::peer, mode, 3);
    CHECK(&host[0].rx.pool() == &host[1].rx.pool());
    CHECK(host[1].refusals.empty());  // the kernel shared the registration at once
    std::array<std::uint32_t, 2> next{0, 10000};
    const auto send_to = [&](std::uint32_t queue, std::uint32_t count) {
        const std::uint32_t first = next[queue];
        next[queue] += count;
        return send_numbered(peer[sent_by(mode, queue)].tx, first, count, 64, side::peer) == count;
    };
    const auto receive_on = [&](std::uint32_t queue, std::uint32_t count) {
        return receive_numbered(host[queue].rx, next[queue] - count, count, side::peer) == count;
    };
    for (std::uint32_t round = 0; round < 50; ++round) {
        REQUIRE(send_to(0, 4));
        REQUIRE(send_to(1, 8));
        REQUIRE(receive_on(0, 4));
        REQUIRE(receive_on(1, 8));
    }
    CHECK(host[0].rx.available() == 0);
    CHECK(host[1].rx.available() == 0);
    // All frames of one queue are hoarded: only that queue loses packets.
    std::vector<packet> hoard(64);
    std::uint32_t held = 0;
    REQUIRE(send_to(0, 64));
    while (held < hoard.size() && host[0].rx.wait(5s)) { held += host[0].rx.try_recv(std::span(hoard).subspan(held)); }
    REQUIRE(held == hoard.size());
    REQUIRE(send_to(0, 5));
    for (std::uint32_t round = 0; round < 20; ++round) {
        REQUIRE(send_to(1, 8));
        REQUIRE(receive_on(1, 8));
    }
    CHECK(host[0].rx.statistics().fill_ring_empty == 5);
    CHECK(host[1].rx.statistics().fill_ring_empty == 0);
    check_census(host[0].rx.pool(), 64);
    hoard.clear();
    host[0].rx.refill();
    REQUIRE(send_to(0, 64));
    CHECK(receive_on(0, 64));
    for (system_sockets& each : peer) { CHECK(each.tx.drain(500ms)); }
    check_all_home(host[0]);
    check_all_home(peer[0]);
}

FLUXNET_VETH_TEST("a packet received on one interface is sent on another from the same frame") {
    constexpr std::uint32_t count = 300;
    veth_pair pair;
    const umem memory = make_memory(2);
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).over(memory));
    system_sockets peer = pair.open(side::peer, pair.at(side::peer, mode).over(memory));
    CHECK(peer.refusals.empty());
    std::uint32_t moved = 0;
    // Round and round: the host sends, the peer receives, and the host sends the very frame that the peer received.
    REQUIRE(send_numbered(host.tx, 7, 1) == 1);
    for (; moved < count; ++moved) {
        packet one;
        REQUIRE(peer.rx.wait(5s));
        REQUIRE(peer.rx.try_recv(std::span(&one, 1)) == 1);
        REQUIRE(is_numbered(one.data(), 7));
        CHECK(one.home() == &peer.rx.home());
        CHECK_FALSE(host.tx.refusal(one));
        REQUIRE(host.tx.try_send(one));
        CHECK_FALSE(host.tx.flush());
        peer.rx.refill();
    }
    CHECK(receive_numbered(peer.rx, 7, 1) == 1);
    CHECK(host.tx.drain(500ms));
    check_all_home(peer);
    CHECK(memory.pool().census().frames == 256);
    CHECK(memory.pool().census().user == 0);
}

FLUXNET_VETH_TEST("a socket that closes takes nothing from those that share its UMEM") {
    veth_pair pair;
    const umem memory = make_memory(2);
    std::optional<system_sockets> first = pair.open(side::host, pair.at(side::host, mode).over(memory));
    system_sockets second = pair.open(side::peer, pair.at(side::peer, mode).over(memory));
    packet kept;
    for (std::uint32_t round = 0; round < 10; ++round) {
        CAPTURE(round);
        REQUIRE(send_numbered(first->tx, round, 1) == 1);
        REQUIRE(receive_numbered(second.rx, round, 1) == 1);
        REQUIRE(send_numbered(second.tx, round, 2, 64, side::peer) == 2);
        REQUIRE(first->rx.wait(5s));
        REQUIRE(first->rx.try_recv(std::span(&kept, 1)) == 1);
        // It goes with one packet in the user's hands, one unread and three unsent.
        std::array<packet, 3> unsent;
        REQUIRE(first->tx.allocate(unsent) == 3);
        for (packet& one : unsent) { REQUIRE(one.assign(numbered(5000))); }
        REQUIRE(first->tx.try_send(unsent) == 3);
        first.reset();
        CHECK(is_numbered(kept.data(), round, side::peer));
        CHECK(second.tx.drain(500ms));
        check_census(memory.pool(), 1);
        kept.reset();
        // The one that stays is the one to share with now.
        first = pair.open(side::host, pair.at(side::host, mode).over(memory));
        CHECK(first->refusals.empty());
    }
    CHECK(memory.pool().unassigned() == 0);
    check_all_home(*first);
    check_all_home(second);
}

FLUXNET_VETH_TEST("raw sockets over one UMEM send and receive any of its frames") {
    veth_pair pair;
    const umem memory = umem::create({.frame_count = 64, .fill_ring = 64, .completion_ring = 64}).value();
    raw_socket host = pair.open_raw(side::host, pair.at(side::host, mode).over(memory).prefill(8));
    raw_socket peer = pair.open_raw(side::peer, pair.at(side::peer, mode).over(memory).prefill(8));
    CHECK(host.umem == peer.umem);
    CHECK(peer.refusals().empty());
    // The frames 0 to 7 are the host's to receive into, 8 to 15 the peer's; 20 goes round.
    std::ranges::copy(numbered(3), memory.frame({20}).begin());
    fluxnet::xdp_desc desc{{20 * 2048}, 64, 0};
    for (std::uint32_t round = 0; round < 40; ++round) {
        CHECK(host.tx.reserve(1).push(desc));
        CHECK_FALSE(host.wakeup_tx());
        REQUIRE(eventually([&] { return peer.rx.available() == 1; }));
        const fluxnet::xdp_desc got = peer.rx.consume().next();
        if (round < 8) { CHECK(got.addr.value / 2048 == 8 + round); }
        CHECK(is_numbered(memory.bytes_unchecked(got.addr, got.len), 3));
        REQUIRE(eventually([&] { return host.comp.available() == 1; }));
        CHECK(host.comp.consume().next() == desc.addr);
        // What was sent is the peer's to receive into, and what it received goes out next.
        CHECK(peer.fill.reserve(1).push({desc.addr.value / 2048 * 2048}));
        desc = got;
    }
    CHECK(host.rx.available() == 0);
    CHECK(host.fill.pending() == 8);
    CHECK(peer.fill.pending() == 8);
}
