// SPDX-License-Identifier: BSD-3-Clause
// `flow`: the five values that all packets of a connection share, and a hash over them.
//
// A value. parse() takes any bytes off the wire.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/udp.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace load_balancer {

namespace proto = fluxnet::proto;

/// Spreads every bit of a number over all bits of the result (the finaliser of SplitMix64; a bijection).
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31);
}

struct flow {
    proto::ipv4_address source;
    proto::ipv4_address destination;
    proto::ip_protocol protocol{};
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    bool opens = false;  ///< The packet asks for a new TCP connection (SYN without ACK); no part of the hash.

    /// Reads a frame; std::nullopt when it is no well-formed TCP or UDP over IPv4 in one piece: a fragment has no ports.
    /// The checksum of the transport header is left to the backend.
    [[nodiscard]] static std::optional<flow> parse(std::span<const std::byte> frame) noexcept {
        const auto ethernet = proto::ethernet_view::parse(frame);
        if (!ethernet || ethernet->type() != proto::ethertype::ipv4) { return std::nullopt; }
        const auto packet = proto::ipv4_view::parse(ethernet->payload());
        if (!packet || packet->is_fragment()) { return std::nullopt; }
        const std::span<const std::byte> segment = packet->payload();
        const bool tcp = packet->protocol() == proto::ip_protocol::tcp && segment.size() >= proto::tcp_header_length;
        const bool udp = packet->protocol() == proto::ip_protocol::udp && segment.size() >= proto::udp_header_length;
        if (!tcp && !udp) { return std::nullopt; }
        const unsigned flags = tcp ? proto::tcp_view::unchecked(segment).flags() : 0U;
        return flow{.source = packet->source(),
                    .destination = packet->destination(),
                    .protocol = packet->protocol(),
                    .source_port = proto::load_be16(segment.data()),
                    .destination_port = proto::load_be16(segment.data() + 2),
                    .opens = (flags & (proto::tcp_flag::syn | proto::tcp_flag::ack)) == proto::tcp_flag::syn};
    }

    /// The same on every machine, so that several balancers agree.
    [[nodiscard]] std::uint64_t hash() const noexcept {
        const std::uint64_t ports = std::uint64_t{source_port} << 16 | destination_port;
        const std::uint64_t addresses = std::uint64_t{source.to_host_order()} << 32 | destination.to_host_order();
        return mix(mix(addresses) ^ (ports << 8 | static_cast<std::uint8_t>(protocol)));
    }
};

}  // namespace load_balancer
