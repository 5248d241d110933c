// SPDX-License-Identifier: BSD-3-Clause
// `datagram`: what firewall rules look at in an IPv4 packet, and `dissect()`, which finds it in any bytes off the wire.
//
// Values, without allocation. Only what a rule could be deceived by is checked: headers, lengths, the IPv4 header checksum
// and fragments, but not the checksums over payloads, which are left to the receiver.
//
// Fragments. A later fragment has no ports, so only rules without ports match it. It must not reach back into the ports
// that the first one was judged by: a first fragment without its whole transport header is malformed, and so is a later one
// that begins inside of it (RFC 1858, RFC 3128). What would exceed 65535 octets when put together is malformed as well.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/udp.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace firewall {

namespace proto = fluxnet::proto;

struct datagram {
    std::uint32_t source = 0;  ///< In host order, as all numbers here.
    std::uint32_t destination = 0;
    proto::ip_protocol protocol{};
    bool has_ports = false;  ///< TCP or UDP, and not a later fragment.
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
};

enum class frame_kind : std::uint8_t {
    ipv4,       ///< Well-formed, for the rules to judge.
    arp,        ///< Well-formed ARP for IPv4 over Ethernet.
    other,      ///< Neither IPv4 nor ARP: IPv6, tagged frames, 802.3.
    malformed,  ///< What no honest sender makes.
};

/// Where a malformed frame is broken.
enum class flaw : std::uint8_t { ethernet, arp, ipv4, source_route, fragment, icmp, tcp, udp };

inline constexpr std::array<const char*, 8> flaw_names{"ethernet", "arp",  "ipv4", "source_route",
                                                       "fragment", "icmp", "tcp",  "udp"};

struct dissection {
    frame_kind kind = frame_kind::other;
    flaw where{};     ///< Of a malformed frame.
    datagram packet;  ///< Of an IPv4 frame.
};

namespace detail {

/// Octets that a transport header of the protocol has at least.
[[nodiscard]] constexpr std::size_t shortest_header(proto::ip_protocol protocol) noexcept {
    switch (protocol) {
        case proto::ip_protocol::tcp: return proto::tcp_header_length;
        case proto::ip_protocol::udp: return proto::udp_header_length;
        case proto::ip_protocol::icmp: return proto::icmp_header_length;
        default: return 0;
    }
}

[[nodiscard]] constexpr flaw flaw_of(proto::ip_protocol protocol) noexcept {
    return protocol == proto::ip_protocol::tcp ? flaw::tcp : protocol == proto::ip_protocol::udp ? flaw::udp : flaw::icmp;
}

[[nodiscard]] inline bool is_source_routed(const proto::ipv4_view& packet) noexcept {
    proto::ipv4_option_reader options = packet.options();
    while (const auto option = options.next()) {
        if (option->kind == proto::ipv4_option::loose_source_route ||
            option->kind == proto::ipv4_option::strict_source_route) {
            return true;
        }
    }
    return false;
}

/// Tells whether a fragment can be a part of a datagram whose first fragment was judged by its whole transport header.
[[nodiscard]] inline bool is_honest_fragment(const proto::ipv4_view& packet) noexcept {
    const std::size_t offset = packet.fragment_offset();
    const std::size_t size = packet.payload().size();
    if (size == 0 || packet.header_length() + offset + size > 0xffff) { return false; }
    if (packet.more_fragments() && size % 8 != 0) { return false; }
    return offset == 0 ? size >= shortest_header(packet.protocol()) : offset >= shortest_header(packet.protocol());
}

/// Tells whether the transport header is there, and its lengths fit; `whole`: the datagram is not a first fragment.
[[nodiscard]] inline bool is_sound(proto::ip_protocol protocol, std::span<const std::byte> segment, bool whole) noexcept {
    if (segment.size() < shortest_header(protocol)) { return false; }
    if (protocol == proto::ip_protocol::tcp) {
        const std::size_t header = proto::tcp_view::unchecked(segment).header_length();
        return header >= proto::tcp_header_length && (!whole || header <= segment.size());
    }
    if (protocol == proto::ip_protocol::udp) {
        const std::size_t length = proto::load_be16(segment.data() + proto::udp_offset::length);
        return length >= proto::udp_header_length && (!whole || length <= segment.size());
    }
    return true;
}

[[nodiscard]] inline dissection dissect_ipv4(std::span<const std::byte> bytes) noexcept {
    const auto broken = [](flaw where) { return dissection{frame_kind::malformed, where, {}}; };
    const auto parsed = proto::ipv4_view::parse(bytes);
    if (!parsed) { return broken(flaw::ipv4); }
    const proto::ipv4_view& packet = *parsed;
    if (is_source_routed(packet)) { return broken(flaw::source_route); }  // its destination is not where it goes
    if (packet.is_fragment() && !is_honest_fragment(packet)) { return broken(flaw::fragment); }
    const proto::ip_protocol protocol = packet.protocol();
    dissection found{frame_kind::ipv4, {}, {}};
    found.packet.source = packet.source().to_host_order();
    found.packet.destination = packet.destination().to_host_order();
    found.packet.protocol = protocol;
    if (packet.fragment_offset() != 0) { return found; }
    const std::span<const std::byte> segment = packet.payload();
    if (!is_sound(protocol, segment, !packet.more_fragments())) { return broken(flaw_of(protocol)); }
    if (protocol == proto::ip_protocol::tcp || protocol == proto::ip_protocol::udp) {  // in both, the ports come first
        found.packet.has_ports = true;
        found.packet.source_port = proto::load_be16(segment.data());
        found.packet.destination_port = proto::load_be16(segment.data() + 2);
    }
    return found;
}

}  // namespace detail

/// Finds out what a frame is. Total on any bytes.
[[nodiscard]] inline dissection dissect(std::span<const std::byte> frame) noexcept {
    const auto ethernet = proto::ethernet_view::parse(frame);
    if (!ethernet) {
        if (ethernet.error() == proto::reason::ethernet_length_field) { return {}; }
        return {frame_kind::malformed, flaw::ethernet, {}};
    }
    switch (ethernet->type()) {
        case proto::ethertype::ipv4: return detail::dissect_ipv4(ethernet->payload());
        case proto::ethertype::arp:
            if (!proto::arp_view::parse(ethernet->payload())) { return {frame_kind::malformed, flaw::arp, {}}; }
            return {frame_kind::arp, {}, {}};
        default: return {};
    }
}

}  // namespace firewall
