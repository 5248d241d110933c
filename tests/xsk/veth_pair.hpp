// SPDX-License-Identifier: BSD-3-Clause
// What the tests of sockets on a veth pair share: one test case per scenario and mode, sockets at either end, and packets
// that carry a number and can be checked byte by byte.
//
// A `veth_pair` is owned by one test case. Its functions enter the namespace of the end they are about and come back, so
// that sockets of both ends can be used side by side; each socket may then go to a thread of its own.
#pragma once

#include "fluxnet/xsk/builder.hpp"
#include "tests/support/deadline.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

/// Defines two test cases with the same body, which sees `mode`: xdp_mode::native, then xdp_mode::generic.
#define FLUXNET_VETH_TEST_BODY(function, sentence)                    \
    static void function(fluxnet::xdp_mode mode);                     \
    TEST_CASE(sentence " in native mode") {                           \
        FLUXNET_SKIP_IF(fluxnet::test::testbed::why_not_available()); \
        function(fluxnet::xdp_mode::native);                          \
    }                                                                 \
    TEST_CASE(sentence " in generic mode") {                          \
        FLUXNET_SKIP_IF(fluxnet::test::testbed::why_not_available()); \
        function(fluxnet::xdp_mode::generic);                         \
    }                                                                 \
    static void function([[maybe_unused]] fluxnet::xdp_mode mode)
#define FLUXNET_VETH_TEST(sentence) FLUXNET_VETH_TEST_BODY(DOCTEST_ANONYMOUS(veth_scenario_), sentence)

namespace fluxnet::test {

/// A frame of `size` bytes, 18 or more, for the other end: Ethernet header, then the number, then bytes that depend on it.
[[nodiscard]] inline std::vector<std::byte> numbered(std::uint32_t number, std::size_t size = 64, side from = side::host) {
    std::vector<std::byte> bytes = payload(size, number);
    const auto to = testbed::mac(from == side::host ? side::peer : side::host);
    const auto own = testbed::mac(from);
    std::memcpy(bytes.data(), to.data(), to.size());
    std::memcpy(bytes.data() + 6, own.data(), own.size());
    bytes[12] = std::byte{0x88};
    bytes[13] = std::byte{0xb5};  // local experimental Ethertype
    std::memcpy(bytes.data() + 14, &number, sizeof number);
    return bytes;
}

/// The number that a frame claims to have; all ones when it is too short for one.
[[nodiscard]] inline std::uint32_t number_in(std::span<const std::byte> bytes) {
    std::uint32_t number = ~0U;
    if (bytes.size() >= 18) { std::memcpy(&number, bytes.data() + 14, sizeof number); }
    return number;
}

/// Tells whether a frame is the one with this number, every byte of it.
[[nodiscard]] inline bool is_numbered(std::span<const std::byte> bytes, std::uint32_t number, side from = side::host) {
    return bytes.size() >= 18 && number_in(bytes) == number && same(bytes, numbered(number, bytes.size(), from));
}

/// Waits until `done` or the deadline; returns whether it is done.
[[nodiscard]] inline bool eventually(const std::function<bool()>& done, deadline limit = std::chrono::seconds(5)) {
    while (!done()) {
        if (limit.passed()) { return false; }
        const timespec pause{0, 50'000};
        ::nanosleep(&pause, nullptr);
    }
    return true;
}

/// Waits by ppoll for `events` on one descriptor and returns those that came; 0 when none did in time.
[[nodiscard]] inline short poll_for(int fd, short events, std::chrono::milliseconds limit) {
    pollfd entry{fd, events, 0};
    const timespec timeout{limit.count() / 1000, limit.count() % 1000 * 1'000'000};
    return ::ppoll(&entry, 1, &timeout, nullptr) > 0 ? entry.revents : short{0};
}

/// Queues the packets [first, first + count), all of `size` bytes, and hands them to the kernel. Returns how many were
/// taken.
inline std::uint32_t send_numbered(tx& sender, std::uint32_t first, std::uint32_t count, std::size_t size = 64,
                                   side from = side::host) {
    std::vector<packet> burst(count);
    const std::uint32_t made = sender.allocate(burst);
    for (std::uint32_t i = 0; i < made; ++i) {
        if (!burst[i].assign(numbered(first + i, size, from))) { return 0; }
    }
    const std::uint32_t sent = sender.try_send(std::span(burst).first(made));
    return sender.flush() ? 0 : sent;
}

/// Receives until `count` packets have come that are [first, first + count), in order and whole. Returns how many were,
/// before the first that was not, or the deadline.
inline std::uint32_t receive_numbered(rx& receiver, std::uint32_t first, std::uint32_t count, side from = side::host,
                                      deadline limit = std::chrono::seconds(5)) {
    std::array<packet, 32> burst;
    std::uint32_t good = 0;
    while (good < count && !receiver.failure() && !limit.passed()) {
        const std::uint32_t room = std::min<std::uint32_t>(count - good, burst.size());
        const std::uint32_t got = receiver.try_recv(std::span(burst).first(room));
        if (got == 0) { static_cast<void>(receiver.wait(std::chrono::milliseconds(5))); }
        for (std::uint32_t i = 0; i < got; ++i) {
            if (!is_numbered(burst[i].data(), first + good, from)) { return good; }
            ++good;
        }
    }
    for (packet& one : burst) { one.reset(); }
    receiver.refill();  // as a loop does that is about to do something else
    return good;
}

/// Receives like receive_numbered(), as the kernel's stack sees the packets.
inline std::uint32_t receive_numbered(packet_socket& receiver, std::uint32_t first, std::uint32_t count,
                                      side from = side::host, deadline limit = std::chrono::seconds(5)) {
    for (std::uint32_t good = 0; good < count; ++good) {
        const auto frame = receiver.recv(limit);
        if (!frame || !is_numbered(*frame, first + good, from)) { return good; }
    }
    return count;
}

/// Checks at the end of a scenario that no frame is lost and that nobody but the kernel and the homes has one.
inline void check_all_home(system_sockets& sockets) {
    CHECK(sockets.tx.drain(std::chrono::milliseconds(500)));
    check_census(sockets.rx.pool());
}

struct veth_pair {
    explicit veth_pair(const testbed_options& options = {}) : bed(options) {}

    /// A small socket at one end: 64 frames to receive into, 64 to send from, 64 entries in each ring.
    [[nodiscard]] builder at(side end, xdp_mode mode) const {
        builder options(bed.name(end));
        options.mode(mode).frames(128).tx_frames(64).rx_ring(64).tx_ring(64).fill_ring(64).completion_ring(64);
        return options;
    }

    [[nodiscard]] system_sockets open(side end, const builder& options) const {
        const network_namespace::scoped_enter inside(bed.place(end));
        return options.build_system().value();
    }
    [[nodiscard]] system_sockets open(side end, xdp_mode mode) const { return open(end, at(end, mode)); }

    [[nodiscard]] raw_socket open_raw(side end, const builder& options) const {
        const network_namespace::scoped_enter inside(bed.place(end));
        return options.build_raw().value();
    }

    /// What comes of an attempt to open.
    [[nodiscard]] result<system_sockets> try_open(side end, const builder& options) const {
        const network_namespace::scoped_enter inside(bed.place(end));
        return options.build_system();
    }

    /// The kernel's own end. Opened before packets are sent to it.
    [[nodiscard]] packet_socket plain(side end) const { return {bed.place(end), bed.name(end)}; }

    testbed bed;
};

}  // namespace fluxnet::test
