// SPDX-License-Identifier: BSD-3-Clause
// `quoted_packet`: the beginning of a packet as an ICMP or ICMPv6 error sends it back to its sender, who looks there for
// what the error is about.
//
//     const auto message = icmp_view::parse(datagram->payload());
//     const auto quoted = quoted_packet::parse_ipv4(message->payload());
//     if (quoted && quoted->protocol == ip_protocol::tcp) { find(quoted->source, quoted->source_port(), ...); }
//
// The quote proves nothing: anybody can make one up. The caller compares it with what it has really sent before it believes
// the error (RFC 5927 section 4).
//
// A value that refers to the message: the bytes outlive it. Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/reason.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace fluxnet::proto {

struct quoted_packet {
    /// What must be there behind the IP header, in octets: the ports, and the sequence number of TCP (RFC 792: "64 bits of
    /// data").
    static constexpr std::size_t min_transport = 8;

    ip_address source;  ///< The one that sent the packet, and so now gets the error.
    ip_address destination;
    ip_protocol protocol = ip_protocol::udp;  ///< May be none of the enumerators.
    std::span<const std::byte> transport;     ///< The beginning of the transport's message, at least min_transport octets.

    /// Reads what an ICMP error quotes. The packet was cut short, and routers have changed its time to live: lengths and
    /// checksum mean nothing here and are not looked at. Reasons: quoted_truncated, quoted_bad_header, quoted_fragment.
    [[nodiscard]] static result<quoted_packet> parse_ipv4(std::span<const std::byte> quote) noexcept {
        if (quote.size() < ipv4_header_length) { return reason::quoted_truncated; }
        const ipv4_view packet = ipv4_view::unchecked(quote);
        const std::size_t header = packet.header_length();
        if (packet.version() != 4 || header < ipv4_header_length) { return reason::quoted_bad_header; }
        if (packet.fragment_offset() != 0) { return reason::quoted_fragment; }
        if (quote.size() < header + min_transport) { return reason::quoted_truncated; }
        return quoted_packet{packet.source(), packet.destination(), packet.protocol(), quote.subspan(header)};
    }

    /// Does the same for an ICMPv6 error. The quote may have extension headers, which are gone through.
    [[nodiscard]] static result<quoted_packet> parse_ipv6(std::span<const std::byte> quote) noexcept {
        if (quote.size() < ipv6_header_length) { return reason::quoted_truncated; }
        const ipv6_view packet = ipv6_view::unchecked(quote);
        if (packet.version() != 6) { return reason::quoted_bad_header; }
        detail::ipv6_walk walk(quote, nullptr);
        if (const auto why = walk.run()) {
            return *why == reason::ipv6_truncated_extension ? reason::quoted_truncated : reason::quoted_bad_header;
        }
        if (walk.fragment() && walk.fragment()->offset != 0) { return reason::quoted_fragment; }
        if (quote.size() < walk.at() + min_transport) { return reason::quoted_truncated; }
        return quoted_packet{packet.source(), packet.destination(), walk.next(), quote.subspan(walk.at())};
    }

    /// The ports of UDP and TCP. They mean nothing with other protocols.
    [[nodiscard]] std::uint16_t source_port() const noexcept { return load_be16(transport.data()); }
    [[nodiscard]] std::uint16_t destination_port() const noexcept { return load_be16(transport.data() + 2); }
    /// The sequence number of TCP. Means nothing with other protocols.
    [[nodiscard]] std::uint32_t tcp_sequence() const noexcept { return load_be32(transport.data() + 4); }
};

namespace detail {

/// Copies the beginning of `packet` behind a header of `header` octets in `message`, and returns header and quote. At most
/// `limit` octets of the packet are quoted, and no more than there is room for. The packet may lie in the same buffer.
[[nodiscard]] inline std::span<std::byte> quote_packet(std::span<std::byte> message, std::size_t header, std::size_t limit,
                                                       std::span<const std::byte> packet) noexcept {
    assert(message.size() >= header);
    const std::size_t length = std::min({packet.size(), limit, message.size() - header});
    if (length != 0) { std::memmove(message.data() + header, packet.data(), length); }
    return message.first(header + length);
}

}  // namespace detail
}  // namespace fluxnet::proto
