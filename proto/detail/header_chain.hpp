// SPDX-License-Identifier: BSD-3-Clause
// `has_whole_header_chain`: whether the front of a datagram holds every header up to the transport's.
//
// A function of its arguments, which allocates nothing. Used on any thread that may read the bytes.
#pragma once

#include "fluxnet/proto/ipv6_upper_layer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::detail {

/// Tells whether a transport header of that protocol is whole. Protocols that are not known here have no header to miss.
[[nodiscard]] inline bool has_whole_transport_header(std::uint8_t protocol, std::span<const std::byte> bytes) noexcept {
    switch (protocol) {
        case 6: {  // TCP, with its options
            if (bytes.size() < 20) { return false; }
            return bytes.size() >= (std::to_integer<std::size_t>(bytes[12]) >> 4) * 4;
        }
        case 1:                               // ICMP
        case 17:                              // UDP
        case 50: return bytes.size() >= 8;    // ESP: index and sequence number
        case 33: return bytes.size() >= 12;   // DCCP
        case 58: return bytes.size() >= 4;    // ICMPv6: type, code and checksum
        case 132: return bytes.size() >= 12;  // SCTP
        case 136: return bytes.size() >= 8;   // UDP-Lite
        default: return true;
    }
}

/// Tells whether the first fragment of an IPv6 datagram has the whole header chain (RFC 7112 section 5): `protocol` is the
/// next header field that leads to `bytes`. False as well for a fragment header within, which would make a fragment of a
/// fragment, and for a chain of more than max_ipv6_extensions.
[[nodiscard]] inline bool has_whole_header_chain(std::uint8_t protocol, std::span<const std::byte> bytes) noexcept {
    for (std::size_t headers = 0; headers != max_ipv6_extensions; ++headers) {
        const bool options = protocol == 0 || protocol == 43 || protocol == 60 || protocol == 135;
        const bool authentication = protocol == 51;
        if (protocol == 44) { return false; }
        if (!options && !authentication) { return has_whole_transport_header(protocol, bytes); }
        if (bytes.size() < 8) { return false; }
        const auto units = std::to_integer<std::size_t>(bytes[1]);
        const std::size_t length = authentication ? (units + 2) * 4 : (units + 1) * 8;
        if (bytes.size() < length) { return false; }
        protocol = std::to_integer<std::uint8_t>(bytes[0]);
        bytes = bytes.subspan(length);
    }
    return false;
}

}  // namespace fluxnet::proto::detail
