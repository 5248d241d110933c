// SPDX-License-Identifier: BSD-3-Clause
// A testbed for datagram_transport: an executor on the host side, and a UDP socket of the peer's kernel.
//
// Owned by one test case and used on its thread, which is inside the host's namespace for as long as the bed lives.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/transport/datagram_transport.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {

inline constexpr std::array frame_rungs{datagram_rung::af_xdp, datagram_rung::af_packet};

[[nodiscard]] inline proto::ip_endpoint at(std::string_view text) {
    return proto::ip_endpoint::parse(text).value();
}

struct transport_bed {
    /// Where the transport is, on frames: an address that the host's kernel does not have.
    static inline const proto::ip_endpoint local = at("10.77.0.1:7777");

    /// By a few small sockets of the host's interface; the peer is known as a neighbour.
    datagram_options options(std::vector<datagram_rung> order) const {
        datagram_options wanted;
        wanted.local = local;
        wanted.order = std::move(order);
        wanted.frames = builder(bed.name(side::host))
                            .frames(256)
                            .tx_frames(64)
                            .rx_ring(128)
                            .tx_ring(64)
                            .fill_ring(128)
                            .completion_ring(64);
        wanted.neighbours = {{proto::ipv4_address(10, 77, 0, 2), proto::mac_address(testbed::mac(side::peer))}};
        return wanted;
    }

    datagram_transport open(datagram_options wanted) { return datagram_transport::open(loop, std::move(wanted)).value(); }

    /// Gives the transport's address to the host's kernel.
    void give_address_to_kernel() {
        const std::vector<std::string> line{"ip", "address", "add", "10.77.0.1/24", "dev", bed.name(side::host)};
        REQUIRE(bed.run(side::host, line, std::chrono::seconds(5)).success());
    }

    testbed bed;
    network_namespace::scoped_enter inside{bed.host()};
    executor loop;
    udp_socket peer = bed.peer().call([] { return udp_socket::bind(at("10.77.0.2:0")).value(); });
};

/// A payload that tells its size and number.
[[nodiscard]] inline std::vector<std::byte> payload_of(std::size_t size, unsigned number = 0) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i != size; ++i) { bytes[i] = static_cast<std::byte>((i * 7 + number + size) & 0xffU); }
    return bytes;
}

/// Sends datagrams back to their senders.
template <class Socket>
task<void> echo_datagrams(Socket& socket, std::size_t count) {
    std::vector<std::byte> room(2000);
    for (; count != 0; --count) {
        const datagram_result got = co_await socket.recv_from(room);
        REQUIRE_FALSE(got.ec);
        const io_result sent = co_await socket.send_to(std::span(room).first(got.n), got.from);
        CHECK_FALSE(sent.ec);
        CHECK(sent.n == got.n);
    }
}

/// Sends one datagram and expects it back.
template <class Socket>
task<void> exchange(Socket& socket, proto::ip_endpoint with, std::size_t size) {
    const std::vector<std::byte> bytes = payload_of(size);
    const io_result sent = co_await socket.send_to(bytes, with);
    CHECK_FALSE(sent.ec);
    std::vector<std::byte> room(2000);
    const datagram_result got = co_await socket.recv_from(room);
    CHECK_FALSE(got.ec);
    CHECK(got.from == with);
    room.resize(got.n);
    CHECK(room == bytes);
}

inline constexpr std::array<std::size_t, 5> sizes{0, 1, 100, 999, 1472};

/// Exchanges one datagram of each size.
template <class Socket>
task<void> exchange_sizes(Socket& socket, proto::ip_endpoint with) {
    for (const std::size_t size : sizes) { co_await exchange(socket, with, size); }
}

}  // namespace fluxnet::test
