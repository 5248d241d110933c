// SPDX-License-Identifier: BSD-3-Clause
// Why bytes off the wire were refused: one enumeration for every protocol of this folder.
//
// A `reason` is what a failed parse() carries and what a drop counter is indexed by. It is a plain value: it owns nothing,
// costs one byte, and may be used from any thread. The enumerators are numbered from 0 without gaps, so that an array of
// `reason_count` elements holds one counter for each. Each begins with the protocol that refuses.
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace fluxnet::proto {

/// The reasons. "This host" is the code that checks more than the form of a header: see `echo_host`.
enum class reason : std::uint8_t {
    ethernet_truncated,         ///< The frame ends inside its Ethernet header.
    ethernet_length_field,      ///< An IEEE 802.3 length (< 0x0600) stands where a type is wanted.
    ethernet_multicast_source,  ///< The source address has the group bit set: no station sends that.
    ethernet_zero_source,       ///< The source address is 00:00:00:00:00:00: nobody could be answered.
    ethernet_vlan_tagged,       ///< The frame carries an 802.1Q or 802.1ad tag, and this host is on no VLAN.
    ethernet_unknown_type,      ///< This host does not speak the protocol of the type field.
    ethernet_not_for_us,        ///< The destination is neither this host's address nor broadcast.

    vlan_truncated,            ///< The frame ends inside a tag.
    vlan_reserved_identifier,  ///< A tag has the identifier 0xfff, which no frame may have.
    vlan_length_field,         ///< An IEEE 802.3 length (< 0x0600) follows a tag where a type is wanted.
    vlan_too_many_tags,        ///< More tags than max_vlan_tags.

    arp_truncated,           ///< The packet ends before the 28 octets of ARP for IPv4 over Ethernet.
    arp_hardware_type,       ///< The hardware space is not Ethernet (1).
    arp_protocol_type,       ///< The protocol space is not IPv4 (0x0800).
    arp_hardware_length,     ///< A hardware address is not 6 octets long.
    arp_protocol_length,     ///< A protocol address is not 4 octets long.
    arp_unknown_operation,   ///< Neither a request (1) nor a reply (2).
    arp_not_request,         ///< A reply to a question that this host never asked.
    arp_not_for_us,          ///< The question is about someone else's address.
    arp_multicast_sender,    ///< The sender's hardware address has the group bit set.
    arp_sender_mismatch,     ///< The sender's hardware address is not the one the frame came from.
    arp_bad_sender_address,  ///< The sender's protocol address is multicast, broadcast or loopback.
    arp_address_conflict,    ///< The sender claims this host's protocol address (RFC 5227 section 2.4).

    reassembly_empty,         ///< A fragment without an octet.
    reassembly_ragged,        ///< A fragment that is not the last, whose length is no multiple of 8 (RFC 8200 section 4.5).
    reassembly_too_long,      ///< A fragment that ends beyond 65,535 octets.
    reassembly_header_chain,  ///< A first fragment without the whole header chain (RFC 7112 section 5).
    reassembly_overlap,       ///< Fragments overlap: the whole datagram is ended (RFC 5722 section 4).
    reassembly_past_end,      ///< Fragments disagree about where the datagram ends, which ends it.
    reassembly_ended,         ///< A fragment of a datagram that was ended.
    reassembly_ecn,           ///< Some fragments know no ECN, others met congestion (RFC 3168 section 5.3).
    reassembly_full,          ///< No room for the fragment.

    ipv4_truncated,           ///< The packet ends before the 20 octets of the shortest header.
    ipv4_bad_version,         ///< The version is not 4.
    ipv4_bad_header_length,   ///< The header is shorter than 20 octets or longer than the packet.
    ipv4_short_total_length,  ///< The total length is shorter than the header.
    ipv4_long_total_length,   ///< The total length is more than what arrived.
    ipv4_bad_checksum,        ///< The header checksum does not hold.
    ipv4_bad_options,         ///< An option runs over the end of the options, or is shorter than its own head.
    ipv4_fragment,            ///< A fragment, and this host does not reassemble.
    ipv4_bad_source,          ///< The source is multicast, broadcast, loopback, 0.0.0.0/8 or this host itself.
    ipv4_not_for_us,          ///< The destination is neither this host's address nor 255.255.255.255.
    ipv4_link_broadcast,      ///< A unicast datagram in a broadcast frame (RFC 1122 section 3.3.6).
    ipv4_ttl_zero,            ///< The time to live is 0 (RFC 791 section 3.1: must be destroyed).
    ipv4_source_route,        ///< A source route option, which this host does not follow (RFC 7126 section 4.3).
    ipv4_unknown_protocol,    ///< This host does not speak the protocol of the datagram.

    ipv6_truncated,                 ///< The packet ends before the 40 octets of the header.
    ipv6_bad_version,               ///< The version is not 6.
    ipv6_jumbogram,                 ///< The length stands in a hop-by-hop option (RFC 2675), which nothing here follows.
    ipv6_long_payload_length,       ///< The payload length is more than what arrived.
    ipv6_truncated_extension,       ///< An extension header runs over the end of the packet.
    ipv6_too_many_extensions,       ///< More extension headers than max_ipv6_extensions.
    ipv6_misplaced_hop_by_hop,      ///< Hop-by-hop options do not come first (RFC 8200 section 4.1).
    ipv6_repeated_fragment_header,  ///< A second fragment header.
    ipv6_routing_type_zero,         ///< A source route of the type that RFC 5095 forbids to follow.
    ipv6_unknown_routing_type,      ///< A route of another type, with segments left to visit.
    ipv6_bad_options,               ///< An option runs over the end of its header.
    ipv6_too_many_options,          ///< A header has more options than max_ipv6_options.
    ipv6_unknown_option,            ///< An unknown option whose kind forbids to skip it (RFC 8200 section 4.2).
    ipv6_bad_source,        ///< The source is a group, ::1, an IPv4 address, this host itself, or :: where it may not be.
    ipv6_not_for_us,        ///< The destination is no address of this host and no group that it is in.
    ipv6_link_group,        ///< A packet to one host in a frame to a group.
    ipv6_unknown_protocol,  ///< This host does not speak the protocol of the packet.

    icmp_truncated,          ///< The message ends inside its 8-octet header.
    icmp_bad_checksum,       ///< The checksum over the message does not hold.
    icmp_unknown_type,       ///< A type that this host has no use for (RFC 1122 section 3.2.2: discard silently).
    icmp_bad_code,           ///< An echo request whose code is not 0.
    icmp_unsolicited_reply,  ///< An echo reply, and this host sends no requests.
    icmp_broadcast_echo,     ///< An echo request to a broadcast address (RFC 1122 section 3.2.2.6).

    icmpv6_truncated,          ///< The message ends inside its 8-octet header.
    icmpv6_bad_checksum,       ///< The checksum over pseudo-header and message does not hold.
    icmpv6_unknown_type,       ///< A type that this host has no use for.
    icmpv6_bad_code,           ///< An echo request whose code is not 0.
    icmpv6_unsolicited_reply,  ///< An echo reply, and this host sends no requests.
    icmpv6_group_echo,         ///< An echo request to a group of hosts.

    ndp_unknown_type,            ///< Another message of ICMPv6 than the one that is wanted.
    ndp_foreign,                 ///< The hop limit is not 255: the sender is not on this link (RFC 4861 section 3.1).
    ndp_bad_code,                ///< The code is not 0.
    ndp_truncated,               ///< The message ends before its options.
    ndp_fragment,                ///< It came behind a fragment header (RFC 6980 section 5).
    ndp_zero_option_length,      ///< An option says that it has no length: a walk would not end.
    ndp_truncated_option,        ///< An option runs over the end of the message.
    ndp_too_many_options,        ///< More options than max_ndp_options.
    ndp_bad_option_length,       ///< An option has not the length of its kind.
    ndp_multicast_link_address,  ///< An option gives a link address with the group bit set: no station has that.
    ndp_multicast_target,        ///< The target is a group of hosts.
    ndp_bad_probe,               ///< A host without address asks, and not a solicited-node group (RFC 4861 section 7.1.1).
    ndp_link_address_in_probe,   ///< A host without address says where it is (RFC 4861 sections 6.1.1 and 7.1.1).
    ndp_solicited_to_group,      ///< An answer to a question went to a group (RFC 4861 section 7.1.2).
    ndp_source_not_local,        ///< A router advertises itself from an address that is not link-local.
    ndp_sender_mismatch,         ///< A station says where another one is.

    quoted_truncated,   ///< The packet that an error quotes ends before the first 8 octets of its transport.
    quoted_bad_header,  ///< What an error quotes does not begin with an IP header of its version that can be walked.
    quoted_fragment,    ///< An error quotes a later piece of a packet, in which there is no transport header.
    quoted_foreign,     ///< An error quotes a packet that this host has not sent.

    udp_truncated,         ///< The datagram ends inside its 8-octet header.
    udp_short_length,      ///< The length field is less than the header.
    udp_long_length,       ///< The length field is more than what arrived.
    udp_no_checksum,       ///< There is no checksum, and over IPv6 there must be one (RFC 8200 section 8.1).
    udp_bad_checksum,      ///< There is a checksum and it does not hold.
    udp_source_port_zero,  ///< The sender named no port to answer to.
    udp_port_not_served,   ///< Nobody listens on the destination port.
    udp_echo_loop,         ///< It comes from an echo port: two echo services would answer each other for ever.
    udp_broadcast,         ///< A broadcast datagram: a forged source would turn every host against one.

    tcp_truncated,            ///< The segment ends inside the 20 octets of the shortest header.
    tcp_short_header_length,  ///< The data offset is less than 5 words: it ends the header inside its fixed fields.
    tcp_long_header_length,   ///< The data offset lies beyond the end of the segment.
    tcp_bad_checksum,         ///< The checksum over pseudo-header and segment does not hold.
    tcp_bad_source,           ///< The source is no host: multicast, broadcast, unspecified, port 0, or the destination itself.
    tcp_broadcast,            ///< The destination is multicast or broadcast (RFC 9293 section 3.9.2.3).
    tcp_unknown_reset,        ///< A reset that belongs to no connection: nothing answers it.
    tcp_not_connected,        ///< It belongs to no connection, and was answered by a reset.
    tcp_reset_limited,        ///< It belongs to no connection, and there were too many such to answer it.
    tcp_bad_opening,          ///< For a listener, and neither a plain SYN nor an ACK.
    tcp_accept_queue_full,    ///< Too many connections wait for the user: what would add one is dropped without answer.
    tcp_syn_queue_full,       ///< Too many handshakes are under way, and a cookie was not to be sent.
    tcp_no_connection_free,   ///< The stack has no room for a connection.
    tcp_lost_timestamps,      ///< It shows a right cookie, but not the timestamps that were agreed on with it.
};

/// How many reasons there are: the size of an array with one counter for each.
inline constexpr std::size_t reason_count = static_cast<std::size_t>(reason::tcp_lost_timestamps) + 1;

/// Returns the enumerator's own word, or "unknown" for a value that is none. The text lives as long as the program.
[[nodiscard]] constexpr std::string_view name(reason why) noexcept {
    using enum reason;
    switch (why) {
        case ethernet_truncated: return "ethernet_truncated";
        case ethernet_length_field: return "ethernet_length_field";
        case ethernet_multicast_source: return "ethernet_multicast_source";
        case ethernet_zero_source: return "ethernet_zero_source";
        case ethernet_vlan_tagged: return "ethernet_vlan_tagged";
        case ethernet_unknown_type: return "ethernet_unknown_type";
        case ethernet_not_for_us: return "ethernet_not_for_us";
        case vlan_truncated: return "vlan_truncated";
        case vlan_reserved_identifier: return "vlan_reserved_identifier";
        case vlan_length_field: return "vlan_length_field";
        case vlan_too_many_tags: return "vlan_too_many_tags";
        case arp_truncated: return "arp_truncated";
        case arp_hardware_type: return "arp_hardware_type";
        case arp_protocol_type: return "arp_protocol_type";
        case arp_hardware_length: return "arp_hardware_length";
        case arp_protocol_length: return "arp_protocol_length";
        case arp_unknown_operation: return "arp_unknown_operation";
        case arp_not_request: return "arp_not_request";
        case arp_not_for_us: return "arp_not_for_us";
        case arp_multicast_sender: return "arp_multicast_sender";
        case arp_sender_mismatch: return "arp_sender_mismatch";
        case arp_bad_sender_address: return "arp_bad_sender_address";
        case arp_address_conflict: return "arp_address_conflict";
        case reassembly_empty: return "reassembly_empty";
        case reassembly_ragged: return "reassembly_ragged";
        case reassembly_too_long: return "reassembly_too_long";
        case reassembly_header_chain: return "reassembly_header_chain";
        case reassembly_overlap: return "reassembly_overlap";
        case reassembly_past_end: return "reassembly_past_end";
        case reassembly_ended: return "reassembly_ended";
        case reassembly_ecn: return "reassembly_ecn";
        case reassembly_full: return "reassembly_full";
        case ipv4_truncated: return "ipv4_truncated";
        case ipv4_bad_version: return "ipv4_bad_version";
        case ipv4_bad_header_length: return "ipv4_bad_header_length";
        case ipv4_short_total_length: return "ipv4_short_total_length";
        case ipv4_long_total_length: return "ipv4_long_total_length";
        case ipv4_bad_checksum: return "ipv4_bad_checksum";
        case ipv4_bad_options: return "ipv4_bad_options";
        case ipv4_fragment: return "ipv4_fragment";
        case ipv4_bad_source: return "ipv4_bad_source";
        case ipv4_not_for_us: return "ipv4_not_for_us";
        case ipv4_link_broadcast: return "ipv4_link_broadcast";
        case ipv4_ttl_zero: return "ipv4_ttl_zero";
        case ipv4_source_route: return "ipv4_source_route";
        case ipv4_unknown_protocol: return "ipv4_unknown_protocol";
        case ipv6_truncated: return "ipv6_truncated";
        case ipv6_bad_version: return "ipv6_bad_version";
        case ipv6_jumbogram: return "ipv6_jumbogram";
        case ipv6_long_payload_length: return "ipv6_long_payload_length";
        case ipv6_truncated_extension: return "ipv6_truncated_extension";
        case ipv6_too_many_extensions: return "ipv6_too_many_extensions";
        case ipv6_misplaced_hop_by_hop: return "ipv6_misplaced_hop_by_hop";
        case ipv6_repeated_fragment_header: return "ipv6_repeated_fragment_header";
        case ipv6_routing_type_zero: return "ipv6_routing_type_zero";
        case ipv6_unknown_routing_type: return "ipv6_unknown_routing_type";
        case ipv6_bad_options: return "ipv6_bad_options";
        case ipv6_too_many_options: return "ipv6_too_many_options";
        case ipv6_unknown_option: return "ipv6_unknown_option";
        case ipv6_bad_source: return "ipv6_bad_source";
        case ipv6_not_for_us: return "ipv6_not_for_us";
        case ipv6_link_group: return "ipv6_link_group";
        case ipv6_unknown_protocol: return "ipv6_unknown_protocol";
        case icmp_truncated: return "icmp_truncated";
        case icmp_bad_checksum: return "icmp_bad_checksum";
        case icmp_unknown_type: return "icmp_unknown_type";
        case icmp_bad_code: return "icmp_bad_code";
        case icmp_unsolicited_reply: return "icmp_unsolicited_reply";
        case icmp_broadcast_echo: return "icmp_broadcast_echo";
        case icmpv6_truncated: return "icmpv6_truncated";
        case icmpv6_bad_checksum: return "icmpv6_bad_checksum";
        case icmpv6_unknown_type: return "icmpv6_unknown_type";
        case icmpv6_bad_code: return "icmpv6_bad_code";
        case icmpv6_unsolicited_reply: return "icmpv6_unsolicited_reply";
        case icmpv6_group_echo: return "icmpv6_group_echo";
        case ndp_unknown_type: return "ndp_unknown_type";
        case ndp_foreign: return "ndp_foreign";
        case ndp_bad_code: return "ndp_bad_code";
        case ndp_truncated: return "ndp_truncated";
        case ndp_fragment: return "ndp_fragment";
        case ndp_zero_option_length: return "ndp_zero_option_length";
        case ndp_truncated_option: return "ndp_truncated_option";
        case ndp_too_many_options: return "ndp_too_many_options";
        case ndp_bad_option_length: return "ndp_bad_option_length";
        case ndp_multicast_link_address: return "ndp_multicast_link_address";
        case ndp_multicast_target: return "ndp_multicast_target";
        case ndp_bad_probe: return "ndp_bad_probe";
        case ndp_link_address_in_probe: return "ndp_link_address_in_probe";
        case ndp_solicited_to_group: return "ndp_solicited_to_group";
        case ndp_source_not_local: return "ndp_source_not_local";
        case ndp_sender_mismatch: return "ndp_sender_mismatch";
        case quoted_truncated: return "quoted_truncated";
        case quoted_bad_header: return "quoted_bad_header";
        case quoted_fragment: return "quoted_fragment";
        case quoted_foreign: return "quoted_foreign";
        case udp_truncated: return "udp_truncated";
        case udp_short_length: return "udp_short_length";
        case udp_long_length: return "udp_long_length";
        case udp_no_checksum: return "udp_no_checksum";
        case udp_bad_checksum: return "udp_bad_checksum";
        case udp_source_port_zero: return "udp_source_port_zero";
        case udp_port_not_served: return "udp_port_not_served";
        case udp_echo_loop: return "udp_echo_loop";
        case udp_broadcast: return "udp_broadcast";
        case tcp_truncated: return "tcp_truncated";
        case tcp_short_header_length: return "tcp_short_header_length";
        case tcp_long_header_length: return "tcp_long_header_length";
        case tcp_bad_checksum: return "tcp_bad_checksum";
        case tcp_bad_source: return "tcp_bad_source";
        case tcp_broadcast: return "tcp_broadcast";
        case tcp_unknown_reset: return "tcp_unknown_reset";
        case tcp_not_connected: return "tcp_not_connected";
        case tcp_reset_limited: return "tcp_reset_limited";
        case tcp_bad_opening: return "tcp_bad_opening";
        case tcp_accept_queue_full: return "tcp_accept_queue_full";
        case tcp_syn_queue_full: return "tcp_syn_queue_full";
        case tcp_no_connection_free: return "tcp_no_connection_free";
        case tcp_lost_timestamps: return "tcp_lost_timestamps";
    }
    return "unknown";
}

/// What the parsers of this folder return: the thing parsed, or why it was refused.
template <class T>
using result = boost::system::result<T, reason>;

/// What `result::value()` throws when there is none: std::system_error (std::errc::bad_message) whose text names the reason.
[[noreturn]] inline void throw_exception_from_error(const reason& why, const boost::source_location& /*where*/) {
    throw std::system_error(std::make_error_code(std::errc::bad_message), std::string(name(why)));
}

}  // namespace fluxnet::proto
