// SPDX-License-Identifier: BSD-3-Clause
// Users who do not play along: all frames hoarded, the completion ring not read. Nothing hangs, packets beyond what there is
// room for are counted or come back to the caller, and everything goes on as soon as the user does.
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

FLUXNET_VETH_TEST("while all frames are hoarded packets are lost and counted and each frame given back receives one") {
    constexpr std::uint32_t receiving = 24;
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).frames(receiving + 8).tx_frames(8));
    packet_socket peer = pair.plain(side::peer);
    std::vector<packet> hoard(receiving);
    for (std::uint32_t i = 0; i < receiving; ++i) { peer.send(numbered(i, 64, side::peer)); }
    REQUIRE(eventually([&] { return host.rx.available() == receiving; }));
    REQUIRE(host.rx.try_recv(hoard) == receiving);
    for (std::uint32_t round = 0; round < 5; ++round) {
        for (std::uint32_t i = 0; i < 10; ++i) { peer.send(numbered(1000, 64, side::peer)); }
        REQUIRE(eventually([&] { return host.rx.statistics().fill_ring_empty == 10 * (round + 1); }));
        CHECK_FALSE(host.rx.wait(20ms));
        packet none;
        CHECK(host.rx.try_recv(std::span(&none, 1)) == 0);
        CHECK_FALSE(host.rx.failure());
        check_census(host.rx.pool(), receiving);
        // One frame back, one packet in; hoarded again.
        hoard[round].reset();
        host.rx.refill();
        peer.send(numbered(100 + round, 64, side::peer));
        REQUIRE(host.rx.wait(5s));
        REQUIRE(host.rx.try_recv(std::span(hoard).subspan(round, 1)) == 1);
        CHECK(is_numbered(hoard[round].data(), 100 + round, side::peer));
    }
    for (std::uint32_t i = 5; i < receiving; ++i) { CHECK(is_numbered(hoard[i].data(), i, side::peer)); }
    hoard.clear();
    host.rx.refill();
    for (std::uint32_t i = 0; i < receiving; ++i) { peer.send(numbered(200 + i, 64, side::peer)); }
    CHECK(receive_numbered(host.rx, 200, receiving, side::peer) == receiving);
    CHECK(host.rx.statistics().fill_ring_empty == 50);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a sender whose frames are all hoarded gets none and sends what it received instead") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).frames(32).tx_frames(8));
    packet_socket peer = pair.plain(side::peer);
    std::vector<packet> hoard(12);
    CHECK(host.tx.allocate(hoard) == 8);
    packet none;
    CHECK(host.tx.allocate(std::span(&none, 1)) == 0);
    for (std::uint32_t i = 0; i < 50; ++i) {
        peer.send(numbered(i, 64, side::peer));
        packet one;
        REQUIRE(host.rx.wait(5s));
        REQUIRE(host.rx.try_recv(std::span(&one, 1)) == 1);
        REQUIRE(host.tx.try_send(one));
        CHECK_FALSE(host.tx.flush());
        CHECK(receive_numbered(peer, i, 1, side::peer) == 1);
    }
    CHECK(host.tx.drain(500ms));
    check_census(host.rx.pool(), 8);
    hoard.clear();
    CHECK(host.tx.allocate(std::span(&none, 1)) == 1);
    none.reset();
    check_all_home(host);
}

FLUXNET_VETH_TEST("a raw socket whose fill ring is left empty receives again with the first frame it gives") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode, 8);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 30; ++i) { peer.send(numbered(i, 64, side::peer)); }
    REQUIRE(eventually([&] { return host.socket.statistics().fill_ring_empty == 22; }));
    REQUIRE(host.receive_numbered(0, 8) == 8);
    for (std::uint32_t i = 100; i < 120; ++i) {
        CHECK(poll_for(host.socket.fd(), POLLIN, 1ms) == 0);
        REQUIRE(host.give(1) == 1);
        peer.send(numbered(i, 64, side::peer));
        REQUIRE(poll_for(host.socket.fd(), POLLIN, 5s) == POLLIN);
        REQUIRE(host.receive_numbered(i, 1) == 1);
    }
    CHECK(host.socket.statistics().fill_ring_empty == 22);
    host.check_books();
}

FLUXNET_VETH_TEST("completions ignored for a while end the credit and nothing is lost when they are reaped") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).tx_ring(16).completion_ring(32));
    packet_socket peer = pair.plain(side::peer);
    std::uint32_t sent = 0;
    for (std::uint32_t round = 0; round < 5; ++round) {
        std::array<packet, 48> burst;
        REQUIRE(host.tx.allocate(burst) == burst.size());
        for (std::uint32_t i = 0; i < burst.size(); ++i) { REQUIRE(burst[i].assign(numbered(sent + i))); }
        // The kernel sends in a poll, too, and a poll reaps nothing.
        std::uint32_t taken = 0;
        for (int tries = 0; tries < 10; ++tries) {
            taken += host.tx.try_send(std::span(burst).subspan(taken));
            static_cast<void>(poll_for(host.tx.fd(), POLLOUT, 5ms));
        }
        CHECK(taken == 32);
        CHECK(host.tx.credit() == 0);
        CHECK(host.tx.in_flight() == 32);
        CHECK(host.tx.pending() == 0);
        for (std::uint32_t i = taken; i < burst.size(); ++i) { CHECK(is_numbered(burst[i].data(), sent + i)); }
        CHECK_FALSE(host.tx.failure());
        check_census(host.rx.pool(), 16, 32);
        CHECK(host.tx.reap() == 32);
        CHECK(host.tx.try_send(std::span(burst).subspan(taken)) == 16);
        CHECK_FALSE(host.tx.flush());
        CHECK(receive_numbered(peer, sent, 48) == 48);
        sent += 48;
        CHECK(host.tx.drain(500ms));
    }
    check_all_home(host);
}

FLUXNET_VETH_TEST("a raw socket with a full completion ring sends no more until it is read and then all") {
    veth_pair pair;
    raw_end host{pair.open_raw(side::host, pair.at(side::host, mode).completion_ring(16).prefill(0)), 0};
    packet_socket peer = pair.plain(side::peer);
    REQUIRE(host.queue_numbered(0, 64) == 64);
    for (std::uint32_t left = 64; left != 0; left -= 16) {
        // The kernel calls it success or "again", and stops all the same.
        for (int kicks = 0; kicks < 20; ++kicks) { CHECK_FALSE(host.socket.wakeup_tx()); }
        CHECK(host.socket.tx.pending() == left - 16);
        CHECK(host.socket.comp.available() == 16);
        CHECK(receive_numbered(peer, 64 - left, 16) == 16);
        CHECK_FALSE(peer.recv(5ms));
        CHECK(host.reap() == 16);
    }
    CHECK(host.drain());
    host.check_books();
}
