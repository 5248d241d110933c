// SPDX-License-Identifier: BSD-3-Clause
// Traffic between two of our sockets, one at each end of a veth pair. The scenarios are those of the kernel's own AF_XDP
// tests (Linux tools/testing/selftests/bpf/xskxceiver.c): send and receive with both frame sizes, one packet, both ways at
// once, headroom.
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Sends `count` packets of all sizes up to the MTU's from the host to the peer.
void stream_all_sizes(xdp_mode mode, std::uint32_t frame_size, unsigned mtu, std::uint32_t count) {
    veth_pair pair({.mtu = mtu});
    system_sockets from = pair.open(side::host, pair.at(side::host, mode).frame_size(frame_size));
    system_sockets to = pair.open(side::peer, pair.at(side::peer, mode).frame_size(frame_size));
    const std::size_t largest = mtu + 14;
    std::uint32_t largest_seen = 0;
    for (std::uint32_t number = 0; number < count; number += 16) {
        for (std::uint32_t i = number; i < number + 16; ++i) {
            const std::size_t size = i % 64 == 63 ? largest : 60 + (i * 37) % (largest - 59);
            largest_seen += size == largest ? 1U : 0U;
            REQUIRE(send_numbered(from.tx, i, 1, size) == 1);
        }
        REQUIRE(receive_numbered(to.rx, number, 16) == 16);
    }
    CHECK(largest_seen >= count / 64);
    packet none;
    CHECK(to.rx.try_recv(std::span(&none, 1)) == 0);
    check_all_home(from);
    check_all_home(to);
}

/// One end of a conversation: sends `count` packets and receives as many of the other end's. Never more than a ring's half
/// is on its way, which `received` of the other end tells.
struct talker {
    system_sockets sockets;
    side own;
    std::atomic<std::uint32_t> received = 0;
    std::uint32_t sent = 0;

    void talk(const talker& other, std::uint32_t count, deadline limit) {
        const side theirs = own == side::host ? side::peer : side::host;
        while ((sent < count || received < count) && !limit.passed()) {
            if (sent < count && sent - other.received < 24) {
                sent += send_numbered(sockets.tx, sent, std::min(8U, count - sent), 100, own);
            }
            const std::uint32_t wanted = std::min(8U, count - received.load());
            if (wanted == 0 || !sockets.rx.wait(1ms)) { continue; }
            const std::uint32_t ready = std::min(wanted, sockets.rx.available());
            const std::uint32_t good = receive_numbered(sockets.rx, received, ready, theirs);
            received += good;
            if (good < ready) { break; }
        }
        sockets.tx.drain(500ms);
        sockets.rx.release();
        sockets.tx.release();
    }
};

}  // namespace

FLUXNET_VETH_TEST("packets of all sizes arrive whole and in order in frames of 2048 bytes") {
    stream_all_sizes(mode, 2048, 1500, 1600);
}

FLUXNET_VETH_TEST("packets of all sizes arrive whole and in order in frames of 4096 bytes") {
    stream_all_sizes(mode, 4096, 3000, 1600);
}

FLUXNET_VETH_TEST("a single packet arrives and nothing else does") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    system_sockets peer = pair.open(side::peer, mode);
    packet none;
    for (std::uint32_t i = 0; i < 20; ++i) {
        REQUIRE(send_numbered(host.tx, i, 1) == 1);
        REQUIRE(receive_numbered(peer.rx, i, 1) == 1);
        CHECK_FALSE(peer.rx.wait(1ms));
        CHECK(peer.rx.try_recv(std::span(&none, 1)) == 0);
    }
    CHECK(host.rx.try_recv(std::span(&none, 1)) == 0);
    check_all_home(host);
    check_all_home(peer);
}

FLUXNET_VETH_TEST("a single packet goes there and back between raw sockets") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode);
    raw_end peer = open_raw_end(pair, side::peer, mode);
    for (std::uint32_t i = 0; i < 20; ++i) {
        REQUIRE(host.queue_numbered(i, 1) == 1);
        CHECK_FALSE(host.socket.wakeup_tx());
        REQUIRE(peer.receive_numbered(i, 1, side::host) == 1);
        REQUIRE(peer.queue_numbered(i, 1, side::peer) == 1);
        CHECK_FALSE(peer.socket.wakeup_tx());
        REQUIRE(host.receive_numbered(i, 1) == 1);
        REQUIRE(host.drain());
        REQUIRE(peer.drain());
    }
    CHECK(host.socket.rx.available() == 0);
    CHECK(peer.socket.rx.available() == 0);
    host.check_books();
    peer.check_books();
}

FLUXNET_VETH_TEST("two threads send to each other and each receives all of the other's packets") {
    constexpr std::uint32_t count = 3000;
    veth_pair pair;
    talker host{pair.open(side::host, mode), side::host};
    talker peer{pair.open(side::peer, mode), side::peer};
    const deadline limit = 15s;
    std::thread other([&] { peer.talk(host, count, limit); });
    host.talk(peer, count, limit);
    other.join();
    CHECK(host.sent == count);
    CHECK(peer.sent == count);
    CHECK(host.received == count);
    CHECK(peer.received == count);
    check_all_home(host.sockets);
    check_all_home(peer.sockets);
}

FLUXNET_VETH_TEST("a received packet begins behind the headroom that was asked for") {
    veth_pair pair;
    system_sockets sender = pair.open(side::peer, mode);
    std::uint32_t number = 0;
    // The last one leaves just room for the largest packet of the MTU.
    for (const std::uint32_t headroom : {0U, 1U, 64U, 256U, 1000U, 4096U - 256 - 1514}) {
        CAPTURE(headroom);
        system_sockets receiver = pair.open(side::host, pair.at(side::host, mode).frame_size(4096).headroom(headroom));
        for (const std::size_t size : {60U, 1514U}) {
            REQUIRE(send_numbered(sender.tx, number, 1, size, side::peer) == 1);
            packet one;
            REQUIRE(receiver.rx.wait(5s));
            REQUIRE(receiver.rx.try_recv(std::span(&one, 1)) == 1);
            CHECK(one.size() == size);
            CHECK(is_numbered(one.data(), number++, side::peer));
            CHECK(one.headroom() == 256 + headroom);
            CHECK(one.capacity() == 4096 - 256 - headroom);
            const std::byte* const start = one.data().data();
            CHECK(one.adjust_head(-static_cast<std::int32_t>(256 + headroom)));
            CHECK(one.data().data() == start - 256 - headroom);
            CHECK_FALSE(one.adjust_head(-1));
        }
        packet made;
        REQUIRE(receiver.tx.allocate(std::span(&made, 1)) == 1);
        CHECK(made.headroom() == headroom);
        made.reset();
        check_all_home(receiver);
    }
    CHECK(number == 12);
    check_all_home(sender);
}

FLUXNET_VETH_TEST("a packet that grew into its headroom is sent from its new beginning") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket kernel = pair.plain(side::peer);
    packet one;
    REQUIRE(host.tx.allocate(std::span(&one, 1)) == 1);
    const auto whole = numbered(7, 600);
    REQUIRE(one.assign(std::span(whole).subspan(256)));
    REQUIRE(one.adjust_head(-256));
    std::ranges::copy(std::span(whole).first(256), one.data().begin());
    REQUIRE(host.tx.try_send(one));
    CHECK_FALSE(host.tx.flush());
    CHECK(kernel.recv(5s) == whole);
    check_all_home(host);
}
