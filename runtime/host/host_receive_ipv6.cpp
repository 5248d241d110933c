// SPDX-License-Identifier: BSD-3-Clause
// Received frames: IPv6 and Neighbor Discovery.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/link_group.hpp"

#include <optional>

namespace fluxnet::host::detail {
namespace {

using proto::icmpv6_type;
using proto::reason;

/// Tells whether a packet can have come from the address: a host's, or ::, from which a host asks that has none yet.
bool may_be_source(const proto::ipv6_address& source) noexcept {
    return !source.is_multicast() && !source.is_loopback() && !source.is_v4_mapped();
}

}  // namespace

host_core::received host_core::receive_ipv6(packet& frame, proto::mac_address station, bool link_group) noexcept {
    const auto parsed = proto::mutable_ipv6_view::parse(frame.data().subspan(proto::ethernet_header_length));
    if (!parsed) { return parsed.error(); }
    const proto::ipv6_view view = *parsed;
    const proto::ipv6_address source = view.source();
    const proto::ipv6_address destination = view.destination();
    if (!may_be_source(source)) { return reason::ipv6_bad_source; }
    const bool to_group = destination.is_multicast();
    if (to_group ? !own_.listens_to(destination) : !own_.owns(destination)) { return reason::ipv6_not_for_us; }
    if (link_group && !to_group) { return reason::ipv6_link_group; }
    ip_payload got{.source = source,
                   .destination = destination,
                   .bytes = {},
                   .from_ip_on = view.bytes(),
                   .frame = own_frame(frame),
                   .station = station,
                   .link_group = link_group};
    std::optional<proto::ipv6_problem> problem;
    const auto content = ipv6_upper_layer(view, &problem);
    if (!content) {
        if (problem) {
            refuse(got, {.type = static_cast<std::uint8_t>(icmpv6_type::parameter_problem),
                         .code = problem->code,
                         .value = static_cast<std::uint32_t>(problem->pointer),
                         .what = problem->even_to_a_group ? proto::icmp_error_cause::unrecognized_option
                                                          : proto::icmp_error_cause::any});
        }
        return content.error();
    }
    // Only Neighbor Discovery looks at packets from :: and from the host's own addresses: they tell of conflicts.
    if (content->protocol != proto::ip_protocol::icmpv6 && (source.is_unspecified() || own_.owns(source))) {
        return reason::ipv6_bad_source;
    }
    got.protocol = content->protocol;
    got.bytes = content->payload;
    got.next_header_at = content->next_header_at;
    if (content->is_whole()) { return deliver(got); }
    if (source.is_unspecified() || own_.owns(source)) { return reason::ipv6_bad_source; }
    const proto::reassembly::fragment part{.source = got.source,
                                           .destination = got.destination,
                                           .identification = content->fragment->identification,
                                           .protocol = static_cast<std::uint8_t>(content->protocol),
                                           .ecn = static_cast<std::uint8_t>(view.traffic_class() & 3U),
                                           .more = content->fragment->more,
                                           .offset = content->fragment->offset,
                                           .header_length = content->fragment->header_at - proto::ipv6_header_length,
                                           .payload = content->payload};
    return receive_fragment(part, got);
}

host_core::received host_core::receive_ndp(const ip_payload& got, proto::icmpv6_view message) noexcept {
    if (got.frame == nullptr) { return reason::ndp_fragment; }
    const proto::ipv6_view view = proto::ipv6_view::unchecked(got.from_ip_on);
    if (message.type() == icmpv6_type::router_advertisement) {
        const auto said = proto::ndp_router_advertisement_view::parse(message, view);
        if (!said) { return said.error(); }
        tell_siblings(*got.frame, got.frame->data().size());
        const auto hardware = said->link_address();
        if (hardware && *hardware == got.station) { heard(neighbours_.heard_claim(got.source, *hardware, now())); }
        heard(neighbours_.set_router(got.source, said->router_lifetime_s() != 0));
        return outcome::ndp;
    }
    if (message.type() == icmpv6_type::router_solicitation) { return reason::ndp_unknown_type; }  // it is no router
    const auto said = proto::ndp_neighbour_view::parse(message, view);
    if (!said) { return said.error(); }
    if (said->is_advertisement() || is_own(said->target()) || is_own(got.source)) {
        tell_siblings(*got.frame, got.frame->data().size());
    }
    return receive_neighbour(got, *said);
}

host_core::received host_core::receive_neighbour(const ip_payload& got, proto::ndp_neighbour_view message) noexcept {
    using kind = proto::own_addresses::verdict;
    const proto::ipv6_address target = message.target();
    const auto hardware = message.link_address();
    // What another station says of its own is believed of that station alone.
    const bool is_senders = hardware && *hardware == got.station;
    const auto verdict = message.is_advertisement() ? own_.heard_advertisement(target, got.station, now())
                                                    : own_.heard_solicitation(target, got.source.v6(), got.station, now());
    if (verdict.what == kind::defended || verdict.what == kind::conflict || verdict.what == kind::lost) {
        heard(verdict);
        return outcome::ndp;
    }
    if (message.is_advertisement()) {
        if (hardware && !is_senders) { return reason::ndp_sender_mismatch; }
        const proto::neighbour_table::advertisement_flags flags{message.is_router(), message.is_solicited(),
                                                                message.is_override()};
        heard(neighbours_.heard_advertisement(target, hardware, flags, now()));
        return outcome::ndp;
    }
    if (is_senders && !got.source.is_unspecified()) { heard(neighbours_.heard_claim(got.source, *hardware, now())); }
    if (verdict.what != kind::answer) { return outcome::ndp; }
    proto::ndp_neighbour_repr said;
    said.type = icmpv6_type::neighbour_advertisement;
    said.target = target;
    said.link_address = own_.hardware();
    said.solicited = !verdict.to_all;
    said.override_known = true;
    const proto::ipv6_address group = proto::ipv6_address::all_nodes();
    const proto::ipv6_address asking = verdict.to_all ? group : got.source.v6();
    const proto::mac_address to = verdict.to_all ? proto::hardware_of_group(group) : verdict.station;
    // In the frame of the question, of which nothing is needed any more.
    send_ndp(*got.frame, to, target, asking, said, counters_.answers_sent);
    return outcome::ndp;
}

}  // namespace fluxnet::host::detail
