// SPDX-License-Identifier: BSD-3-Clause
// Frames for tests: well-formed requests to a host that answers them, and malformed ones with the reason they are refused.
//
// Everything here makes and returns vectors of bytes; nothing keeps state. Addresses are the caller's, so that the frames
// can also be sent over a real link.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/udp.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::proto::test {

/// A frame that the host must refuse. A frame shorter than 14 octets cannot be sent over a packet socket: look at its size.
struct malformed_frame {
    const char* name;
    std::vector<std::byte> bytes;
    reason expected;
};

/// The host under test and the station that talks to it.
struct endpoints {
    mac_address host;
    ipv4_address host_ip;
    mac_address client;
    ipv4_address client_ip;
    std::uint16_t echo_port = 7;
    std::uint16_t client_port = 40000;
};

/// Where the layers begin in a frame without IPv4 options.
inline constexpr std::size_t network_at = ethernet_header_length;
inline constexpr std::size_t transport_at = network_at + ipv4_header_length;

/// Makes bytes of numbers, as they stand in a dump.
template <class... Octets>
[[nodiscard]] std::vector<std::byte> octets(Octets... values) {
    return {static_cast<std::byte>(values)...};
}

/// Makes a payload that no shift or swap leaves as it is: 1, 2, 3 ... modulo 251.
[[nodiscard]] inline std::vector<std::byte> counting(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i != size; ++i) { bytes[i] = static_cast<std::byte>((i + 1) % 251); }
    return bytes;
}

/// Makes an ARP request of the client for the host's address, sent to everyone, without padding.
[[nodiscard]] inline std::vector<std::byte> arp_request(const endpoints& who) {
    std::vector<std::byte> frame(ethernet_header_length + arp_packet_length);
    const auto ethernet = ethernet_repr{mac_address::broadcast(), who.client, ethertype::arp}.emit(frame);
    arp_repr{arp_operation::request, who.client, who.client_ip, mac_address(), who.host_ip}.emit(ethernet.payload());
    return frame;
}

/// Makes a datagram of the client to the host around a transport message.
[[nodiscard]] inline std::vector<std::byte> ipv4_frame(const endpoints& who, ip_protocol protocol,
                                                       std::span<const std::byte> message) {
    std::vector<std::byte> frame(transport_at + message.size());
    const auto ethernet = ethernet_repr{who.host, who.client, ethertype::ipv4}.emit(frame);
    const auto packet = ipv4_repr{who.client_ip, who.host_ip, protocol, message.size()}.emit(ethernet.payload());
    std::ranges::copy(message, packet.payload().begin());
    return frame;
}

/// Makes an ICMP echo request of the client.
[[nodiscard]] inline std::vector<std::byte> echo_request(const endpoints& who, std::span<const std::byte> payload,
                                                         std::uint16_t identifier = 0x1234, std::uint16_t sequence = 1) {
    std::vector<std::byte> message(icmp_header_length + payload.size());
    std::ranges::copy(payload, message.begin() + icmp_header_length);
    icmp_echo_repr{icmp_type::echo_request, identifier, sequence}.emit(message);
    return ipv4_frame(who, ip_protocol::icmp, message);
}

/// Makes a UDP datagram of the client to the echo port.
[[nodiscard]] inline std::vector<std::byte> udp_request(const endpoints& who, std::span<const std::byte> payload) {
    std::vector<std::byte> message(udp_header_length + payload.size());
    auto datagram = udp_repr{who.client_port, who.echo_port, payload.size()}.emit(message);
    std::ranges::copy(payload, datagram.payload().begin());
    datagram.fill_checksum(who.client_ip, who.host_ip);
    return ipv4_frame(who, ip_protocol::udp, message);
}

