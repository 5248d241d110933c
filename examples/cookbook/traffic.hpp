// SPDX-License-Identifier: BSD-3-Clause
// What the recipes share: a sender of numbered datagrams, for the other end of a simulated wire.
//
// Threads: that of the executor of the socket that it sends by.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/udp.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace cookbook {

using namespace fluxnet;

/// Where the number of a datagram is: behind the headers of Ethernet, IPv4 and UDP.
inline constexpr std::size_t number_at = 42;

/// Writes the datagram of that number. Its source port depends on the number, so that datagrams spread over queues.
inline void write_datagram(packet& into, std::uint32_t number) {
    constexpr proto::ipv4_address from(192, 0, 2, 1), to(192, 0, 2, 2);
    constexpr std::size_t payload = 18;  // octets: the shortest frame of an Ethernet
    static_cast<void>(into.set_len(number_at + payload));
    const proto::mac_address all = proto::mac_address::broadcast(), ours({2, 0, 0, 0, 0, 1});
    const auto frame = proto::ethernet_repr{all, ours, proto::ethertype::ipv4}.emit(into.data());
    const proto::ipv4_repr header{from, to, proto::ip_protocol::udp, proto::udp_header_length + payload};
    const auto source_port = static_cast<std::uint16_t>(40'000 + number % 1'000);
    auto udp = proto::udp_repr{source_port, 7777, payload}.emit(header.emit(frame.payload()).payload());
    proto::store_be32(into.data().data() + number_at, number);
    udp.fill_checksum(from, to);
}

/// The number of a datagram that came in; 0 of anything else.
[[nodiscard]] inline std::uint32_t number_of(std::span<const std::byte> frame) {
    return frame.size() < number_at + 4 ? 0 : proto::load_be32(frame.data() + number_at);
}

/// Sends datagrams 1 to `count`; fewer when it is cancelled.
inline task<void> send_datagrams(async_tx& tx, std::uint32_t count) {
    packet one;
    for (std::uint32_t number = 1; number <= count; ++number) {
        const io_result made = co_await tx.allocate(one);
        if (made.ec) { co_return; }
        write_datagram(one, number);
        const io_result sent = co_await tx.send(one);
        if (sent.ec) { co_return; }
    }
}

}  // namespace cookbook
