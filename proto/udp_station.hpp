// SPDX-License-Identifier: BSD-3-Clause
// `udp_station`: one UDP endpoint on an Ethernet, without I/O. It takes datagrams out of frames, makes frames of datagrams,
// and answers ARP for its address.
//
//     udp_station station(hardware, address, 7777);
//     const udp_station::arrival got = station.receive(frame);
//     if (got.what == udp_station::arrival::datagram) { use(got.payload, got.from); }
//     if (got.what == udp_station::arrival::arp_reply) { send(frame.first(got.length)); }
//     if (const auto hop = station.next_hop(peer.address)) { send(frame.first(station.emit(frame, *hop, peer, payload))); }
//
// The caller receives and sends the frames. A station keeps its addresses, its neighbours and its counters, and no reference
// to any frame. One thread at a time uses it.
#pragma once

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/udp.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto {

/// An IPv4 endpoint with one address, one port and one link.
///
/// A datagram reaches it when all of this holds: its frame is for this station and has no VLAN tag; the lengths are right
/// and both checksums hold (a UDP checksum of 0 says that there is none); it is no fragment, has a source that can be
/// answered and no source route; and it is for this address and port, not for a broadcast address. Other IPv4 options are
/// skipped. Everything else is dropped, and counted by its reason.
///
/// It finds the next hop of a datagram, in this order:
/// - a neighbour given by add_neighbour();
/// - the gateway, where one is given: everything else goes there;
/// - without a gateway, the station from which the address was last heard: by a datagram that was accepted, or by an ARP
///   request for this address. 1,024 addresses are remembered; addresses of the same 1,024 (a /22) never displace each
///   other. As with ARP, any station of the link can claim an address of another.
/// It sends no ARP requests.
class udp_station {
public:
    /// What became of the frames. `datagrams`, `arp_replies` and the drops always add up to `frames`.
    struct counters {
        std::uint64_t frames = 0;  ///< Calls of receive().
        std::uint64_t datagrams = 0;
        std::uint64_t arp_replies = 0;
        std::array<std::uint64_t, reason_count> dropped{};  ///< Indexed by `reason`.

        [[nodiscard]] std::uint64_t dropped_for(reason why) const noexcept { return dropped[static_cast<std::size_t>(why)]; }

        friend bool operator==(const counters&, const counters&) = default;
    };

    /// The other end of a datagram.
    struct peer {
        ipv4_address address;
        std::uint16_t port = 0;

        friend bool operator==(const peer&, const peer&) = default;
    };

    /// What receive() has found.
    struct arrival {
        enum kind : std::uint8_t { dropped, datagram, arp_reply };

        kind what = dropped;
        udp_station::peer from;              ///< Of a datagram.
        std::span<const std::byte> payload;  ///< Of a datagram; lies in the frame.
        std::size_t length = 0;              ///< Of an ARP reply, which has taken the place of the frame.
    };

    /// What emit() puts before the payload, in octets.
    static constexpr std::size_t overhead = ethernet_header_length + ipv4_header_length + udp_header_length;

    /// Makes a station of two unicast addresses and a port other than 0. Allocates.
    udp_station(mac_address hardware, ipv4_address address, std::uint16_t port);

    /// Gives a neighbour's address on the link. Allocates.
    void add_neighbour(ipv4_address address, mac_address hardware) { neighbours_[address] = hardware; }
    void set_gateway(mac_address hardware) noexcept { gateway_ = hardware; }
    void set_hardware(mac_address hardware) noexcept { hardware_ = hardware; }

    /// Looks at a received frame, any bytes of any length. Turns an ARP request for this address into its reply, in place;
    /// changes nothing otherwise. Raises one counter. Allocates nothing.
    [[nodiscard]] arrival receive(std::span<std::byte> frame) noexcept;

    /// Tells where datagrams to `address` go on the link; nothing when that is not known, and for 0.0.0.0/8, broadcast,
    /// multicast and loopback addresses. Allocates nothing.
    [[nodiscard]] std::optional<mac_address> next_hop(ipv4_address address) const noexcept;

    /// Writes the frame of a datagram, with its checksums, and returns its length: overhead and the payload, at most as much
    /// as `frame` has, and at most 65,507 octets of payload. The frame is not padded; time to live is 64; routers may not
    /// fragment it.
    [[nodiscard]] std::size_t emit(std::span<std::byte> frame, mac_address next_hop, peer to,
                                   std::span<const std::byte> payload) const noexcept;

    [[nodiscard]] const counters& count() const noexcept { return counters_; }
    [[nodiscard]] mac_address hardware() const noexcept { return hardware_; }
    [[nodiscard]] ipv4_address address() const noexcept { return address_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

private:
    struct heard_station {
        ipv4_address address;  // 0.0.0.0: none
        mac_address hardware;
    };
    static constexpr std::size_t heard_stations = 1024;

    [[nodiscard]] result<arrival> receive_ethernet(std::span<std::byte> bytes) noexcept;
    [[nodiscard]] result<arrival> receive_arp(mutable_ethernet_view frame) noexcept;
    [[nodiscard]] result<arrival> receive_ipv4(ethernet_view frame) noexcept;
    void remember(ipv4_address address, mac_address hardware) noexcept;

    mac_address hardware_;
    ipv4_address address_;
    std::uint16_t port_;
    std::map<ipv4_address, mac_address> neighbours_;
    std::optional<mac_address> gateway_;
    std::vector<heard_station> heard_;  // heard_stations of them; an address has one place, by its last bits
    counters counters_;
};

}  // namespace fluxnet::proto
