// SPDX-License-Identifier: BSD-3-Clause
// ipv6_upper_layer(): finds what an IPv6 packet carries behind its extension headers.
//
//     const auto packet = ipv6_view::parse(bytes);
//     if (!packet) { ... }
//     const auto content = ipv6_upper_layer(*packet);
//     if (content && content->is_whole() && content->protocol == ip_protocol::udp) { use(content->payload); }
//
// The walk takes at most max_ipv6_extensions headers with max_ipv6_options options each, whatever a sender writes. It
// allocates nothing and keeps no reference; what it returns lies in the packet.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// How many extension headers a packet may have, and how many options, padding included, each of them. RFC 8504
/// section 5.3 lets a host set such limits.
inline constexpr std::size_t max_ipv6_extensions = 8;
inline constexpr std::size_t max_ipv6_options = 64;

/// Where the fields of extension headers are (RFC 8200 sections 4.3 to 4.6). The length counts units of 8 octets after the
/// first; a fragment header has none and is 8 octets long.
namespace ipv6_extension_offset {
inline constexpr std::size_t next_header = 0;
inline constexpr std::size_t length = 1;
inline constexpr std::size_t options = 2;
inline constexpr std::size_t routing_type = 2;
inline constexpr std::size_t segments_left = 3;
inline constexpr std::size_t fragment_offset_and_more = 2;
inline constexpr std::size_t fragment_identification = 4;
}  // namespace ipv6_extension_offset

/// The length of a fragment header, and the shortest of any extension header.
inline constexpr std::size_t ipv6_fragment_header_length = 8;

/// What a fragment header says.
struct ipv6_fragment {
    std::size_t offset = 0;  ///< Of this piece in what was cut up, in octets; a multiple of 8.
    bool more = false;       ///< Whether other pieces follow.
    std::uint32_t identification = 0;
    std::size_t header_at = 0;       ///< Where the fragment header begins, counted from the IPv6 header.
    std::size_t next_header_at = 0;  ///< Where the field lies that announces it: reassembly writes the protocol there.

    /// Whether the packet is not cut up at all (RFC 6946).
    [[nodiscard]] bool is_atomic() const noexcept { return offset == 0 && !more; }

    friend bool operator==(const ipv6_fragment&, const ipv6_fragment&) = default;
};

/// What the sender of a refused packet may be told by an ICMPv6 parameter problem (RFC 4443 section 3.4).
struct ipv6_problem {
    static constexpr std::uint8_t erroneous_field = 0;
    static constexpr std::uint8_t unknown_next_header = 1;
    static constexpr std::uint8_t unknown_option = 2;

    std::uint8_t code = erroneous_field;
    std::size_t pointer = 0;       ///< Where the trouble is, counted from the IPv6 header.
    bool even_to_a_group = false;  ///< Whether it is told also when the packet went to a multicast address.

    friend bool operator==(const ipv6_problem&, const ipv6_problem&) = default;
};

/// What a packet carries.
template <octet Byte>
struct basic_ipv6_content {
    ip_protocol protocol = ip_protocol::ipv6_no_next_header;  ///< Of the payload; may be none of the enumerators.
    std::span<Byte> payload;
    std::optional<ipv6_fragment> fragment;                  ///< If there is a fragment header.
    std::size_t next_header_at = ipv6_offset::next_header;  ///< Where the field lies that names `protocol`.

    /// Whether the payload is all there: otherwise it is one piece, to be reassembled, of what begins with `protocol`.
    [[nodiscard]] bool is_whole() const noexcept { return !fragment || fragment->is_atomic(); }
};

using ipv6_content = basic_ipv6_content<const std::byte>;
using mutable_ipv6_content = basic_ipv6_content<std::byte>;

namespace detail {

/// Goes from one extension header to the next. One walk on one thread.
class ipv6_walk {
public:
    /// The packet is an IPv6 header and what follows of it. Where a problem is worth telling the sender, it is written to
    /// `problem`.
    ipv6_walk(std::span<const std::byte> packet, std::optional<ipv6_problem>* problem) noexcept
        : packet_(packet), next_(ipv6_view::unchecked(packet).next_header()),
          to_a_group_(ipv6_view::unchecked(packet).destination().is_multicast()), problem_(problem) {}

