// SPDX-License-Identifier: BSD-3-Clause
// What ppoll on a socket's descriptor tells, and what becomes of packets when a queue is full. The scenarios are those of
// the kernel's own AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c): poll on RX and on TX, also with time-outs.
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Takes the host's link down, so that nothing leaves, for as long as it lives.
class link_down_for {
public:
    explicit link_down_for(testbed& bed) : bed_(bed) { bed_.set_link(side::host, false); }
    ~link_down_for() { end(); }
    link_down_for(const link_down_for&) = delete;
    link_down_for& operator=(const link_down_for&) = delete;

    bool end() {
        bed_.set_link(side::host, true);
        return bed_.wait_until_up(5s);
    }

private:
    testbed& bed_;
};

}  // namespace

FLUXNET_VETH_TEST("a poll on RX ends with the packet and at no other time") {
    constexpr std::uint32_t count = 60;
    veth_pair pair;
    system_sockets sockets = pair.open(side::host, mode);
    raw_end peer = open_raw_end(pair, side::peer, mode, 0);
    std::atomic<std::uint32_t> wanted = 0;
    const deadline limit = 20s;
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < count; ++i) {
            while (wanted <= i && !limit.passed()) { std::this_thread::yield(); }
            if (i % 3 != 0) { std::this_thread::sleep_for(std::chrono::microseconds(i * 20)); }
            if (!peer.queue(numbered(i, 64, side::peer)) || !peer.drain()) { return; }
        }
    });
    CHECK(poll_for(sockets.rx.fd(), POLLIN, 20ms) == 0);
    std::uint32_t good = 0;
    for (; good < count; ++good) {
        wanted = good + 1;
        if (poll_for(sockets.rx.fd(), POLLIN, 5s) != POLLIN) { break; }
        packet one;
        if (sockets.rx.try_recv(std::span(&one, 1)) != 1 || !is_numbered(one.data(), good, side::peer)) { break; }
        one.reset();
        sockets.rx.refill();
    }
    wanted = count;
    sender.join();
    CHECK(good == count);
    CHECK(poll_for(sockets.rx.fd(), POLLIN, 20ms) == 0);
    check_all_home(sockets);
    peer.check_books();
}

FLUXNET_VETH_TEST("a poll on RX of a raw socket tells of packets until they are read") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode, 8);
    packet_socket peer = pair.plain(side::peer);
    CHECK(poll_for(host.socket.fd(), POLLIN, 20ms) == 0);
    for (std::uint32_t i = 0; i < 30; i += 3) {
        for (std::uint32_t j = 0; j < 3; ++j) { peer.send(numbered(i + j, 64, side::peer)); }
        for (std::uint32_t j = 0; j < 3; ++j) {
            REQUIRE(poll_for(host.socket.fd(), POLLIN, 5s) == POLLIN);
            REQUIRE(host.receive_numbered(i + j, 1) == 1);
        }
        CHECK(poll_for(host.socket.fd(), POLLIN, 1ms) == 0);
        CHECK(host.give(3) == 3);
    }
    host.check_books();
}

FLUXNET_VETH_TEST("packets leave by polls on TX alone") {
    constexpr std::uint32_t count = 640;
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode, 0);
    packet_socket peer = pair.plain(side::peer);
    std::uint32_t queued = 0;
    std::uint32_t done = 0;
    const deadline limit = 10s;
    while (done < count && !limit.passed()) {
        queued += host.queue_numbered(queued, count - queued);
        REQUIRE(poll_for(host.socket.fd(), POLLOUT, 60s) == POLLOUT);
        done += host.reap();
    }
    CHECK(queued == count);
    CHECK(done == count);
    CHECK(host.socket.tx.pending() == 0);
    CHECK(receive_numbered(peer, 0, count) == count);
    host.check_books();
}

