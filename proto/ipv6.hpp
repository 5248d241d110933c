// SPDX-License-Identifier: BSD-3-Clause
// IPv6: `ipv6_view` reads a packet, `mutable_ipv6_view` also writes it, `ipv6_repr` makes a header. What lies behind
// extension headers is found by ipv6_upper_layer(), in ipv6_upper_layer.hpp.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order; lengths and offsets are in octets.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// Where the fields are (RFC 8200 section 3).
namespace ipv6_offset {
inline constexpr std::size_t version_class_and_flow = 0;
inline constexpr std::size_t payload_length = 4;
inline constexpr std::size_t next_header = 6;
inline constexpr std::size_t hop_limit = 7;
inline constexpr std::size_t source = 8;
inline constexpr std::size_t destination = 24;
inline constexpr std::size_t payload = 40;
}  // namespace ipv6_offset

/// The length of the header without extension headers.
inline constexpr std::size_t ipv6_header_length = ipv6_offset::payload;

/// A packet: header and payload, to which extension headers belong.
template <octet Byte>
class basic_ipv6_view {
public:
    /// Checks the header of a received packet: version and payload length. Octets after the payload are padding and left out
    /// of the view. A jumbogram, whose length stands in an option, is refused (RFC 2675 section 3). Reasons:
    /// ipv6_truncated, ipv6_bad_version, ipv6_jumbogram, ipv6_long_payload_length.
    [[nodiscard]] static result<basic_ipv6_view> parse(std::span<Byte> packet) noexcept {
        if (packet.size() < ipv6_header_length) { return reason::ipv6_truncated; }
        const basic_ipv6_view whole(packet);
        if (whole.version() != 6) { return reason::ipv6_bad_version; }
        const std::size_t length = whole.payload_length();
        if (length == 0 && whole.next_header() == ip_protocol::ipv6_hop_by_hop) { return reason::ipv6_jumbogram; }
        if (length > packet.size() - ipv6_header_length) { return reason::ipv6_long_payload_length; }
        return basic_ipv6_view(packet.first(ipv6_header_length + length));
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length; before payload() is
    /// used, the payload length must be set to what fits.
    [[nodiscard]] static basic_ipv6_view unchecked(std::span<Byte> packet) noexcept {
        assert(packet.size() >= ipv6_header_length);
        return basic_ipv6_view(packet);
    }

    /// The number in the first four bits: 6 after parse().
    [[nodiscard]] unsigned version() const noexcept { return first_word() >> 28; }
    /// DSCP in the upper six bits (RFC 2474), ECN in the lower two (RFC 3168).
    [[nodiscard]] std::uint8_t traffic_class() const noexcept { return static_cast<std::uint8_t>(first_word() >> 20); }
    /// 20 bits, the same for all packets of a flow; 0 where the sender does not say (RFC 6437).
    [[nodiscard]] std::uint32_t flow_label() const noexcept { return first_word() & 0xfffffU; }
    /// Everything after this header, extension headers included.
    [[nodiscard]] std::uint16_t payload_length() const noexcept {
        return load_be16(bytes_.data() + ipv6_offset::payload_length);
    }
    /// What the payload begins with: an extension header or the upper layer; may be none of the enumerators.
    [[nodiscard]] ip_protocol next_header() const noexcept { return ip_protocol{load8(ipv6_offset::next_header)}; }
    [[nodiscard]] std::uint8_t hop_limit() const noexcept { return load8(ipv6_offset::hop_limit); }
    [[nodiscard]] ipv6_address source() const noexcept { return ipv6_address::load(bytes_.data() + ipv6_offset::source); }
    [[nodiscard]] ipv6_address destination() const noexcept {
        return ipv6_address::load(bytes_.data() + ipv6_offset::destination);
    }
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(ipv6_offset::payload, payload_length()); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_ipv6_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ipv6_view<const Byte>::unchecked(bytes_);
    }

    // The header has no checksum. Addresses are part of the upper layer's: it does not follow set_source() and
    // set_destination().

    /// Writes version 6, the traffic class and the flow label, which is below 2^20.
    void set_class_and_flow(std::uint8_t traffic_class, std::uint32_t flow_label) noexcept
        requires writable_octet<Byte>
    {
        assert(flow_label <= 0xfffffU);
        store_be32(bytes_.data() + ipv6_offset::version_class_and_flow,
                   (6U << 28) | (std::uint32_t{traffic_class} << 20) | flow_label);
    }
    /// Invalidates a parse.
    void set_payload_length(std::uint16_t length) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + ipv6_offset::payload_length, length);
    }
    void set_next_header(ip_protocol protocol) noexcept
        requires writable_octet<Byte>
    {
        bytes_[ipv6_offset::next_header] = static_cast<std::byte>(protocol);
    }
    void set_hop_limit(std::uint8_t hops) noexcept
        requires writable_octet<Byte>
    {
        bytes_[ipv6_offset::hop_limit] = std::byte{hops};
    }
    void set_source(const ipv6_address& address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ipv6_offset::source);
    }
    void set_destination(const ipv6_address& address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ipv6_offset::destination);
    }
    /// Exchanges source and destination. A sum does not depend on order: the upper layer's checksum stays right.
    void swap_addresses() noexcept
        requires writable_octet<Byte>
    {
        const auto addresses = bytes_.subspan(ipv6_offset::source, 2 * ipv6_address::size);
        std::ranges::swap_ranges(addresses.first(ipv6_address::size), addresses.last(ipv6_address::size));
    }

private:
    explicit basic_ipv6_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint8_t load8(std::size_t at) const noexcept { return std::to_integer<std::uint8_t>(bytes_[at]); }
    [[nodiscard]] std::uint32_t first_word() const noexcept {
        return load_be32(bytes_.data() + ipv6_offset::version_class_and_flow);
    }

    std::span<Byte> bytes_;  // at least ipv6_header_length; exactly header and payload after parse()
};

using ipv6_view = basic_ipv6_view<const std::byte>;
using mutable_ipv6_view = basic_ipv6_view<std::byte>;

/// The values of a header, to be written in one go.
struct ipv6_repr {
    ipv6_address source;
    ipv6_address destination;
    ip_protocol next_header = ip_protocol::udp;
    std::size_t payload_length = 0;  ///< At most 65535.
    std::uint8_t hop_limit = 64;     ///< The default of the IANA registry (RFC 1700).
    std::uint8_t traffic_class = 0;
    std::uint32_t flow_label = 0;  ///< Below 2^20.

    /// Writes the header at the front of `packet`, which has room for it and the payload, and returns a view of the packet.
    mutable_ipv6_view emit(std::span<std::byte> packet) const noexcept {
        assert(payload_length <= 0xffff && packet.size() >= ipv6_header_length + payload_length);
        mutable_ipv6_view view = mutable_ipv6_view::unchecked(packet.first(ipv6_header_length + payload_length));
        view.set_class_and_flow(traffic_class, flow_label);
        view.set_payload_length(static_cast<std::uint16_t>(payload_length));
        view.set_next_header(next_header);
        view.set_hop_limit(hop_limit);
        view.set_source(source);
        view.set_destination(destination);
        return view;
    }
};

}  // namespace fluxnet::proto
