// SPDX-License-Identifier: BSD-3-Clause
// `ip_protocol`: what an IP packet of either version carries, as its header numbers it.
#pragma once

#include <cstdint>

namespace fluxnet::proto {

/// The IANA protocol numbers that FluxNet has a name for. IPv6 also numbers its extension headers among them.
enum class ip_protocol : std::uint8_t {
    ipv6_hop_by_hop = 0,
    icmp = 1,
    tcp = 6,
    udp = 17,
    ipv6_routing = 43,
    ipv6_fragment = 44,
    icmpv6 = 58,
    ipv6_no_next_header = 59,  ///< Nothing follows (RFC 8200 section 4.7).
    ipv6_destination_options = 60,
};

}  // namespace fluxnet::proto
