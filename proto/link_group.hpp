// SPDX-License-Identifier: BSD-3-Clause
// hardware_of_group(): where on an Ethernet the packets to a group of hosts go.
//
// Functions without state. Threads: any.
#pragma once

#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <cstdint>

namespace fluxnet::proto {

/// Returns the Ethernet address of a multicast address. 32 groups share one (RFC 1112 section 6.4).
[[nodiscard]] constexpr mac_address hardware_of_group(ipv4_address group) noexcept {
    const auto& octets = group.octets();
    return mac_address({0x01, 0x00, 0x5e, static_cast<std::uint8_t>(octets[1] & 0x7fU), octets[2], octets[3]});
}

/// Does the same for IPv6, where 2^88 groups share one (RFC 2464 section 7).
[[nodiscard]] constexpr mac_address hardware_of_group(const ipv6_address& group) noexcept {
    const auto& octets = group.octets();
    return mac_address({0x33, 0x33, octets[12], octets[13], octets[14], octets[15]});
}

}  // namespace fluxnet::proto
