// SPDX-License-Identifier: BSD-3-Clause
// What the system knows of a network interface, as far as a socket needs it. A value; true at the moment it was asked for.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace fluxnet {

struct interface_info {
    std::string name;
    int index = 0;
    std::uint32_t mtu = 0;                      ///< Bytes behind the Ethernet header.
    std::uint32_t queues = 0;                   ///< Largest of the receive and transmit queues; 0 when unknown.
    std::array<std::uint8_t, 6> mac_address{};  ///< In the order of the wire.
    bool up = false;
    bool loopback = false;
};

}  // namespace fluxnet
