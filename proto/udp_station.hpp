// SPDX-License-Identifier: BSD-3-Clause
// `udp_station`: one UDP endpoint on an Ethernet, without I/O. It takes datagrams out of frames, makes frames of datagrams,
// answers ARP for its address, and asks by ARP where others are.
//
//     udp_station station(hardware, address, 7777);
//     const udp_station::arrival got = station.receive(frame);
//     if (got.what == udp_station::arrival::datagram) { use(got.payload, got.from); }
//     if (got.what == udp_station::arrival::arp_reply) { send(frame.first(got.length)); }
//     if (const auto hop = station.next_hop(peer.address)) {
//         send(frame.first(station.emit(frame, *hop, peer, payload)));
//     } else if (station.may_ask(peer.address, now, 1s)) {
//         send(frame.first(station.emit_arp_request(frame, peer.address)));
//     }
//
// The caller receives and sends the frames, and has the clock. A station keeps its addresses, its neighbours and its
// counters, and no reference to any frame. One thread at a time uses it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/udp.hpp"

#include <array>
#include <chrono>
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
/// - for a broadcast address all of the link, and for a group its address there (RFC 1112 section 6.4);
/// - a neighbour given by add_neighbour();
/// - the gateway, where one is given: everything else goes there;
/// - without a gateway, the station from which the address was last heard: by a datagram that was accepted, by an ARP
///   request for this address, or by the reply to one of its own. 1,024 addresses are remembered; addresses of the same
///   1,024 (a /22) never displace each other. An address that is remembered moves to the station that names it as its own in
///   any ARP packet (RFC 826 "Packet Reception"): one that has a new card, say. As with ARP, any station of the link can
///   claim an address of another.
class FLUXNET_EXPORT udp_station {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// What became of the frames. `datagrams`, `arp_replies`, `arp_answers`, `unseen` and the drops always add up to
    /// `frames`.
    struct counters {
        std::uint64_t frames = 0;  ///< Calls of receive() and skip().
        std::uint64_t datagrams = 0;
        std::uint64_t arp_replies = 0;                      ///< Requests that were answered.
        std::uint64_t arp_answers = 0;                      ///< Replies to requests of this station.
        std::uint64_t unseen = 0;                           ///< Calls of skip().
        std::array<std::uint64_t, reason_count> dropped{};  ///< Indexed by `reason`.

        /// How many frames were dropped for that reason.
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
        /// `arp_reply`: to be sent. `arp_answer`: what was asked for is known now.
        enum kind : std::uint8_t { dropped, datagram, arp_reply, arp_answer };

        kind what = dropped;
        udp_station::peer from;              ///< Of a datagram.
        std::span<const std::byte> payload;  ///< Of a datagram; lies in the frame.
        std::size_t length = 0;              ///< Of an ARP reply, which has taken the place of the frame.
    };

    /// What emit() puts before the payload, in octets.
    static constexpr std::size_t overhead = ethernet_header_length + ipv4_header_length + udp_header_length;

    /// The length of the frame of an ARP request, in octets.
    static constexpr std::size_t arp_request_length = ethernet_header_length + arp_packet_length;

    /// Makes a station of two unicast addresses and a port other than 0. Allocates.
    udp_station(mac_address hardware, ipv4_address address, std::uint16_t port);

    /// Gives a neighbour's address on the link. Allocates.
    void add_neighbour(ipv4_address address, mac_address hardware) { neighbours_[address] = hardware; }
    void set_gateway(mac_address hardware) noexcept { gateway_ = hardware; }
    void set_hardware(mac_address hardware) noexcept { hardware_ = hardware; }

    /// Gives the length of the network's prefix, 0 to 32, which tells the network's own broadcast address; there is none
    /// with 31 or 32 (RFC 3021). Without it only 255.255.255.255 is known as one.
    void set_prefix_length(unsigned length) noexcept;

    /// Looks at a received frame, any bytes of any length. Turns an ARP request for this address into its reply, in place;
    /// changes nothing otherwise. Raises one counter. Allocates nothing.
    [[nodiscard]] arrival receive(std::span<std::byte> frame) noexcept;

    /// Counts a frame that is dropped without a look at it.
    void skip() noexcept {
        ++counters_.frames;
        ++counters_.unseen;
    }

    /// Tells whether datagrams to `address` go to all hosts of the network.
    [[nodiscard]] bool is_broadcast(ipv4_address address) const noexcept {
        return address.is_broadcast() || address == network_broadcast_;
    }

    /// Tells where datagrams to `address` go on the link; nothing when that is not known, and for 0.0.0.0/8 and loopback
    /// addresses. Allocates nothing.
    [[nodiscard]] std::optional<mac_address> next_hop(ipv4_address address) const noexcept;

    /// Tells whether the link can be asked for an address: it may be that of another station. False for this station's own,
    /// and for 0.0.0.0/8, broadcast, multicast and loopback addresses.
    [[nodiscard]] bool is_askable(ipv4_address address) const noexcept;

    /// Tells whether a request for an askable address may go out at `now`, and notes that it does: none has gone for `rest`
    /// (RFC 1122 section 2.3.2.1: once a second for each address), nor have any for 64 other addresses. The reply is
    /// accepted from then on. Allocates nothing.
    [[nodiscard]] bool may_ask(ipv4_address address, time_point now, std::chrono::nanoseconds rest) noexcept;

    /// Writes the frame of an ARP request, to all stations of the link, and returns its length: arp_request_length, at most
    /// as much as `frame` has. The frame is not padded.
    [[nodiscard]] std::size_t emit_arp_request(std::span<std::byte> frame, ipv4_address address) const noexcept;

    /// Writes the frame of a datagram, with its checksums, and returns its length: overhead and the payload, at most as much
    /// as `frame` has, and at most 65,507 octets of payload. The frame is not padded; time to live is 64, and 1 for a group
    /// (RFC 1112 section 6.1); routers may not fragment it.
    [[nodiscard]] std::size_t emit(std::span<std::byte> frame, mac_address next_hop, peer to,
                                   std::span<const std::byte> payload) const noexcept;

    /// What it has counted, and what it was made of.
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
    struct asked_address {
        ipv4_address address;  // 0.0.0.0: none, or it was answered
        time_point last = time_point::min();
    };

    [[nodiscard]] result<arrival> receive_ethernet(std::span<std::byte> bytes) noexcept;
    [[nodiscard]] result<arrival> receive_arp(mutable_ethernet_view frame) noexcept;
    [[nodiscard]] result<arrival> receive_arp_reply(arp_view packet, mac_address from) noexcept;
    void move_station(arp_view packet, mac_address from) noexcept;
    [[nodiscard]] result<arrival> receive_ipv4(ethernet_view frame) noexcept;
    void remember(ipv4_address address, mac_address hardware) noexcept;

    mac_address hardware_;
    ipv4_address address_;
    std::uint16_t port_;
    ipv4_address network_broadcast_ = ipv4_address::broadcast();
    std::map<ipv4_address, mac_address> neighbours_;
    std::optional<mac_address> gateway_;
    std::vector<heard_station> heard_;  // heard_stations of them; an address has one place, by its last bits
    std::array<asked_address, 64> asked_;
    counters counters_;
};

}  // namespace fluxnet::proto
