// SPDX-License-Identifier: BSD-3-Clause
// `udp_endpoint_options`: what is asked of a udp_endpoint. `udp_trouble`: what the network has told it.
//
// Plain values, for any thread.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace fluxnet::host {

struct udp_endpoint_options {
    /// How many datagrams wait to be received, at least 1. Each keeps a frame; all endpoints of a host together keep at most
    /// half of those that it receives into. Those that came in fragments, and those of the host to itself, lie in memory of
    /// their own instead: they count as one, and all of them together have no more octets than those frames.
    std::size_t receive_queue = 256;
    /// Datagrams may be sent to a network's broadcast address, and such ones are received.
    bool broadcast = false;
    /// What is larger than a packet is sent in fragments; without this it is refused (message_size).
    bool fragment = true;
};

/// What ICMP errors have told about datagrams of an endpoint.
struct udp_trouble {
    std::uint64_t count = 0;   ///< Errors that were believed.
    std::error_code what;      ///< The last one: connection_refused, host_unreachable, network_unreachable (std::errc).
    proto::ip_endpoint about;  ///< Where the datagram was to go.
};

}  // namespace fluxnet::host
