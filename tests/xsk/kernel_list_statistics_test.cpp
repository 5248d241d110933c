// SPDX-License-Identifier: BSD-3-Clause
// The kernel's statistics of a socket, each provoked alone and counted exactly. The scenarios are those of the kernel's own
// AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c): rx dropped, tx invalid, rx full, fill empty.
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Checks every counter but that of TX rings found empty, which each kick raises.
void check_statistics(const socket_statistics& seen, const socket_statistics& expected) {
    CHECK(seen.rx_dropped == expected.rx_dropped);
    CHECK(seen.rx_invalid_descs == expected.rx_invalid_descs);
    CHECK(seen.tx_invalid_descs == expected.tx_invalid_descs);
    CHECK(seen.rx_ring_full == expected.rx_ring_full);
    CHECK(seen.fill_ring_empty == expected.fill_ring_empty);
}

}  // namespace

FLUXNET_VETH_TEST("a packet larger than a frame holds is counted as rx dropped and the others arrive") {
    veth_pair pair;
    // Frames that hold the MTU and its Ethernet header and not a byte more; a device takes four more, for a VLAN tag.
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).headroom(2048 - 256 - 1514));
    system_sockets peer = pair.open(side::peer, mode);
    constexpr std::uint32_t each = 30;
    for (std::uint32_t i = 0; i < each; ++i) {
        REQUIRE(send_numbered(peer.tx, 1000 + i, 1, i % 2 == 0 ? 1515 : 1518, side::peer) == 1);
        REQUIRE(send_numbered(peer.tx, i, 1, i % 2 == 0 ? 64 : 1514, side::peer) == 1);
        REQUIRE(receive_numbered(host.rx, i, 1, side::peer) == 1);
    }
    check_statistics(host.rx.statistics(), {.rx_dropped = each});
    check_statistics(peer.tx.statistics(), {});
    check_all_home(host);
    check_all_home(peer);
}

FLUXNET_VETH_TEST("bad descriptors are counted as tx invalid and the others leave") {
    veth_pair pair;
    raw_socket host = pair.open_raw(side::host, pair.at(side::host, mode).prefill(0));
    packet_socket peer = pair.plain(side::peer);
    constexpr std::uint32_t each = 30;
    for (std::uint32_t i = 0; i < each; ++i) {
        std::ranges::copy(numbered(i), host.umem.frame({i}).begin());
        {
            auto slots = host.tx.reserve(2);
            CHECK(slots.push({{std::uint64_t{i} * 2048}, 2049, 0}));
            CHECK(slots.push({{std::uint64_t{i} * 2048}, 64, 0}));
        }
        for (int kicks = 0; host.tx.pending() != 0 && kicks < 4; ++kicks) { CHECK_FALSE(host.wakeup_tx()); }
        CHECK(host.tx.pending() == 0);
        auto done = host.comp.consume();
        while (done.remaining() != 0) { CHECK(done.next().value == std::uint64_t{i} * 2048); }
    }
    CHECK(receive_numbered(peer, 0, each) == each);
    check_statistics(host.statistics(), {.tx_invalid_descs = each});
}

FLUXNET_VETH_TEST("packets that find the RX ring full are counted as such and nothing else is") {
    veth_pair pair;
    raw_end host{pair.open_raw(side::host, pair.at(side::host, mode).rx_ring(16).prefill(64)), 64};
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 50; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(eventually([&] { return host.socket.statistics().rx_ring_full == 34; }));
    CHECK(host.receive_numbered(0, 16) == 16);
    CHECK(host.socket.rx.available() == 0);
    peer.send(numbered(50, 64, side::peer));
    CHECK(host.receive_numbered(50, 1) == 1);
    check_statistics(host.socket.statistics(), {.rx_ring_full = 34});
    host.check_books();
}

FLUXNET_VETH_TEST("packets that find the fill ring empty are counted as such and as dropped") {
    veth_pair pair;
    raw_end host{pair.open_raw(side::host, pair.at(side::host, mode).prefill(8)), 8};
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 50; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(eventually([&] { return host.socket.statistics().fill_ring_empty == 42; }));
    CHECK(host.receive_numbered(0, 8) == 8);
    CHECK(host.socket.rx.available() == 0);
    check_statistics(host.socket.statistics(), {.rx_dropped = 42, .fill_ring_empty = 42});
    CHECK(host.give(4) == 4);
    CHECK_FALSE(host.socket.needs_wakeup_rx());
    peer.send(numbered(50, 64, side::peer));
    CHECK(host.receive_numbered(50, 1) == 1);
    host.check_books();
}