FLUXNET_VETH_TEST("a sender that sleeps in polls on TX loses nothing") {
    constexpr std::uint32_t count = 640;
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).tx_ring(16).completion_ring(16));
    packet_socket peer = pair.plain(side::peer);
    std::uint32_t sent = 0;
    const deadline limit = 10s;
    while (sent < count && !limit.passed()) {
        sent += send_numbered(host.tx, sent, std::min({count - sent, host.tx.credit(), 5U}));
        REQUIRE(poll_for(host.tx.fd(), POLLOUT, 60s) == POLLOUT);
        host.tx.reap();
    }
    CHECK(sent == count);
    CHECK(receive_numbered(peer, 0, count) == count);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a full RX queue keeps its packets and counts those that find no room") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).rx_ring(8));
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 20; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(eventually([&] { return host.rx.statistics().rx_ring_full == 12; }));
    CHECK(host.rx.available() == 8);
    CHECK(poll_for(host.rx.fd(), POLLIN, 60s) == POLLIN);
    CHECK(receive_numbered(host.rx, 0, 8, side::peer) == 8);
    CHECK(host.rx.available() == 0);
    // It goes on as if nothing had been.
    for (std::uint32_t i = 0; i < 100; i += 5) {
        for (std::uint32_t j = 0; j < 5; ++j) { peer.send(numbered(i + j, 64, side::peer)); }
        REQUIRE(receive_numbered(host.rx, i, 5, side::peer) == 5);
    }
    CHECK(host.rx.statistics().rx_ring_full == 12);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a full TX queue gives packets back to the caller and sends all it took") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).tx_ring(8));
    packet_socket peer = pair.plain(side::peer);
    std::array<packet, 12> burst;
    REQUIRE(host.tx.allocate(burst) == 12);
    for (std::uint32_t i = 0; i < 12; ++i) { REQUIRE(burst[i].assign(numbered(i))); }
    {
        link_down_for stopped(pair.bed);
        CHECK(host.tx.try_send(burst) == 8);
        CHECK(host.tx.credit() == 0);
        CHECK_FALSE(host.tx.flush());
        CHECK(host.tx.link_down());
        CHECK(host.tx.pending() == 8);
        for (std::uint32_t i = 0; i < 12; ++i) { CHECK(static_cast<bool>(burst[i]) == (i >= 8)); }
        for (std::uint32_t i = 8; i < 12; ++i) { CHECK(is_numbered(burst[i].data(), i)); }
        CHECK_FALSE(host.tx.try_send(burst[8]));
        CHECK(poll_for(host.tx.fd(), POLLOUT, 30ms) == 0);  // the time is over, and the queue still full
        CHECK(stopped.end());
    }
    CHECK(poll_for(host.tx.fd(), POLLOUT, 60s) == POLLOUT);
    CHECK_FALSE(host.tx.flush());
    CHECK_FALSE(host.tx.link_down());
    CHECK(host.tx.try_send(std::span(burst).subspan(8)) == 4);
    CHECK_FALSE(host.tx.flush());
    CHECK(receive_numbered(peer, 0, 12) == 12);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a full TX ring of a raw socket grants no slot until the kernel has taken some") {
    veth_pair pair;
    raw_end host{pair.open_raw(side::host, pair.at(side::host, mode).tx_ring(8).prefill(0)), 0};
    packet_socket peer = pair.plain(side::peer);
    {
        link_down_for stopped(pair.bed);
        CHECK(host.queue_numbered(0, 12) == 8);
        CHECK(host.socket.tx.available() == 0);
        CHECK(host.socket.tx.reserve(1).capacity() == 0);
        CHECK(host.socket.wakeup_tx() == errc::link_down);
        CHECK(host.socket.tx.pending() == 8);
        CHECK(poll_for(host.socket.fd(), POLLOUT, 30ms) == 0);
        CHECK(stopped.end());
    }
    CHECK(poll_for(host.socket.fd(), POLLOUT, 60s) == POLLOUT);
    CHECK(host.drain());
    CHECK(host.queue_numbered(8, 8) == 8);
    CHECK(host.drain());
    CHECK(receive_numbered(peer, 0, 16) == 16);
    host.check_books();
}
