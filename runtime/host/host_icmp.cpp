// SPDX-License-Identifier: BSD-3-Clause
// ICMP of both versions: echo, errors that come, errors that go.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/reply.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace fluxnet::host::detail {
namespace {

using proto::ethertype;
using proto::icmp_type;
using proto::icmpv6_type;
using proto::ip_address;
using proto::reason;

/// Tells whether what a packet carries is an ICMP error, or may be one.
bool carries_error(const ip_payload& got) noexcept {
    if (got.bytes.empty()) { return false; }
    const auto type = std::to_integer<std::uint8_t>(got.bytes[0]);
    if (got.source.is_v4()) { return got.protocol == proto::ip_protocol::icmp && proto::is_icmp_error(type); }
    return got.protocol == proto::ip_protocol::icmpv6 && proto::is_icmpv6_error(type);
}

/// What a program is told of an error. None: the error is of no use to it.
std::error_code meaning_of(proto::icmp_view message) noexcept {
    switch (message.type()) {
        case icmp_type::destination_unreachable: break;
        case icmp_type::time_exceeded:
        case icmp_type::parameter_problem: return std::make_error_code(std::errc::host_unreachable);
        default: return {};
    }
    switch (message.code()) {
        case proto::icmp_code::protocol_unreachable:
        case proto::icmp_code::port_unreachable: return std::make_error_code(std::errc::connection_refused);
        case proto::icmp_code::network_unreachable: return std::make_error_code(std::errc::network_unreachable);
        case proto::icmp_code::fragmentation_needed: return {};
        default: return std::make_error_code(std::errc::host_unreachable);
    }
}

std::error_code meaning_of(proto::icmpv6_view message) noexcept {
    switch (message.type()) {
        case icmpv6_type::destination_unreachable: break;
        case icmpv6_type::time_exceeded:
        case icmpv6_type::parameter_problem: return std::make_error_code(std::errc::host_unreachable);
        default: return {};
    }
    switch (message.code()) {
        case proto::icmpv6_code::port_unreachable: return std::make_error_code(std::errc::connection_refused);
        case proto::icmpv6_code::no_route: return std::make_error_code(std::errc::network_unreachable);
        default: return std::make_error_code(std::errc::host_unreachable);
    }
}

/// The octets of an IP header before what fragments were put together to, or had begun with: for an error that quotes it.
template <std::size_t Size>
std::span<const std::byte> rebuild(std::array<std::byte, Size>& room, const ip_address& source,
                                   const ip_address& destination, proto::ip_protocol protocol, std::uint32_t identification,
                                   bool more, std::span<const std::byte> bytes) noexcept {
    if (source.is_v4()) {
        const std::size_t part = std::min(bytes.size(), room.size() - proto::ipv4_header_length);
        proto::ipv4_repr head{source.v4(), destination.v4(), protocol, part};
        head.identification = static_cast<std::uint16_t>(identification);
        head.dont_fragment = false;
        auto view = head.emit(room);
        view.set_fragment(false, more, 0);
        view.fill_checksum();
        if (part != 0) { std::memcpy(view.payload().data(), bytes.data(), part); }
        return view.bytes();
    }
    const std::size_t extra = more ? proto::ipv6_fragment_header_length : 0;
    const std::size_t part = std::min(bytes.size(), room.size() - proto::ipv6_header_length - extra);
    const proto::ipv6_repr head{source.v6(), destination.v6(), more ? proto::ip_protocol::ipv6_fragment : protocol,
                                extra + part};
    const auto view = head.emit(room);
    if (more) { proto::ipv6_fragment_repr{protocol, 0, true, identification}.emit(view.payload()); }
    if (part != 0) { std::memcpy(view.payload().data() + extra, bytes.data(), part); }
    return view.bytes();
}

constexpr std::size_t longest_quote = 640;

}  // namespace

