// SPDX-License-Identifier: BSD-3-Clause
// turn_around(): turns a request into its reply, in place, one header at a time.
//
//     turn_around(*datagram);                                                  // UDP: the ports
//     const std::size_t length = turn_around(*packet, datagram->bytes().size());  // IPv4: addresses, time to live, length
//     turn_around(frame, own_hardware);
//     send(frame.bytes().first(ethernet_header_length + length));
//
// The innermost header comes first: that of IP may move what it carries, and views of it are stale afterwards. Checksums
// follow the change without a new sum over the payload; they were right before, or they are as wrong as they were.
//
// Functions without state, which allocate nothing. Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/udp.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace fluxnet::proto {

/// The time to live, or hop limit, of a reply (the default of the IANA registry, RFC 1700).
inline constexpr std::uint8_t reply_hops = 64;

/// Sends a frame back to the station that it came from, in the name of the station `self`.
inline void turn_around(mutable_ethernet_view frame, mac_address self) noexcept {
    frame.set_destination(frame.source());
    frame.set_source(self);
}

/// Turns an ARP request into the reply of the station `self`, which has the address that is asked for.
inline void turn_around(mutable_arp_view request, mac_address self) noexcept {
    const auto asked = request.target_protocol();
    request.set_operation(arp_operation::reply);
    request.set_target(request.sender_hardware(), request.sender_protocol());
    request.set_sender(self, asked);
}

/// Makes the reply's ports of the request's.
inline void turn_around(mutable_udp_view datagram) noexcept {
    datagram.swap_ports();
}

/// Makes an echo reply of an echo request (RFC 792).
inline void turn_around(mutable_icmp_view echo) noexcept {
    echo.update_type(icmp_type::echo_reply);
}

/// Does the same for ICMPv6 (RFC 4443 section 4.2).
inline void turn_around(mutable_icmpv6_view echo) noexcept {
    echo.update_type(icmpv6_type::echo_reply);
}

/// Sends a parsed datagram, which went to one host, back with the first `payload_length` octets of its payload: the
/// addresses change places, options are left out, type of service, identification and flags stay. Returns the datagram's
/// new length.
inline std::size_t turn_around(mutable_ipv4_view packet, std::size_t payload_length,
                               std::uint8_t hops = reply_hops) noexcept {
    assert(payload_length <= packet.payload().size());
    const std::size_t length = ipv4_header_length + payload_length;
    packet.swap_addresses();
    if (packet.total_length() == length) {
        packet.update_time_to_live(hops);
        return length;
    }
    std::memmove(packet.bytes().data() + ipv4_header_length, packet.payload().data(), payload_length);
    packet.set_header_length(ipv4_header_length);
    packet.set_total_length(static_cast<std::uint16_t>(length));
    packet.set_time_to_live(hops);
    packet.fill_checksum();
    return length;
}

/// Sends a parsed packet, which went to one host and is whole, back with the first `payload_length` octets of what it
/// carries: the addresses change places, extension headers are left out, the traffic class stays. The flow label, which
/// was that of the other direction, becomes 0. Returns the packet's new length. The upper layer's checksum stays right when
/// its length does.
inline std::size_t turn_around(mutable_ipv6_view packet, const mutable_ipv6_content& content, std::size_t payload_length,
                               std::uint8_t hops = reply_hops) noexcept {
    assert(content.is_whole() && payload_length <= content.payload.size() && !packet.destination().is_multicast());
    std::byte* const front = packet.bytes().data() + ipv6_header_length;
    if (content.payload.data() != front && payload_length != 0) {
        std::memmove(front, content.payload.data(), payload_length);
    }
    packet.swap_addresses();
    packet.set_class_and_flow(packet.traffic_class(), 0);
    packet.set_payload_length(static_cast<std::uint16_t>(payload_length));
    packet.set_next_header(content.protocol);
    packet.set_hop_limit(hops);
    return ipv6_header_length + payload_length;
}

}  // namespace fluxnet::proto