    /// Walks to the upper layer or to the first piece of a packet that was cut up. Returns why the packet is refused, if so.
    [[nodiscard]] std::optional<reason> run() noexcept {
        for (std::size_t headers = 0; is_extension(next_) && !cut_up(); ++headers) {
            if (headers == max_ipv6_extensions) { return reason::ipv6_too_many_extensions; }
            if (const auto why = step()) { return why; }
        }
        return std::nullopt;
    }

    /// Tells whether the walk goes on behind a header of that kind.
    [[nodiscard]] static bool is_extension(ip_protocol kind) noexcept {
        return kind == ip_protocol::ipv6_hop_by_hop || kind == ip_protocol::ipv6_routing ||
               kind == ip_protocol::ipv6_fragment || kind == ip_protocol::ipv6_destination_options;
    }

    /// Where the walk has ended.
    [[nodiscard]] ip_protocol next() const noexcept { return next_; }
    [[nodiscard]] std::size_t next_header_at() const noexcept { return next_header_at_; }
    [[nodiscard]] std::size_t at() const noexcept { return at_; }
    [[nodiscard]] std::optional<ipv6_fragment> fragment() const noexcept {
        return has_fragment_ ? std::optional(fragment_) : std::nullopt;
    }

private:
    [[nodiscard]] bool cut_up() const noexcept { return has_fragment_ && !fragment_.is_atomic(); }
    [[nodiscard]] std::size_t load8(std::size_t at) const noexcept { return std::to_integer<std::size_t>(packet_[at]); }

    reason refuse(reason why, ipv6_problem problem) noexcept {
        if (problem_ != nullptr && (!to_a_group_ || problem.even_to_a_group)) { *problem_ = problem; }
        return why;
    }

    /// Checks the header at at_ and steps behind it.
    [[nodiscard]] std::optional<reason> step() noexcept {
        if (next_ == ip_protocol::ipv6_hop_by_hop && next_header_at_ != ipv6_offset::next_header) {
            return refuse(reason::ipv6_misplaced_hop_by_hop, {ipv6_problem::unknown_next_header, next_header_at_});
        }
        const std::size_t left = packet_.size() - at_;
        if (left < ipv6_fragment_header_length) { return reason::ipv6_truncated_extension; }
        const bool fixed = next_ == ip_protocol::ipv6_fragment;
        const std::size_t length =
            fixed ? ipv6_fragment_header_length : (load8(at_ + ipv6_extension_offset::length) + 1) * 8;
        if (length > left) { return reason::ipv6_truncated_extension; }
        if (const auto why = check(length)) { return why; }
        next_ = ip_protocol{static_cast<std::uint8_t>(load8(at_ + ipv6_extension_offset::next_header))};
        next_header_at_ = at_ + ipv6_extension_offset::next_header;
        at_ += length;
        return std::nullopt;
    }

    [[nodiscard]] std::optional<reason> check(std::size_t length) noexcept {
        switch (next_) {
            case ip_protocol::ipv6_routing: return check_routing();
            case ip_protocol::ipv6_fragment: return check_fragment();
            default: return check_options(at_ + ipv6_extension_offset::options, at_ + length);
        }
    }

    /// A route with nothing left of it is skipped; no other is followed (RFC 8200 section 4.4). Of type 0 RFC 5095 wants it.
    [[nodiscard]] std::optional<reason> check_routing() noexcept {
        if (load8(at_ + ipv6_extension_offset::segments_left) == 0) { return std::nullopt; }
        const std::size_t type_at = at_ + ipv6_extension_offset::routing_type;
        const reason why = load8(type_at) == 0 ? reason::ipv6_routing_type_zero : reason::ipv6_unknown_routing_type;
        return refuse(why, {ipv6_problem::erroneous_field, type_at});
    }

    [[nodiscard]] std::optional<reason> check_fragment() noexcept {
        if (has_fragment_) { return reason::ipv6_repeated_fragment_header; }
        has_fragment_ = true;
        const std::byte* const header = packet_.data() + at_;
        const std::uint16_t field = load_be16(header + ipv6_extension_offset::fragment_offset_and_more);
        fragment_ = ipv6_fragment{.offset = field & 0xfff8U,
                                  .more = (field & 1U) != 0,
                                  .identification = load_be32(header + ipv6_extension_offset::fragment_identification),
                                  .header_at = at_,
                                  .next_header_at = next_header_at_};
        return std::nullopt;
    }