/// Puts options, a multiple of 4 octets and at most 40, into an IPv4 frame that has none.
[[nodiscard]] inline std::vector<std::byte> with_options(std::vector<std::byte> frame, std::span<const std::byte> options) {
    frame.insert(frame.begin() + transport_at, options.begin(), options.end());
    auto packet = mutable_ipv4_view::unchecked(std::span(frame).subspan(network_at));
    packet.set_header_length(ipv4_header_length + options.size());
    packet.set_total_length(static_cast<std::uint16_t>(packet.total_length() + options.size()));
    packet.fill_checksum();
    return frame;
}

namespace detail {

using frame_list = std::vector<malformed_frame>;

/// Adds a copy of `frame` spoilt by `change`, which gets its bytes.
template <class Change>
void add(frame_list& list, const char* name, reason expected, std::vector<std::byte> frame, Change change) {
    change(std::span<std::byte>(frame));
    list.push_back({name, std::move(frame), expected});
}

/// Adds a copy of an IPv4 frame whose header `change` spoils; the header checksum is right again afterwards.
template <class Change>
void add_ipv4(frame_list& list, const char* name, reason expected, const std::vector<std::byte>& frame, Change change) {
    add(list, name, expected, frame, [&](std::span<std::byte> bytes) {
        auto packet = mutable_ipv4_view::unchecked(bytes.subspan(network_at));
        change(packet);
        if (packet.header_length() <= packet.bytes().size()) { packet.fill_checksum(); }
    });
}

/// Adds a frame cut to `size` octets.
inline void add_cut(frame_list& list, const char* name, reason expected, std::vector<std::byte> frame, std::size_t size) {
    frame.resize(size);
    list.push_back({name, std::move(frame), expected});
}

/// Adds a copy of an IPv4 frame whose payload is cut to `size` octets, with lengths and header checksum to match.
inline void add_short_transport(frame_list& list, const char* name, reason expected, std::vector<std::byte> frame,
                                std::size_t size) {
    frame.resize(transport_at + size);
    add_ipv4(list, name, expected, frame, [&](mutable_ipv4_view packet) {
        packet.set_total_length(static_cast<std::uint16_t>(ipv4_header_length + size));
    });
}

inline void add_ethernet(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = udp_request(who, counting(20));
    const auto view = [](std::span<std::byte> bytes) { return mutable_ethernet_view::unchecked(bytes); };
    add_cut(list, "an empty frame", ethernet_truncated, good, 0);
    add_cut(list, "a frame of one octet", ethernet_truncated, good, 1);
    add_cut(list, "a frame that ends in its Ethernet header", ethernet_truncated, good, 13);
    add(list, "a frame with an 802.3 length", ethernet_length_field, good,
        [&](auto bytes) { store_be16(bytes.data() + ethernet_offset::type, 0x05ff); });
    add(list, "a frame from a multicast address", ethernet_multicast_source, good,
        [&](auto bytes) { view(bytes).set_source(mac_address({0x01, 0, 0x5e, 0, 0, 1})); });
    add(list, "a frame from the broadcast address", ethernet_multicast_source, good,
        [&](auto bytes) { view(bytes).set_source(mac_address::broadcast()); });
    add(list, "a frame from the zero address", ethernet_zero_source, good,
        [&](auto bytes) { view(bytes).set_source(mac_address()); });
    add(list, "an 802.1Q frame", ethernet_vlan_tagged, good, [&](auto bytes) { view(bytes).set_type(ethertype::vlan); });
    add(list, "an 802.1ad frame", ethernet_vlan_tagged, good,
        [&](auto bytes) { view(bytes).set_type(ethertype::service_vlan); });
    add(list, "a frame of an unknown type", ethernet_unknown_type, good,
        [&](auto bytes) { store_be16(bytes.data() + ethernet_offset::type, 0x88b5); });
    add(list, "a frame to someone else", ethernet_not_for_us, good,
        [&](auto bytes) { view(bytes).set_destination(who.client); });
    add(list, "a frame to a multicast group", ethernet_not_for_us, good,
        [&](auto bytes) { view(bytes).set_destination(mac_address({0x01, 0, 0x5e, 0, 0, 1})); });
}

inline void add_arp(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = arp_request(who);
    const auto put16 = [](std::size_t at, std::uint16_t value) {
        return [=](std::span<std::byte> bytes) { store_be16(bytes.data() + network_at + at, value); };
    };
    const auto put8 = [](std::size_t at, std::uint8_t value) {
        return [=](std::span<std::byte> bytes) { bytes[network_at + at] = std::byte{value}; };
    };
    const auto sender = [](mac_address hardware, ipv4_address protocol) {
        return [=](std::span<std::byte> bytes) {
            mutable_arp_view::unchecked(bytes.subspan(network_at)).set_sender(hardware, protocol);
        };
    };
    add_cut(list, "an ARP frame without a packet", arp_truncated, good, network_at);
    add_cut(list, "an ARP packet of 27 octets", arp_truncated, good, good.size() - 1);
    add(list, "ARP for another hardware", arp_hardware_type, good, put16(arp_offset::hardware_type, 6));
    add(list, "ARP for another protocol", arp_protocol_type, good, put16(arp_offset::protocol_type, 0x86dd));
    add(list, "ARP with long hardware addresses", arp_hardware_length, good, put8(arp_offset::hardware_length, 255));
    add(list, "ARP with empty hardware addresses", arp_hardware_length, good, put8(arp_offset::hardware_length, 0));
    add(list, "ARP with long protocol addresses", arp_protocol_length, good, put8(arp_offset::protocol_length, 16));
    add(list, "ARP with operation zero", arp_unknown_operation, good, put16(arp_offset::operation, 0));
    add(list, "a reverse ARP request", arp_unknown_operation, good, put16(arp_offset::operation, 3));
    add(list, "an ARP reply", arp_not_request, good, put16(arp_offset::operation, 2));
    add(list, "an ARP request for another address", arp_not_for_us, good, [&](std::span<std::byte> bytes) {
        mutable_arp_view::unchecked(bytes.subspan(network_at)).set_target(mac_address(), who.client_ip);
    });
    add(list, "ARP from a multicast hardware address", arp_multicast_sender, good,
        sender(mac_address::broadcast(), who.client_ip));
    add(list, "ARP in the name of another station", arp_sender_mismatch, good, sender(who.host, who.client_ip));
    add(list, "ARP from a multicast protocol address", arp_bad_sender_address, good,
        sender(who.client, ipv4_address(224, 0, 0, 1)));
    add(list, "ARP from the address of the host", arp_address_conflict, good, sender(who.client, who.host_ip));
}

inline void add_ipv4_lengths(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = udp_request(who, counting(20));
    const auto first_octet = [](std::uint8_t value) {
        return [=](mutable_ipv4_view packet) { packet.bytes()[0] = std::byte{value}; };
    };
    const auto total_length = [](std::uint16_t value) {
        return [=](mutable_ipv4_view packet) { packet.set_total_length(value); };
    };
    add_cut(list, "an IPv4 frame without a datagram", ipv4_truncated, good, network_at);
    add_cut(list, "an IPv4 header of 19 octets", ipv4_truncated, good, network_at + 19);
    add_ipv4(list, "IPv4 that says version 6", ipv4_bad_version, good, first_octet(0x65));
    add_ipv4(list, "IPv4 with a header of 16 octets", ipv4_bad_header_length, good, first_octet(0x44));
    add_ipv4(list, "IPv4 with a header longer than the frame", ipv4_bad_header_length, good, first_octet(0x4f));
    add_ipv4(list, "IPv4 with total length zero", ipv4_short_total_length, good, total_length(0));
    add_ipv4(list, "IPv4 with a total length inside its header", ipv4_short_total_length, good, total_length(19));
    add_ipv4(list, "IPv4 with a total length of 65535", ipv4_long_total_length, good, total_length(65535));
    add_cut(list, "IPv4 with its last octet missing", ipv4_long_total_length, good, good.size() - 1);
    add(list, "IPv4 with a wrong checksum", ipv4_bad_checksum, good,
        [](std::span<std::byte> bytes) { bytes[network_at + ipv4_offset::checksum] ^= std::byte{1}; });
    for (const auto& options : {octets(7, 5, 4, 0), octets(7, 0, 0, 0), octets(7, 1, 0, 0), octets(1, 1, 1, 68)}) {
        list.push_back({"IPv4 with an option that does not fit", with_options(good, options), ipv4_bad_options});
    }
    for (const auto& options : {octets(131, 3, 4, 0), octets(1, 137, 3, 4)}) {
        list.push_back({"IPv4 with a source route", with_options(good, options), ipv4_source_route});
    }
}

inline void add_ipv4_fields(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = udp_request(who, counting(20));
    const auto source = [](ipv4_address address) { return [=](mutable_ipv4_view packet) { packet.set_source(address); }; };
    add_ipv4(list, "the first fragment of a datagram", ipv4_fragment, good,
             [](mutable_ipv4_view packet) { packet.set_fragment(false, true, 0); });
    add_ipv4(list, "the last fragment of a datagram", ipv4_fragment, good,
             [](mutable_ipv4_view packet) { packet.set_fragment(false, false, 65528); });
    add_ipv4(list, "IPv4 from a multicast address", ipv4_bad_source, good, source(ipv4_address(239, 1, 2, 3)));
    add_ipv4(list, "IPv4 from the broadcast address", ipv4_bad_source, good, source(ipv4_address::broadcast()));
    add_ipv4(list, "IPv4 from a loopback address", ipv4_bad_source, good, source(ipv4_address(127, 0, 0, 1)));
    add_ipv4(list, "IPv4 from no address", ipv4_bad_source, good, source(ipv4_address()));
    add_ipv4(list, "IPv4 from the address of the host", ipv4_bad_source, good, source(who.host_ip));
    add_ipv4(list, "IPv4 to someone else", ipv4_not_for_us, good,
             [&](mutable_ipv4_view packet) { packet.set_destination(who.client_ip); });
    std::vector<std::byte> broadcast = good;
    mutable_ethernet_view::unchecked(broadcast).set_destination(mac_address::broadcast());
    list.push_back({"a unicast datagram in a broadcast frame", std::move(broadcast), ipv4_link_broadcast});
    add_ipv4(list, "IPv4 with time to live zero", ipv4_ttl_zero, good,
             [](mutable_ipv4_view packet) { packet.set_time_to_live(0); });
    add_ipv4(list, "IPv4 with an unknown protocol", ipv4_unknown_protocol, good,
             [](mutable_ipv4_view packet) { packet.set_protocol(ip_protocol{132}); });  // SCTP
}

/// Makes an echo request whose ICMP header `change` spoils; the checksum is right again afterwards.
template <class Change>
void add_icmp_message(frame_list& list, const char* name, reason expected, const endpoints& who, Change change) {
    add(list, name, expected, echo_request(who, counting(20)), [&](std::span<std::byte> bytes) {
        auto message = mutable_icmp_view::unchecked(bytes.subspan(transport_at));
        change(message);
        message.fill_checksum();
    });
}

inline void add_icmp(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = echo_request(who, counting(20));
    const auto type = [](icmp_type value) { return [=](mutable_icmp_view message) { message.set_type(value); }; };
    add_short_transport(list, "an ICMP datagram without a message", icmp_truncated, good, 0);
    add_short_transport(list, "an ICMP message of 7 octets", icmp_truncated, good, 7);
    add(list, "ICMP with a wrong checksum", icmp_bad_checksum, good,
        [](std::span<std::byte> bytes) { bytes.back() ^= std::byte{0x80}; });
    add_short_transport(list, "an ICMP message that lost its last octet", icmp_bad_checksum, good, 27);
    add_icmp_message(list, "an ICMP message of an unknown type", icmp_unknown_type, who,
                     [](mutable_icmp_view message) { message.bytes()[icmp_offset::type] = std::byte{200}; });
    add_icmp_message(list, "an ICMP error", icmp_unknown_type, who, type(icmp_type::destination_unreachable));
    add_icmp_message(list, "an echo request with a code", icmp_bad_code, who,
                     [](mutable_icmp_view message) { message.set_code(1); });
    add_icmp_message(list, "an echo reply", icmp_unsolicited_reply, who, type(icmp_type::echo_reply));
    add_ipv4(list, "an echo request to everyone", icmp_broadcast_echo, good,
             [](mutable_ipv4_view packet) { packet.set_destination(ipv4_address::broadcast()); });
}

/// Makes a UDP request whose header `change` spoils; the checksum is right again afterwards.
template <class Change>
void add_udp_datagram(frame_list& list, const char* name, reason expected, const endpoints& who, Change change) {
    add(list, name, expected, udp_request(who, counting(20)), [&](std::span<std::byte> bytes) {
        auto packet = mutable_ipv4_view::unchecked(bytes.subspan(network_at));
        auto datagram = mutable_udp_view::unchecked(packet.payload());
        change(packet, datagram);
        packet.fill_checksum();
        datagram.fill_checksum(packet.source(), packet.destination());
    });
}

inline void add_udp(frame_list& list, const endpoints& who) {
    using enum reason;
    const std::vector<std::byte> good = udp_request(who, counting(20));
    const auto length = [](std::uint16_t value) {
        return [=](std::span<std::byte> bytes) { store_be16(bytes.data() + transport_at + udp_offset::length, value); };
    };
    const auto source_port = [](std::uint16_t port) {
        return [=](mutable_ipv4_view, mutable_udp_view datagram) { datagram.set_source_port(port); };
    };
    add_short_transport(list, "a UDP datagram of no octets", udp_truncated, good, 0);
    add_short_transport(list, "a UDP datagram of 7 octets", udp_truncated, good, 7);
    add(list, "UDP with length zero", udp_short_length, good, length(0));
    add(list, "UDP with a length inside its header", udp_short_length, good, length(7));
    add(list, "UDP with a length one beyond the packet", udp_long_length, good, length(29));
    add(list, "UDP with a length of 65535", udp_long_length, good, length(65535));
    add(list, "UDP with a wrong checksum", udp_bad_checksum, good,
        [](std::span<std::byte> bytes) { bytes.back() ^= std::byte{1}; });
    add_udp_datagram(list, "UDP from port zero", udp_source_port_zero, who, source_port(0));
    add_udp_datagram(list, "UDP to a port that nobody serves", udp_port_not_served, who,
                     [&](mutable_ipv4_view, mutable_udp_view datagram) {
                         datagram.set_destination_port(static_cast<std::uint16_t>(who.echo_port + 1));
                     });
    add_udp_datagram(list, "UDP from the echo port of the host", udp_echo_loop, who, source_port(who.echo_port));
    add_udp_datagram(list, "UDP from the well-known echo port", udp_echo_loop, who, source_port(7));
    add_udp_datagram(list, "UDP to everyone", udp_broadcast, who,
                     [](mutable_ipv4_view packet, mutable_udp_view) { packet.set_destination(ipv4_address::broadcast()); });
}

}  // namespace detail

/// Makes at least one frame for every reason that an `echo_host` of these addresses has to refuse a frame.
[[nodiscard]] inline std::vector<malformed_frame> malformed_frames(const endpoints& who) {
    std::vector<malformed_frame> list;
    detail::add_ethernet(list, who);
    detail::add_arp(list, who);
    detail::add_ipv4_lengths(list, who);
    detail::add_ipv4_fields(list, who);
    detail::add_icmp(list, who);
    detail::add_udp(list, who);
    return list;
}

/// Does the same for a host whose echo port is 7.
[[nodiscard]] inline std::vector<malformed_frame> malformed_frames(mac_address host, ipv4_address host_ip,
                                                                   mac_address client, ipv4_address client_ip) {
    return malformed_frames(endpoints{.host = host, .host_ip = host_ip, .client = client, .client_ip = client_ip});
}

}  // namespace fluxnet::proto::test
