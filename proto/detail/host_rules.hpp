// SPDX-License-Identifier: BSD-3-Clause
// What every host without I/O of this folder does with a frame before it looks at what the frame carries.
//
// Functions without state, which allocate nothing. Used on any thread that may touch the bytes.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/reply.hpp"
#include "fluxnet/proto/vlan.hpp"

#include <cstddef>
#include <optional>
#include <span>

namespace fluxnet::proto::detail {

/// Parses a frame for the station `self`. Reasons: those of ethernet_view::parse(), ethernet_not_for_us.
[[nodiscard]] inline result<mutable_ethernet_view> parse_frame_for(mac_address self, std::span<std::byte> bytes) noexcept {
    const auto frame = mutable_ethernet_view::parse(bytes);
    if (!frame) { return frame.error(); }
    if (frame->destination() != self && !frame->destination().is_broadcast()) { return reason::ethernet_not_for_us; }
    return *frame;
}

/// Says why a frame is refused that carries neither ARP nor IPv4.
[[nodiscard]] inline reason refuse_type(ethertype type) noexcept {
    return announces_tag(type) ? reason::ethernet_vlan_tagged : reason::ethernet_unknown_type;
}

/// Says why the host with the address `self` refuses the sender of an ARP request, if it does.
[[nodiscard]] inline std::optional<reason> refuse_arp_sender(ipv4_address sender, ipv4_address self) noexcept {
    if (sender == self) { return reason::arp_address_conflict; }
    if (sender.is_multicast() || sender.is_broadcast() || sender.is_loopback()) { return reason::arp_bad_sender_address; }
    return std::nullopt;
}

/// Says why the host with the address `self` refuses what an ARP packet in a frame of the station `from` says, if it does.
[[nodiscard]] inline std::optional<reason> refuse_arp(arp_view packet, mac_address from, ipv4_address self) noexcept {
    if (packet.target_protocol() != self) { return reason::arp_not_for_us; }
    if (packet.sender_hardware().is_multicast()) { return reason::arp_multicast_sender; }
    if (packet.sender_hardware() != from) { return reason::arp_sender_mismatch; }
    return refuse_arp_sender(packet.sender_protocol(), self);
}

/// Turns an ARP request for the address `self` into the reply of the station `hardware`, in place. Returns the reply's
/// length, or the reason for refusing it, having written nothing.
[[nodiscard]] inline result<std::size_t> answer_arp(mutable_ethernet_view frame, mac_address hardware,
                                                    ipv4_address self) noexcept {
    const auto packet = mutable_arp_view::parse(frame.payload());
    if (!packet) { return packet.error(); }
    if (packet->operation() != arp_operation::request) { return reason::arp_not_request; }
    if (const auto why = refuse_arp(*packet, frame.source(), self)) { return *why; }

    turn_around(*packet, hardware);
    turn_around(frame, hardware);
    return ethernet_header_length + arp_packet_length;
}

/// Tells whether the options ask for a route that a reply would have to reverse (RFC 1122 section 3.2.2.6).
[[nodiscard]] inline bool has_source_route(ipv4_view packet) noexcept {
    ipv4_option_reader options = packet.options();
    while (const auto option = options.next()) {
        if (option->kind == ipv4_option::loose_source_route || option->kind == ipv4_option::strict_source_route) {
            return true;
        }
    }
    return false;
}

/// Says why the host with the address `self` refuses a parsed datagram, if it does: it is to someone else, from an address
/// that cannot be, without hops left, a fragment, or has a source route. `link_broadcast`: its frame went to every station.
[[nodiscard]] inline std::optional<reason> refuse_datagram(ipv4_view packet, ipv4_address self,
                                                           bool link_broadcast) noexcept {
    const ipv4_address destination = packet.destination();
    if (destination != self && !destination.is_broadcast()) { return reason::ipv4_not_for_us; }
    if (link_broadcast && !destination.is_broadcast()) { return reason::ipv4_link_broadcast; }
    const ipv4_address source = packet.source();
    if (source.is_multicast() || source.is_broadcast() || source.is_loopback() || source.is_this_network() ||
        source == self) {
        return reason::ipv4_bad_source;
    }
    // RFC 1122 section 3.2.1.7 is lenient with a time to live "less than 2"; it also forbids anyone to send 0.
    if (packet.time_to_live() == 0) { return reason::ipv4_ttl_zero; }
    if (packet.is_fragment()) { return reason::ipv4_fragment; }
    if (has_source_route(packet)) { return reason::ipv4_source_route; }
    return std::nullopt;
}

}  // namespace fluxnet::proto::detail
