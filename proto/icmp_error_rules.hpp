// SPDX-License-Identifier: BSD-3-Clause
// What may never be answered with an ICMP error: the rules of RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e), without
// which errors would answer errors for ever, and one packet to a group would bring one from each of its hosts.
//
//     const icmp_error_cause cause{.source = packet.source(), .destination = packet.destination(), .link_group = ..., ...};
//     if (may_answer_with_icmp_error(cause) && limiter.may_send(cause.source, now, random())) { send(...); }
//
// Functions of their arguments, for either version. Threads: any.
#pragma once

#include "fluxnet/proto/ip_address.hpp"

#include <cstdint>

namespace fluxnet::proto {

/// The packet that something is wrong with, and what an error would say.
struct icmp_error_cause {
    /// The two errors of IPv6 that answer packets to groups too: path MTU discovery and options that ask for it need them.
    enum kind : std::uint8_t { any, packet_too_big, unrecognized_option };

    ip_address source;
    ip_address destination;
    bool link_group = false;         ///< Its frame went to a group or to all stations.
    bool network_broadcast = false;  ///< IPv4: the destination is the broadcast address of this host's network.
    bool later_fragment = false;     ///< It is a fragment, and not the first.
    bool icmp_error = false;         ///< It is an ICMP message for which is_icmp_error() holds.
    kind what = any;
};

/// Tells whether an ICMP message of the type is an error or a redirect, or may be one: of a type that is not known to be a
/// question or an answer.
[[nodiscard]] constexpr bool is_icmp_error(std::uint8_t type) noexcept {
    switch (type) {
        case 0:   // echo
        case 8:   // echo
        case 9:   // router advertisement
        case 10:  // router solicitation
        case 13:
        case 14:  // time stamps
        case 15:
        case 16:  // information
        case 17:
        case 18:  // address masks
        case 42:
        case 43:  // extended echo
            return false;
        default: return true;
    }
}

/// The same for ICMPv6, where errors have types below 128 (RFC 4443 section 2.1), and a redirect 137.
[[nodiscard]] constexpr bool is_icmpv6_error(std::uint8_t type) noexcept {
    return type < 128 || type == 137;
}

/// Tells whether an address can be that of one host elsewhere, to which an error may go.
[[nodiscard]] constexpr bool is_single_host(const ip_address& address) noexcept {
    if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) { return false; }
    if (address.is_v6()) { return !address.v6().is_v4_mapped(); }
    return !address.v4().is_this_network() && address.v4().octets()[0] < 240;  // class E, broadcast included
}

/// Tells whether an ICMP error may go to the source of the packet. A packet over a limit is the limiter's matter.
[[nodiscard]] constexpr bool may_answer_with_icmp_error(const icmp_error_cause& cause) noexcept {
    if (cause.icmp_error || cause.later_fragment || !is_single_host(cause.source)) { return false; }
    const bool for_groups = cause.destination.is_v6() && cause.what != icmp_error_cause::any;
    const bool to_group = cause.link_group || cause.destination.is_multicast() || cause.network_broadcast ||
                          (cause.destination.is_v4() && cause.destination.v4().is_broadcast());
    return !to_group || for_groups;
}

}  // namespace fluxnet::proto
