// SPDX-License-Identifier: BSD-3-Clause
// The groups that neighbour discovery speaks to: the solicited-node group of an IPv6 address, and a group's address on an
// Ethernet.
//
// Functions of their arguments; used on any thread.
#pragma once

#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <array>
#include <cstdint>

namespace fluxnet::proto {

/// The group that a station with the address listens to: ff02::1:ff00:0 and the last 24 bits. Source: RFC 4291
/// section 2.7.1.
[[nodiscard]] constexpr ipv6_address solicited_node_group(const ipv6_address& address) noexcept {
    const auto& octets = address.octets();
    return ipv6_address({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, octets[13], octets[14], octets[15]});
}

/// The Ethernet address of an IPv6 group: 33:33 and the last 32 bits. Source: RFC 2464 section 7.
[[nodiscard]] constexpr mac_address hardware_of_group(const ipv6_address& group) noexcept {
    const auto& octets = group.octets();
    return mac_address({0x33, 0x33, octets[12], octets[13], octets[14], octets[15]});
}

}  // namespace fluxnet::proto