    /// Goes through options. None but padding is known here; the kind of an unknown one says what becomes of the packet.
    [[nodiscard]] std::optional<reason> check_options(std::size_t at, std::size_t end) noexcept {
        constexpr std::size_t pad1 = 0;
        constexpr std::size_t padn = 1;
        for (std::size_t options = 0; at != end; ++options) {
            if (options == max_ipv6_options) { return reason::ipv6_too_many_options; }
            const std::size_t kind = load8(at);
            if (kind == pad1) {
                ++at;
                continue;
            }
            if (end - at < 2 || load8(at + 1) > end - at - 2) { return reason::ipv6_bad_options; }
            if (const std::size_t action = kind >> 6; kind != padn && action != 0) { return refuse_option(action, at); }
            at += 2 + load8(at + 1);
        }
        return std::nullopt;
    }

    /// The upper two bits: 1 discards the packet, 2 also tells the sender, 3 tells unless it went to a group (RFC 8200
    /// section 4.2).
    [[nodiscard]] reason refuse_option(std::size_t action, std::size_t at) noexcept {
        if (action == 1) { return reason::ipv6_unknown_option; }
        return refuse(reason::ipv6_unknown_option, {ipv6_problem::unknown_option, at, action == 2});
    }

    std::span<const std::byte> packet_;
    std::size_t at_ = ipv6_offset::payload;  // never beyond the packet
    ip_protocol next_;                       // what lies at at_
    std::size_t next_header_at_ = ipv6_offset::next_header;
    ipv6_fragment fragment_;  // if has_fragment_; no optional: g++ 12 warns of its members where it is optimised
    bool has_fragment_ = false;
    bool to_a_group_;
    std::optional<ipv6_problem>* problem_;
};

}  // namespace detail

/// Finds what a parsed packet carries. The walk goes through hop-by-hop and destination options, routing and fragment
/// headers (RFC 8200 section 4) and ends at anything else; IPsec headers are left to the caller like an upper layer. It also
/// ends at a packet that was cut up: extension headers inside count only once it is reassembled.
///
/// `problem`, if given, is set when a refusal should be told to the sender by a parameter problem; the caller tells it one
/// for a `protocol` that it does not speak: `unknown_next_header` at `next_header_at`.
///
/// Reasons: ipv6_too_many_extensions, ipv6_misplaced_hop_by_hop, ipv6_truncated_extension, ipv6_repeated_fragment_header,
/// ipv6_routing_type_zero, ipv6_unknown_routing_type, ipv6_bad_options, ipv6_too_many_options, ipv6_unknown_option.
template <octet Byte>
[[nodiscard]] result<basic_ipv6_content<Byte>> ipv6_upper_layer(basic_ipv6_view<Byte> packet,
                                                                std::optional<ipv6_problem>* problem = nullptr) noexcept {
    if (!detail::ipv6_walk::is_extension(packet.next_header())) {
        return basic_ipv6_content<Byte>{.protocol = packet.next_header(), .payload = packet.payload(), .fragment = {}};
    }
    detail::ipv6_walk walk(packet.bytes().first(ipv6_header_length + packet.payload_length()), problem);
    if (const auto why = walk.run()) { return *why; }
    return basic_ipv6_content<Byte>{.protocol = walk.next(),
                                    .payload = packet.payload().subspan(walk.at() - ipv6_header_length),
                                    .fragment = walk.fragment(),
                                    .next_header_at = walk.next_header_at()};
}

/// The values of a fragment header, to be written in one go.
struct ipv6_fragment_repr {
    ip_protocol next_header = ip_protocol::udp;  ///< What the packet that was cut up carries.
    std::size_t offset = 0;                      ///< In octets; a multiple of 8 below 65536.
    bool more = false;
    std::uint32_t identification = 0;

    /// Writes the header at the front of `to`, which has room for ipv6_fragment_header_length octets.
    void emit(std::span<std::byte> to) const noexcept {
        assert(to.size() >= ipv6_fragment_header_length && offset % 8 == 0 && offset < 65536);
        to[ipv6_extension_offset::next_header] = static_cast<std::byte>(next_header);
        to[ipv6_extension_offset::length] = std::byte{0};  // reserved here
        store_be16(to.data() + ipv6_extension_offset::fragment_offset_and_more,
                   static_cast<std::uint16_t>(offset | (more ? 1U : 0U)));
        store_be32(to.data() + ipv6_extension_offset::fragment_identification, identification);
    }
};

}  // namespace fluxnet::proto
