// SPDX-License-Identifier: BSD-3-Clause
// Frames of random bytes in which some things are put right, because hardly any random frame has a host's addresses and
// correct checksums. For the fuzz targets of hosts.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/udp.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::fuzz {

/// The host that the frames are for.
inline constexpr mac_address host_hardware({0x02, 0, 0, 0, 0, 1});
inline constexpr ipv4_address host_address(10, 0, 0, 1);

inline void repair_arp(std::span<std::byte> bytes) {
    if (bytes.size() < arp_packet_length) { return; }
    auto packet = mutable_arp_view::unchecked(bytes);
    packet.set_spaces();
    packet.set_target(packet.target_hardware(), host_address);
}

inline void repair_transport(mutable_ipv4_view packet) {
    const std::span<std::byte> payload = packet.payload();
    if (packet.protocol() == ip_protocol::icmp && payload.size() >= icmp_header_length) {
        mutable_icmp_view::unchecked(payload).fill_checksum();
    }
    if (packet.protocol() == ip_protocol::udp && payload.size() >= udp_header_length) {
        auto datagram = mutable_udp_view::unchecked(payload);
        if (datagram.length() < udp_header_length || datagram.length() > payload.size()) {
            datagram.set_length(static_cast<std::uint16_t>(payload.size()));
        }
        datagram.fill_checksum(packet.source(), packet.destination());
    }
}

inline void repair_ipv4(std::span<std::byte> bytes, ip_protocol protocol) {
    if (bytes.size() < ipv4_header_length || bytes.size() > 0xffff) { return; }
    auto packet = mutable_ipv4_view::unchecked(bytes);
    packet.bytes()[0] = (packet.bytes()[0] & std::byte{0x0f}) | std::byte{0x40};
    if (packet.header_length() < ipv4_header_length || packet.header_length() > bytes.size()) {
        packet.set_header_length(ipv4_header_length);
    }
    if (packet.total_length() < packet.header_length() || packet.total_length() > bytes.size()) {
        packet.set_total_length(static_cast<std::uint16_t>(bytes.size()));
    }
    packet.set_protocol(protocol);
    packet.set_destination(host_address);
    packet.fill_checksum();
    repair_transport(packet);
}

/// Puts right, for 1, an ARP packet, for 2 an ICMP and for 3 a UDP datagram; nothing for 0.
inline void repair(std::span<std::byte> bytes, unsigned what) {
    if (what == 0 || bytes.size() < ethernet_header_length) { return; }
    auto frame = mutable_ethernet_view::unchecked(bytes);
    frame.set_destination(what == 1 ? mac_address::broadcast() : host_hardware);
    frame.set_type(what == 1 ? ethertype::arp : ethertype::ipv4);
    if (what == 1) {
        repair_arp(frame.payload());
    } else {
        repair_ipv4(frame.payload(), what == 2 ? ip_protocol::icmp : ip_protocol::udp);
    }
}

}  // namespace fluxnet::proto::fuzz
