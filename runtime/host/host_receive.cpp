// SPDX-License-Identifier: BSD-3-Clause
// Received frames: Ethernet, ARP, IPv4.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/detail/host_rules.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/reply.hpp"
#include "fluxnet/proto/vlan.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"

#include <optional>

namespace fluxnet::host::detail {
namespace {

using proto::ethertype;
using proto::mac_address;
using proto::reason;

/// Says why a datagram's source cannot be that of another host, if so.
bool is_bad_source(proto::ipv4_address source, const proto::own_addresses& own) noexcept {
    return source.is_multicast() || source.is_broadcast() || source.is_loopback() || source.is_this_network() ||
           own.owns(source);
}

}  // namespace

host_core::received host_core::receive_frame(packet& frame) noexcept {
    const auto ethernet = proto::mutable_ethernet_view::parse(frame.data());
    if (!ethernet) { return ethernet.error(); }
    const mac_address to = ethernet->destination();
    const ethertype type = ethernet->type();
    const bool group = to.is_multicast();
    // Groups are IPv6's: a host of IPv4 is in none.
    if (to != own_.hardware() && !to.is_broadcast() && !(group && type == ethertype::ipv6)) {
        return reason::ethernet_not_for_us;
    }
    switch (type) {
        case ethertype::ipv4: return receive_ipv4(frame, ethernet->source(), group);
        case ethertype::ipv6: return receive_ipv6(frame, ethernet->source(), group);
        case ethertype::arp:
            if (!given_.are_all()) { return reason::arp_not_for_us; }
            return receive_arp(frame, ethernet->source());
        default: return proto::detail::refuse_type(type);
    }
}

void host_core::heard(const proto::neighbour_table::news& news) noexcept {
    using kind = proto::neighbour_table::news;
    news_ = news_ || news.what == kind::resolved || news.what == kind::changed;
    dirty_ = true;
}

void host_core::heard(const proto::own_addresses::verdict& verdict) noexcept {
    if (verdict.what == proto::own_addresses::verdict::lost) {
        ++counters_.addresses_lost;
        fluxnet::detail::tell_made(log_kind::link, [&] {
            return "a host gives up " + verdict.address.to_string() + ": another station has it";
        });
        news_ = true;
    }
    dirty_ = true;
}

host_core::received host_core::receive_arp(packet& frame, mac_address station) noexcept {
    const auto packet_view = proto::mutable_arp_view::parse(frame.data().subspan(proto::ethernet_header_length));
    if (!packet_view) { return packet_view.error(); }
    const proto::arp_repr said{packet_view->operation(), packet_view->sender_hardware(), packet_view->sender_protocol(),
                               packet_view->target_hardware(), packet_view->target_protocol()};
    if (said.sender_hardware.is_multicast()) { return reason::arp_multicast_sender; }
    if (said.sender_hardware != station) { return reason::arp_sender_mismatch; }
    const auto verdict = own_.heard_arp(said, station, now());
    using kind = proto::own_addresses::verdict;
    const bool reply_to_us = said.operation == proto::arp_operation::reply && said.target_hardware == own_.hardware();
    const auto about_us = [&] { return is_own(said.target_protocol) || is_own(said.sender_protocol); };
    const auto is_known = [&](const proto::ip_address& address) {
        return neighbours_.lookup(address, now()).state != proto::neighbour_state::none;
    };
    if (place_ && (about_us() || reply_to_us || is_known(said.sender_protocol))) {
        // Before it is answered in the same frame.
        tell_siblings(frame, proto::ethernet_header_length + proto::arp_packet_length);
    }
    if (verdict.what == kind::defended || verdict.what == kind::conflict || verdict.what == kind::lost) {
        heard(verdict);
        return reason::arp_address_conflict;
    }
    const auto news = reply_to_us && own_.owns(said.target_protocol) ? neighbours_.heard_reply(said.sender_protocol, station, now())
                                  : neighbours_.heard_claim(said.sender_protocol, station, now());
    heard(news);
    if (verdict.what == kind::answer) {
        turn_around(*packet_view, own_.hardware());
        if (frame.set_len(proto::ethernet_header_length + proto::arp_packet_length)) {
            answer(frame, station, ethertype::arp, counters_.answers_sent);
        }
        return outcome::arp;
    }
    if (news.what != proto::neighbour_table::news::ignored) { return outcome::arp; }
    if (said.operation == proto::arp_operation::reply) { return reason::arp_not_request; }
    return own_.owns(said.target_protocol) ? reason::arp_bad_sender_address : reason::arp_not_for_us;
}

host_core::received host_core::receive_ipv4(packet& frame, mac_address station, bool link_group) noexcept {
    const auto parsed = proto::mutable_ipv4_view::parse(frame.data().subspan(proto::ethernet_header_length));
    if (!parsed) { return parsed.error(); }
    const proto::ipv4_view view = *parsed;
    const proto::ipv4_address destination = view.destination();
    const bool broadcast = routes_.is_broadcast(destination);
    if (!broadcast && !own_.owns(destination)) { return reason::ipv4_not_for_us; }
    if (link_group && !broadcast) { return reason::ipv4_link_broadcast; }
    if (is_bad_source(view.source(), own_) || routes_.is_broadcast(view.source())) { return reason::ipv4_bad_source; }
    if (view.time_to_live() == 0) { return reason::ipv4_ttl_zero; }
    if (view.header_length() != proto::ipv4_header_length && proto::detail::has_source_route(view)) {
        return reason::ipv4_source_route;
    }
    ip_payload got{.source = view.source(),
                   .destination = destination,
                   .protocol = view.protocol(),
                   .bytes = view.payload(),
                   .from_ip_on = view.bytes(),
                   .frame = own_frame(frame),
                   .station = station,
                   .link_group = link_group,
                   .broadcast = broadcast};
    if (!view.is_fragment()) { return deliver(got); }
    const proto::reassembly::fragment part{.source = got.source,
                                           .destination = got.destination,
                                           .identification = view.identification(),
                                           .protocol = static_cast<std::uint8_t>(view.protocol()),
                                           .ecn = static_cast<std::uint8_t>(view.type_of_service() & 3U),
                                           .more = view.more_fragments(),
                                           .offset = view.fragment_offset(),
                                           .header_length = view.header_length(),
                                           .payload = view.payload()};
    return receive_fragment(part, got);
}

/// Adds a fragment; `whole` has what the packet says beside it, and is delivered when that is complete.
host_core::received host_core::receive_fragment(const proto::reassembly::fragment& part, ip_payload& whole) noexcept {
    dirty_ = true;
    const auto got = fragments_.add(part, now());
    if (!got) { return got.error(); }
    if (!*got) { return outcome::fragment; }
    whole.protocol = proto::ip_protocol{(*got)->protocol};
    whole.bytes = (*got)->payload;
    whole.from_ip_on = {};
    whole.frame = nullptr;
    return deliver(whole);
}

bool host_core::is_given(const ip_payload& got) const noexcept {
    if (got.bytes.size() < 4) { return false; }  // the ports of TCP and UDP
    const std::uint16_t port = proto::load_be16(got.bytes.data() + 2);
    if (got.protocol == proto::ip_protocol::tcp) { return given_.has_tcp(port); }
    return got.protocol == proto::ip_protocol::udp && given_.has_udp(port);
}

host_core::received host_core::deliver(const ip_payload& got) noexcept {
    const bool v4 = got.source.is_v4();
    if (!given_.are_all() && !is_given(got)) { return v4 ? reason::ipv4_not_for_us : reason::ipv6_not_for_us; }
    switch (got.protocol) {
        case proto::ip_protocol::udp: return receive_udp(got);
        case proto::ip_protocol::tcp:
            if (got.broadcast || got.destination.is_multicast()) { return reason::tcp_broadcast; }
            return tcp_.receive(got);
        case proto::ip_protocol::icmp:
            if (v4) { return receive_icmp(got); }
            break;
        case proto::ip_protocol::icmpv6:
            if (!v4) { return receive_icmpv6(got); }
            break;
        default: break;
    }
    if (v4) {
        refuse(got, {.type = static_cast<std::uint8_t>(proto::icmp_type::destination_unreachable),
                     .code = proto::icmp_code::protocol_unreachable});
        return reason::ipv4_unknown_protocol;
    }
    if (got.protocol != proto::ip_protocol::ipv6_no_next_header) {
        refuse(got, {.type = static_cast<std::uint8_t>(proto::icmpv6_type::parameter_problem),
                     .code = proto::ipv6_problem::unknown_next_header,
                     .value = static_cast<std::uint32_t>(got.next_header_at)});
    }
    return reason::ipv6_unknown_protocol;
}

}  // namespace fluxnet::host::detail
