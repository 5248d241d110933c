// SPDX-License-Identifier: BSD-3-Clause
// `echo_host`: the smallest useful host on an Ethernet, without I/O. It answers ARP, ping and the UDP echo service.
//
// The caller receives a frame, hands its bytes to answer(), and sends what it finds there afterwards. A host is a small
// value that keeps two addresses, a port and its counters, and no reference to any frame. One thread at a time uses it;
// a program with several queues gives each its own and adds up the counters.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/udp.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// A host with one IPv4 address.
///
/// It answers, to the station that sent the frame:
/// - ARP requests for its address (RFC 826), probes with sender 0.0.0.0 among them (RFC 5227 section 2.1.1);
/// - ICMP echo requests to its address (RFC 792; RFC 1122 section 3.2.2.6), never to a broadcast address;
/// - UDP datagrams to its echo port (RFC 862), unless they come from an echo port: its own, or the well-known port 7.
///
/// A reply has time to live 64, and the request's type of service, identification and flags. It has no IPv4 options: those
/// of the request are skipped, as RFC 1122 section 3.2.1.8 wants of options not understood, and record route and time stamp
/// count as such. Only a source route cannot be skipped, since it says where the reply must go: it is refused.
class FLUXNET_EXPORT echo_host {
public:
    /// What became of the frames. The replies and the drops always add up to `frames`.
    struct counters {
        std::uint64_t frames = 0;  ///< Calls of answer().
        std::uint64_t arp_replies = 0;
        std::uint64_t icmp_replies = 0;
        std::uint64_t udp_replies = 0;
        std::array<std::uint64_t, reason_count> dropped{};  ///< Indexed by `reason`.

        /// How many frames were dropped for that reason.
        [[nodiscard]] std::uint64_t dropped_for(reason why) const noexcept { return dropped[static_cast<std::size_t>(why)]; }

        friend bool operator==(const counters&, const counters&) = default;
    };

    static constexpr std::uint16_t well_known_echo_port = 7;  ///< RFC 862.

    /// Makes a host of two unicast addresses and a port other than 0.
    echo_host(mac_address hardware, ipv4_address address, std::uint16_t udp_echo_port = well_known_echo_port) noexcept;

    /// Turns a received frame, any bytes of any length, into its reply in place, and returns the reply's length in octets:
    /// Ethernet header included, check sequence and the padding of a short frame not. It is never more than `frame` has.
    /// Returns std::nullopt, having raised one drop counter and left the frame as it came, when there is no reply.
    /// Allocates nothing.
    [[nodiscard]] std::optional<std::size_t> answer(std::span<std::byte> frame) noexcept;

    /// What it has counted, and what it was made of.
    [[nodiscard]] const counters& count() const noexcept { return counters_; }
    [[nodiscard]] mac_address hardware() const noexcept { return hardware_; }
    [[nodiscard]] ipv4_address address() const noexcept { return address_; }
    [[nodiscard]] std::uint16_t udp_echo_port() const noexcept { return udp_echo_port_; }

private:
    // Each of these writes only once nothing can go wrong any more, and returns the length of what it made.
    [[nodiscard]] result<std::size_t> answer_ethernet(std::span<std::byte> bytes) noexcept;
    [[nodiscard]] result<std::size_t> answer_arp(mutable_ethernet_view frame) noexcept;
    [[nodiscard]] result<std::size_t> answer_ipv4(mutable_ethernet_view frame) noexcept;
    [[nodiscard]] result<std::size_t> answer_icmp(mutable_ipv4_view packet) noexcept;
    [[nodiscard]] result<std::size_t> answer_udp(mutable_ipv4_view packet) noexcept;

    mac_address hardware_;
    ipv4_address address_;
    std::uint16_t udp_echo_port_;
    counters counters_;  // the replies and drops sum up to frames between calls
};

}  // namespace fluxnet::proto