host_core::received host_core::receive_icmp(const ip_payload& got) noexcept {
    const auto message = proto::icmp_view::parse(got.bytes);
    if (!message) { return message.error(); }
    switch (message->type()) {
        case icmp_type::echo_request:
            if (message->code() != 0) { return reason::icmp_bad_code; }
            if (got.broadcast) { return reason::icmp_broadcast_echo; }
            return echo(got);
        case icmp_type::echo_reply: return reason::icmp_unsolicited_reply;
        case icmp_type::destination_unreachable:
        case icmp_type::time_exceeded:
        case icmp_type::parameter_problem: return got.broadcast ? reason::icmp_unknown_type : receive_error(got);
        default: return reason::icmp_unknown_type;
    }
}

host_core::received host_core::receive_icmpv6(const ip_payload& got) noexcept {
    const auto message = proto::icmpv6_view::parse(got.bytes, got.source.v6(), got.destination.v6());
    if (!message) { return message.error(); }
    const auto type = message->type();
    if (type >= icmpv6_type::router_solicitation && type <= icmpv6_type::neighbour_advertisement) {
        return receive_ndp(got, *message);
    }
    if (got.source.is_unspecified() || own_.owns(got.source)) { return reason::ipv6_bad_source; }
    switch (type) {
        case icmpv6_type::echo_request:
            if (message->code() != 0) { return reason::icmpv6_bad_code; }
            if (got.destination.is_multicast()) { return reason::icmpv6_group_echo; }
            return echo(got);
        case icmpv6_type::echo_reply: return reason::icmpv6_unsolicited_reply;
        case icmpv6_type::destination_unreachable:
        case icmpv6_type::packet_too_big:
        case icmpv6_type::time_exceeded:
        case icmpv6_type::parameter_problem: return receive_error(got);
        default: return reason::icmpv6_unknown_type;
    }
}

/// Answers in the frame that asks; a request that came in fragments in as many as it takes.
host_core::received host_core::echo(const ip_payload& got) noexcept {
    const bool v4 = got.source.is_v4();
    const ethertype type = v4 ? ethertype::ipv4 : ethertype::ipv6;
    if (got.frame == nullptr) {
        ip_message reply{.source = got.destination, .destination = got.source, .protocol = got.protocol};
        std::memcpy(reply.header.data(), got.bytes.data(), reply.header.size());
        reply.payload = got.bytes.subspan(reply.header.size());
        reply.identification = random_.next32();
        reply.header[0] = static_cast<std::byte>(v4 ? static_cast<std::uint8_t>(icmp_type::echo_reply)
                                                    : static_cast<std::uint8_t>(icmpv6_type::echo_reply));
        proto::store_be16(reply.header.data() + proto::icmp_offset::checksum, 0);
        proto::internet_checksum sum;
        if (!v4) {
            sum.add_pseudo_header(reply.source, reply.destination, proto::icmpv6_view::protocol_number,
                                  static_cast<std::uint32_t>(reply.size()));
        }
        proto::store_be16(reply.header.data() + proto::icmp_offset::checksum,
                          sum.add(reply.header).add(reply.payload).finish());
        answer(reply, got.station);
        return outcome::echo;
    }
    const auto bytes = got.frame->data().subspan(proto::ethernet_header_length);
    std::size_t length = 0;
    if (v4) {
        const auto view = proto::mutable_ipv4_view::unchecked(bytes);
        proto::turn_around(proto::mutable_icmp_view::unchecked(view.payload()));
        length = proto::turn_around(view, view.payload().size());
    } else {
        const auto view = proto::mutable_ipv6_view::unchecked(bytes);
        const std::size_t at = static_cast<std::size_t>(got.bytes.data() - view.payload().data());
        const proto::mutable_ipv6_content content{
            .protocol = got.protocol, .payload = view.payload().subspan(at), .fragment = {}};
        proto::turn_around(proto::mutable_icmpv6_view::unchecked(content.payload));
        length = proto::turn_around(view, content, content.payload.size());
    }
    if (got.frame->set_len(proto::ethernet_header_length + length)) {
        answer(*got.frame, got.station, type, counters_.answers_sent);
    }
    return outcome::echo;
}

