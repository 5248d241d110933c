// SPDX-License-Identifier: BSD-3-Clause
// The rings themselves: how far a kick moves the TX ring, the smallest and the largest sizes, and a hundred lives in a row.
// The scenarios are those of the kernel's own AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c): TX queue
// consumer, ring sizes, teardown.
#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) { ++count; }
    return count;
}

std::size_t resident_bytes() {
    std::size_t all = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Sends and receives `count` packets, one after the other.
void ping_pong(system_sockets& host, packet_socket& peer, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        REQUIRE(send_numbered(host.tx, i, 1) == 1);
        REQUIRE(receive_numbered(peer, i, 1) == 1);
        peer.send(numbered(i, 64, side::peer));
        REQUIRE(receive_numbered(host.rx, i, 1, side::peer) == 1);
    }
}

}  // namespace

FLUXNET_VETH_TEST("a kick moves the consumer of the TX ring by the packets that it sent") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode, 0);
    packet_socket peer = pair.plain(side::peer);
    // What a kick sends at most. Kernels before 6.17 know no other number than this one, and refuse to be told.
    const std::uint32_t budget = 32;
    const int told = ::setsockopt(host.socket.fd(), SOL_XDP, fluxnet::detail::xdp_max_tx_skb_budget, &budget, sizeof budget);
    REQUIRE(host.queue_numbered(0, 33) == 33);
    CHECK(host.socket.tx.pending() == 33);
    CHECK_FALSE(host.socket.wakeup_tx());
    if (told == 0) {
        CHECK(host.socket.tx.pending() == 1);
        CHECK(host.socket.comp.available() == 32);
    }
    CHECK_FALSE(host.socket.wakeup_tx());
    CHECK(host.socket.tx.pending() == 0);
    CHECK(host.reap() == 33);
    CHECK(receive_numbered(peer, 0, 33) == 33);
    host.check_books();
}

FLUXNET_VETH_TEST("a flush leaves nothing pending whatever the kernel sends at a time") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    std::uint32_t first = 0;
    for (const std::uint32_t budget : {64U, 32U}) {
        ::setsockopt(host.tx.fd(), SOL_XDP, fluxnet::detail::xdp_max_tx_skb_budget, &budget, sizeof budget);
        for (const std::uint32_t count : {1U, 31U, 32U, 33U, 64U}) {
            CAPTURE(count);
            CHECK(send_numbered(host.tx, first, count) == count);
            CHECK(host.tx.pending() == 0);
            CHECK(receive_numbered(peer, first, count) == count);
            CHECK(eventually([&] { return host.tx.reap(), host.tx.in_flight() == 0; }));
            first += count;
        }
    }
    check_all_home(host);
}

FLUXNET_VETH_TEST("rings of the smallest sizes carry packets one by one") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    for (const std::uint32_t size : {1U, 2U, 4U}) {
        CAPTURE(size);
        builder options = pair.at(side::host, mode);
        options.frames(8).tx_frames(4).rx_ring(size).tx_ring(size).fill_ring(size).completion_ring(size);
        system_sockets host = pair.open(side::host, options);
        CHECK(host.tx.credit() == size);
        ping_pong(host, peer, 30);
        check_all_home(host);
    }
}

FLUXNET_VETH_TEST("rings of 65536 entries can be filled to the last") {
    constexpr std::uint32_t size = 65536;
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    builder options = pair.at(side::host, mode);
    options.frames(size + 64).tx_frames(64).rx_ring(size).tx_ring(size).fill_ring(size).completion_ring(size);
    system_sockets host = pair.open(side::host, options);
    CHECK(host.tx.credit() == size);
    CHECK(host.rx.pool().census().fill == size);
    ping_pong(host, peer, 30);
    // Copies in bulk; each is the packet with the number 0.
    const auto frame = numbered(0, 64, side::peer);
    std::uint32_t sent = 0;
    while (sent < size && host.rx.statistics().rx_dropped == 0) {
        sent += static_cast<std::uint32_t>(peer.flood(frame, 128));
        if (!eventually([&] { return host.rx.available() == sent; })) { break; }
    }
    CHECK(host.rx.available() == size);
    std::array<packet, 64> burst;
    std::uint32_t good = 0;
    while (const std::uint32_t got = host.rx.try_recv(burst)) {
        for (packet& one : std::span(burst).first(got)) { good += same(one.data(), frame) ? 1U : 0U; }
    }
    CHECK(good == size);
    for (packet& one : burst) { one.reset(); }
    check_all_home(host);
}

TEST_CASE("a ring that no memory could hold is named by the error") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    constexpr std::uint64_t entry_bytes = 16;  // of the RX and TX rings
    const auto memory =
        static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t entries = std::bit_ceil(memory / entry_bytes + 1);
    FLUXNET_SKIP_IF(entries > 1U << 31 ? std::optional<std::string>("the largest ring fits into the memory of this machine")
                                       : std::nullopt);
    veth_pair pair;
    for (const bool receiving : {true, false}) {
        builder options = pair.at(side::host, xdp_mode::native);
        static_cast<void>(receiving ? options.rx_ring(static_cast<std::uint32_t>(entries))
                                    : options.tx_ring(static_cast<std::uint32_t>(entries)));
        const auto refused = pair.try_open(side::host, options);
        REQUIRE(refused.has_error());
        const std::string text = refused.error().message();
        CHECK(refused.error().code == errc::out_of_memory);
        CHECK_MESSAGE(contains(text, std::string(receiving ? "RX" : "TX") + " ring of " + std::to_string(entries)), text);
        CHECK_MESSAGE(contains(text, "ENOMEM"), text);
        CHECK_MESSAGE(contains(text, "smaller ring"), text);
    }
    CHECK(pair.bed.is_free_of_xdp(side::host));
    CHECK(pair.try_open(side::host, pair.at(side::host, xdp_mode::native)).has_value());
}

FLUXNET_VETH_TEST("a hundred sockets live one after the other on the same queue and leave nothing") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    constexpr std::uint32_t frames = 1024;
    constexpr std::size_t umem_bytes = std::size_t{frames} * 2048;
    std::size_t descriptors = 0;
    std::size_t resident = 0;
    for (int round = 0; round < 100; ++round) {
        CAPTURE(round);
        if (round % 2 == 0) {
            system_sockets host = pair.open(side::host, pair.at(side::host, mode).frames(frames));
            ping_pong(host, peer, 3);
            check_all_home(host);
        } else {
            raw_end host{pair.open_raw(side::host, pair.at(side::host, mode).frames(frames).prefill(32)), 32};
            REQUIRE(host.queue_numbered(0, 3) == 3);
            CHECK(host.drain());
            REQUIRE(receive_numbered(peer, 0, 3) == 3);
            peer.send(numbered(3, 64, side::peer));
            REQUIRE(host.receive_numbered(3, 1) == 1);
            peer.send(numbered(4, 64, side::peer));   // nobody reads it
            REQUIRE(host.queue_numbered(5, 3) == 3);  // nobody sends them
        }
        if (round == 1) {
            descriptors = open_descriptors();
            resident = resident_bytes();
        }
    }
    CHECK(open_descriptors() == descriptors);
    CHECK(resident_bytes() < resident + 10 * umem_bytes);
    CHECK(pair.bed.is_free_of_xdp(side::host));
}
