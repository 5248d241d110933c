// SPDX-License-Identifier: BSD-3-Clause
// What the system knows of a network interface, as far as a socket needs it. A plain value, for
// any thread; true at the moment it was asked for.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace fluxnet {

/// A network interface, as it was when it was asked for.
struct interface_info {
    std::string name;  ///< Its own, also when it was looked up by an alternative one.
    int index = 0;
    std::uint64_t network_namespace = 0;        ///< Inode of the namespace it lies in; 0 when unknown.
    std::uint16_t link_type = 1;                ///< ARPHRD_*; 1 is Ethernet.
    std::uint32_t mtu = 0;                      ///< Bytes behind the Ethernet header.
    std::uint32_t queues = 0;                   ///< Largest of the receive and transmit queues; 0 when unknown.
    std::array<std::uint8_t, 6> mac_address{};  ///< In the order of the wire.
    std::string driver;                         ///< As `ethtool -i` tells it; empty when unknown.
    bool up = false;                            ///< Administratively.
    bool carrier = true;                        ///< IFF_RUNNING of netdevice(7); says nothing while it is down.
    bool loopback = false;

    /// Bytes of the longest packet that the interface passes, with so many VLAN tags (which the MTU does not count). A frame
    /// can receive it when umem_config::packet_capacity() is at least that.
    [[nodiscard]] constexpr std::uint32_t longest_packet(std::uint32_t vlan_tags = 0) const noexcept {
        return mtu + 14 + 4 * vlan_tags;
    }
};

}  // namespace fluxnet