// Errors that go

void host_core::refuse(const ip_payload& got, const icmp_error& error) noexcept {
    const proto::icmp_error_cause cause{.source = got.source,
                                        .destination = got.destination,
                                        .link_group = got.link_group,
                                        .network_broadcast = got.broadcast,
                                        .icmp_error = carries_error(got),
                                        .what = error.what};
    if (!proto::may_answer_with_icmp_error(cause) || own_.owns(got.source)) { return; }
    const auto source =
        got.destination.is_multicast() ? routes_.source_for(got.source, own_) : std::optional(got.destination);
    if (!source || !own_.owns(*source)) { return; }
    if (!limiter_.may_send(got.source, now(), random_.next32())) {
        ++counters_.errors_withheld;
        return;
    }
    const ethertype type = got.source.is_v4() ? ethertype::ipv4 : ethertype::ipv6;
    if (got.frame != nullptr) {
        emit_error(*got.frame, error, *source, got.source, got.from_ip_on);
        answer(*got.frame, got.station, type, counters_.errors_sent);
        return;
    }
    if (!has_spare()) { return; }
    std::array<std::byte, longest_quote> room;
    const auto quote = !got.from_ip_on.empty()
                           ? got.from_ip_on
                           : rebuild(room, got.source, got.destination, got.protocol, 0, false, got.bytes);
    packet frame = take_spare();
    emit_error(frame, error, *source, got.source, quote);
    answer(frame, got.station, type, counters_.errors_sent);
}

/// Writes an error about the packet that `quote` begins, which may lie in the same frame.
void host_core::emit_error(packet& frame, const icmp_error& error, const ip_address& source, const ip_address& destination,
                           std::span<const std::byte> quote) noexcept {
    const bool v4 = source.is_v4();
    const std::size_t headers = proto::ethernet_header_length + (v4 ? proto::ipv4_header_length : proto::ipv6_header_length);
    const std::size_t longest = headers + proto::icmp_header_length + (v4 ? proto::icmp_max_quote : proto::icmpv6_max_quote);
    static_cast<void>(frame.set_len(std::min(longest, frame.capacity())));
    const auto message = frame.data().subspan(headers);
    std::size_t length = 0;
    if (v4) {
        const proto::icmp_error_repr said{icmp_type{error.type}, error.code};
        length = said.emit(message, quote).bytes().size();
    } else {
        const proto::icmpv6_error_repr said{icmpv6_type{error.type}, error.code, error.value};
        length = said.emit(message, quote, source.v6(), destination.v6()).bytes().size();
    }
    static_cast<void>(frame.set_len(headers + length));
    const auto head = frame.data().subspan(proto::ethernet_header_length);
    if (v4) {
        proto::ipv4_repr{source.v4(), destination.v4(), proto::ip_protocol::icmp, length}.emit(head);
    } else {
        proto::ipv6_repr{source.v6(), destination.v6(), proto::ip_protocol::icmpv6, length}.emit(head);
    }
}

