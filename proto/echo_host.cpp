// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/echo_host.hpp"

#include "fluxnet/proto/detail/host_rules.hpp"
#include "fluxnet/proto/reply.hpp"

#include <cassert>

namespace fluxnet::proto {

echo_host::echo_host(mac_address hardware, ipv4_address address, std::uint16_t udp_echo_port) noexcept
    : hardware_(hardware), address_(address), udp_echo_port_(udp_echo_port) {
    assert(!hardware.is_multicast() && !hardware.is_zero());
    assert(!address.is_multicast() && !address.is_broadcast() && !address.is_this_network());
    assert(udp_echo_port != 0);
}

std::optional<std::size_t> echo_host::answer(std::span<std::byte> frame) noexcept {
    ++counters_.frames;
    const result<std::size_t> reply = answer_ethernet(frame);
    if (reply.has_error()) {
        ++counters_.dropped[static_cast<std::size_t>(reply.error())];
        return std::nullopt;
    }
    return *reply;
}

result<std::size_t> echo_host::answer_ethernet(std::span<std::byte> bytes) noexcept {
    const auto frame = detail::parse_frame_for(hardware_, bytes);
    if (!frame) { return frame.error(); }
    switch (frame->type()) {
        case ethertype::arp: return answer_arp(*frame);
        case ethertype::ipv4: return answer_ipv4(*frame);
        default: return detail::refuse_type(frame->type());
    }
}

result<std::size_t> echo_host::answer_arp(mutable_ethernet_view frame) noexcept {
    const auto reply = detail::answer_arp(frame, hardware_, address_);
    if (reply) { ++counters_.arp_replies; }
    return reply;
}

result<std::size_t> echo_host::answer_ipv4(mutable_ethernet_view frame) noexcept {
    const auto packet = mutable_ipv4_view::parse(frame.payload());
    if (!packet) { return packet.error(); }
    if (const auto why = detail::refuse_datagram(*packet, address_, frame.destination().is_broadcast())) { return *why; }

    result<std::size_t> payload_length = reason::ipv4_unknown_protocol;
    if (packet->protocol() == ip_protocol::icmp) {
        payload_length = answer_icmp(*packet);
    } else if (packet->protocol() == ip_protocol::udp) {
        payload_length = answer_udp(*packet);
    }
    if (!payload_length) { return payload_length; }
    turn_around(frame, hardware_);
    return ethernet_header_length + turn_around(*packet, *payload_length);
}

result<std::size_t> echo_host::answer_icmp(mutable_ipv4_view packet) noexcept {
    const auto message = mutable_icmp_view::parse(packet.payload());
    if (!message) { return message.error(); }
    if (message->type() == icmp_type::echo_reply) { return reason::icmp_unsolicited_reply; }
    if (message->type() != icmp_type::echo_request) { return reason::icmp_unknown_type; }
    if (message->code() != 0) { return reason::icmp_bad_code; }
    if (packet.destination().is_broadcast()) { return reason::icmp_broadcast_echo; }

    turn_around(*message);
    ++counters_.icmp_replies;
    return message->bytes().size();
}

result<std::size_t> echo_host::answer_udp(mutable_ipv4_view packet) noexcept {
    const auto datagram = mutable_udp_view::parse(packet.payload(), packet.source(), packet.destination());
    if (!datagram) { return datagram.error(); }
    if (datagram->destination_port() != udp_echo_port_) { return reason::udp_port_not_served; }
    if (packet.destination().is_broadcast()) { return reason::udp_broadcast; }
    const std::uint16_t source_port = datagram->source_port();
    if (source_port == 0) { return reason::udp_source_port_zero; }
    if (source_port == udp_echo_port_ || source_port == well_known_echo_port) { return reason::udp_echo_loop; }

    turn_around(*datagram);
    ++counters_.udp_replies;
    return datagram->bytes().size();
}

}  // namespace fluxnet::proto
