// SPDX-License-Identifier: BSD-3-Clause
// `path_mtu`: the largest packet that reaches a destination in one piece, as the routers on the way have told.
//
//     path_mtu paths({}, secret);
//     const auto limit = paths.lookup(destination, link_mtu, now);           // for every packet
//     if (quoted_packet_is_ours(message)) {                                 // the caller's duty, see below
//         paths.lower({destination, message.next_hop_mtu, quoted_length}, link_mtu, now);
//     }
//
// It works on values and allocates when it is made, never again. Each step is O(1). Sources: RFC 1191 (IPv4), RFC 8201
// (IPv6).
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/address_hash.hpp"
#include "fluxnet/proto/detail/slots.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fluxnet::proto {

/// A bounded table of path MTUs by destination.
///
/// Anybody can forge a "packet too big". What this table believes, and what is left to the caller:
/// - The caller verifies that the message quotes a packet that this host sent and that is still on its way: for TCP, that
///   the four-tuple is a connection and the sequence number lies between what was acknowledged and what was sent (RFC 5927
///   section 4, RFC 8201 section 6). Only then it calls lower(). A destination to which nothing was sent so makes no entry.
/// - A message never raises an estimate: only its age does. It also must be about a packet that the link of the reported MTU
///   cannot carry; one that says otherwise is no router's.
/// - IPv6: what reports less than 1,280 octets is ignored (RFC 8201 section 4): every link carries these.
/// - IPv4: every link carries 68 octets (RFC 791 section 3.2), and nothing smaller is believed. But segments of 28 octets
///   would cost this host 50 packets where one did, so no estimate falls below 552, a header and 512 octets, which next to
///   every network has carried since RFC 879; where a path really is that narrow, `may_fragment` says that routers are to
///   fragment these packets (no DF bit).
/// - An estimate is forgotten 10 minutes after it was last lowered (RFC 1191 section 6.3, RFC 8201 section 4), so a forged
///   one that passed costs no longer. The oldest one goes early where the table is full: its destination then has its packets
///   answered by a router once more, and nothing is lost.
class FLUXNET_EXPORT path_mtu {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::nanoseconds;

    static constexpr std::uint32_t ipv6_least = 1280;   ///< RFC 8200 section 5.
    static constexpr std::uint32_t ipv4_any_link = 68;  ///< RFC 791 section 3.2.

    /// How many estimates are kept, for how long, and how low they may fall.
    struct options {
        std::size_t capacity = 1024;  ///< Destinations; at least 1.
        duration lifetime = std::chrono::minutes(10);
        std::uint32_t ipv4_least = 552;  ///< At least 68.
    };

    /// How large packets to a destination may be.
    struct estimate {
        std::uint32_t octets = 0;   ///< With the IP header.
        bool may_fragment = false;  ///< IPv4: without the DF bit, because the path may be narrower yet.

        friend bool operator==(const estimate&, const estimate&) = default;
    };

    /// What a verified message says.
    struct too_big {
        ip_address destination;      ///< Of the quoted packet.
        std::uint32_t reported = 0;  ///< The next-hop MTU; 0 from an IPv4 router that is older than RFC 1191.
        std::uint32_t packet_length =
            0;  ///< Of the quoted packet, by its own header: total length; in IPv6 with the header.
    };

    /// Makes an empty table. `secret`: random octets for the hash. Allocates.
    path_mtu(const options& chosen, std::span<const std::byte, 16> secret);

    /// Returns the estimate for a destination; without one, the MTU of the link.
    [[nodiscard]] estimate lookup(const ip_address& destination, std::uint32_t link_mtu, time_point now) const noexcept;

    /// Notes a message that the caller has verified. Returns whether the estimate changed: data that is larger and on its
    /// way was lost, and may be sent again at once.
    bool lower(const too_big& message, std::uint32_t link_mtu, time_point now) noexcept;

    /// Forgets a destination: another route leads there now (RFC 8201 section 5.3).
    void forget(const ip_address& destination) noexcept;

    /// How many destinations have an estimate.
    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    /// What it takes, in octets, with what it has allocated.
    [[nodiscard]] std::size_t memory_octets() const noexcept;

private:
    using slot = detail::slot_number;
    struct record {
        ip_address destination;
        std::uint64_t hash = 0;
        time_point lowered;
        estimate known;
    };

    [[nodiscard]] slot find(const ip_address& destination, std::uint64_t hash) const noexcept;
    [[nodiscard]] estimate reported_by(const too_big& message, const estimate& before) const noexcept;
    void erase(slot at) noexcept;

    options options_;
    detail::hash_key key_;
    detail::slot_index index_;
    std::vector<record> records_;
    std::vector<detail::slot_link> links_;
    detail::slot_list by_age_;
};

}  // namespace fluxnet::proto