/// Fragments whose time is up: their sender is told where the first one came.
void host_core::tell_expired(const proto::reassembly::expired& late) noexcept {
    const proto::icmp_error_cause cause{.source = late.source, .destination = late.destination};
    if (late.beginning.empty() || !own_.owns(late.destination) || !proto::may_answer_with_icmp_error(cause)) { return; }
    const auto hop = routes_.next_hop(late.source);
    if (!hop || !has_spare()) { return; }
    if (!limiter_.may_send(late.source, now(), random_.next32())) {
        ++counters_.errors_withheld;
        return;
    }
    const bool v4 = late.source.is_v4();
    const icmp_error error{
        .type =
            v4 ? static_cast<std::uint8_t>(icmp_type::time_exceeded) : static_cast<std::uint8_t>(icmpv6_type::time_exceeded),
        .code = v4 ? proto::icmp_code::reassembly_time_exceeded : proto::icmpv6_code::reassembly_time_exceeded};
    std::array<std::byte, longest_quote> room;
    const auto quote = rebuild(room, late.source, late.destination, proto::ip_protocol{late.protocol}, late.identification,
                               true, late.beginning);
    packet frame = take_spare();
    emit_error(frame, error, late.destination, late.source, quote);
    transmit_to(*hop, std::move(frame), v4 ? ethertype::ipv4 : ethertype::ipv6, counters_.errors_sent);
}

// Errors that come

host_core::received host_core::receive_error(const ip_payload& got) noexcept {
    std::error_code what;
    std::optional<proto::path_mtu::too_big> too_big;
    if (got.source.is_v4()) {
        const auto message = proto::icmp_view::unchecked(got.bytes);
        const auto quoted = proto::quoted_packet::parse_ipv4(message.payload());
        if (!quoted) { return quoted.error(); }
        what = meaning_of(message);
        if (message.type() == icmp_type::destination_unreachable &&
            message.code() == proto::icmp_code::fragmentation_needed) {
            const auto inside = proto::ipv4_view::unchecked(message.payload());
            too_big = {quoted->destination, message.next_hop_mtu(), inside.total_length()};
        }
        return receive_error(got, *quoted, what, too_big);
    }
    const auto message = proto::icmpv6_view::unchecked(got.bytes);
    const auto quoted = proto::quoted_packet::parse_ipv6(message.payload());
    if (!quoted) { return quoted.error(); }
    what = meaning_of(message);
    if (message.type() == icmpv6_type::packet_too_big) {
        const auto inside = proto::ipv6_view::unchecked(message.payload());
        too_big = {quoted->destination, message.mtu(),
                   static_cast<std::uint32_t>(proto::ipv6_header_length + inside.payload_length())};
    }
    return receive_error(got, *quoted, what, too_big);
}

/// Believes an error about a datagram that an endpoint has sent a short time ago, or about a segment that is on its way, and
/// no other.
host_core::received host_core::receive_error(const ip_payload& got, const proto::quoted_packet& quoted, std::error_code what,
                                             const std::optional<proto::path_mtu::too_big>& too_big) noexcept {
    if (!own_.owns(quoted.source)) { return reason::quoted_foreign; }
    // That nobody listens on a port is told by the host that has the port, not by a router.
    if (what == std::errc::connection_refused && got.source != quoted.destination) { return reason::quoted_foreign; }
    const bool by_udp = quoted.protocol == proto::ip_protocol::udp;
    if (!by_udp && quoted.protocol != proto::ip_protocol::tcp) { return reason::quoted_foreign; }
    const bool believed = by_udp ? receive_udp_error(quoted, what, too_big) : tcp_.receive_error(quoted, what, too_big);
    if (believed) { return outcome::error; }
    if (place_ && strange_errors_.take(now())) {
        const auto handed = hand_on(got, by_udp ? port_use::udp : port_use::tcp, quoted.source_port());
        if (handed) { return *handed; }
    }
    return reason::quoted_foreign;
}

bool host_core::receive_udp_error(const proto::quoted_packet& quoted, std::error_code what,
                                  const std::optional<proto::path_mtu::too_big>& too_big) noexcept {
    const proto::ip_endpoint to{quoted.destination, quoted.destination_port(), 0};
    udp_port* const port = find_port(quoted.source, quoted.source_port(), to);
    if (port == nullptr || !port->has_sent(to)) { return false; }
    if (too_big) {
        paths_.lower(*too_big, mtu_, now());
    } else if (what) {
        port->tell(to, what);
    }
    return true;
}

}  // namespace fluxnet::host::detail
