// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/udp_station.hpp"

#include "fluxnet/proto/detail/host_rules.hpp"
#include "fluxnet/proto/link_group.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::proto {
namespace {

/// Tells whether an address may be that of a host elsewhere.
bool is_host(ipv4_address address) noexcept {
    return !address.is_this_network() && !address.is_broadcast() && !address.is_multicast() && !address.is_loopback();
}

}  // namespace

udp_station::udp_station(mac_address hardware, ipv4_address address, std::uint16_t port)
    : hardware_(hardware), address_(address), port_(port), heard_(heard_stations) {
    assert(!hardware.is_multicast() && !hardware.is_zero());
    assert(!address.is_multicast() && !address.is_broadcast() && !address.is_this_network());
    assert(port != 0);
}

udp_station::arrival udp_station::receive(std::span<std::byte> frame) noexcept {
    ++counters_.frames;
    const result<arrival> found = receive_ethernet(frame);
    if (found.has_error()) {
        ++counters_.dropped[static_cast<std::size_t>(found.error())];
        return {};
    }
    return *found;
}

result<udp_station::arrival> udp_station::receive_ethernet(std::span<std::byte> bytes) noexcept {
    const auto frame = detail::parse_frame_for(hardware_, bytes);
    if (!frame) { return frame.error(); }
    switch (frame->type()) {
        case ethertype::arp: return receive_arp(*frame);
        case ethertype::ipv4: return receive_ipv4(*frame);
        default: return detail::refuse_type(frame->type());
    }
}

result<udp_station::arrival> udp_station::receive_arp(mutable_ethernet_view frame) noexcept {
    const auto packet = arp_view::parse(frame.payload());
    if (!packet) { return packet.error(); }
    move_station(*packet, frame.source());
    if (packet->operation() == arp_operation::reply) { return receive_arp_reply(*packet, frame.source()); }
    const auto length = detail::answer_arp(frame, hardware_, address_);
    if (!length) { return length.error(); }
    const auto reply = arp_view::unchecked(frame.payload());
    remember(reply.target_protocol(), reply.target_hardware());
    ++counters_.arp_replies;
    return arrival{.what = arrival::arp_reply, .from = {}, .payload = {}, .length = *length};
}

result<udp_station::arrival> udp_station::receive_arp_reply(arp_view packet, mac_address from) noexcept {
    const ipv4_address sender = packet.sender_protocol();
    const auto asked = std::ranges::find(asked_, sender, &asked_address::address);
    if (asked == asked_.end() || sender.is_this_network()) { return reason::arp_not_request; }
    if (const auto why = detail::refuse_arp(packet, from, address_)) { return *why; }
    *asked = {};
    remember(sender, from);
    ++counters_.arp_answers;
    return arrival{.what = arrival::arp_answer, .from = {}, .payload = {}, .length = 0};
}

void udp_station::move_station(arp_view packet, mac_address from) noexcept {
    const ipv4_address sender = packet.sender_protocol();
    heard_station& place = heard_[sender.to_host_order() % heard_stations];
    if (place.address == sender && !sender.is_this_network() && packet.sender_hardware() == from) { place.hardware = from; }
}

result<udp_station::arrival> udp_station::receive_ipv4(ethernet_view frame) noexcept {
    const auto packet = ipv4_view::parse(frame.payload());
    if (!packet) { return packet.error(); }
    const bool link_broadcast = frame.destination().is_broadcast();
    if (const auto why = detail::refuse_datagram(*packet, address_, link_broadcast)) { return *why; }
    if (packet->protocol() != ip_protocol::udp) { return reason::ipv4_unknown_protocol; }
    const auto message = udp_view::parse(packet->payload(), packet->source(), packet->destination());
    if (!message) { return message.error(); }
    if (message->destination_port() != port_) { return reason::udp_port_not_served; }
    if (packet->destination().is_broadcast()) { return reason::udp_broadcast; }
    if (message->source_port() == 0) { return reason::udp_source_port_zero; }

    remember(packet->source(), frame.source());
    ++counters_.datagrams;
    return arrival{.what = arrival::datagram,
                   .from = {packet->source(), message->source_port()},
                   .payload = message->payload(),
                   .length = 0};
}

void udp_station::remember(ipv4_address address, mac_address hardware) noexcept {
    // An address in 0.0.0.0/8 is that of an ARP probe, whose sender has none yet.
    if (!gateway_ && !address.is_this_network()) { heard_[address.to_host_order() % heard_stations] = {address, hardware}; }
}

void udp_station::set_prefix_length(unsigned length) noexcept {
    assert(length <= 32);
    network_broadcast_ = ipv4_address::broadcast();
    if (length >= 31) { return; }
    network_broadcast_ = ipv4_address::from_host_order(address_.to_host_order() | (~std::uint32_t{0} >> length));
}

std::optional<mac_address> udp_station::next_hop(ipv4_address address) const noexcept {
    if (is_broadcast(address)) { return mac_address::broadcast(); }
    if (address.is_multicast()) { return hardware_of_group(address); }
    if (!is_host(address)) { return std::nullopt; }
    if (const auto known = neighbours_.find(address); known != neighbours_.end()) { return known->second; }
    if (gateway_) { return gateway_; }
    const heard_station& last = heard_[address.to_host_order() % heard_stations];
    return last.address == address ? std::optional(last.hardware) : std::nullopt;
}

bool udp_station::is_askable(ipv4_address address) const noexcept {
    return is_host(address) && address != address_ && !is_broadcast(address);
}

bool udp_station::may_ask(ipv4_address address, time_point now, std::chrono::nanoseconds rest) noexcept {
    assert(is_askable(address));
    auto place = std::ranges::find(asked_, address, &asked_address::address);
    if (place == asked_.end()) { place = std::ranges::min_element(asked_, {}, &asked_address::last); }
    if (place->last > now - rest) { return false; }
    *place = {address, now};
    return true;
}

std::size_t udp_station::emit_arp_request(std::span<std::byte> frame, ipv4_address address) const noexcept {
    const auto ethernet = ethernet_repr{mac_address::broadcast(), hardware_, ethertype::arp}.emit(frame);
    arp_repr{arp_operation::request, hardware_, address_, mac_address(), address}.emit(ethernet.payload());
    return arp_request_length;
}

std::size_t udp_station::emit(std::span<std::byte> frame, mac_address next_hop, peer to,
                              std::span<const std::byte> payload) const noexcept {
    const auto ethernet = ethernet_repr{next_hop, hardware_, ethertype::ipv4}.emit(frame);
    ipv4_repr header{address_, to.address, ip_protocol::udp, udp_header_length + payload.size()};
    if (to.address.is_multicast()) { header.time_to_live = 1; }
    const auto packet = header.emit(ethernet.payload());
    auto message = udp_repr{port_, to.port, payload.size()}.emit(packet.payload());
    if (!payload.empty()) { std::memcpy(message.payload().data(), payload.data(), payload.size()); }
    message.fill_checksum(address_, to.address);
    return overhead + payload.size();
}

}  // namespace fluxnet::proto
