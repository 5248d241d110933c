// SPDX-License-Identifier: BSD-3-Clause
// `host_counters`: what an ip_host has done with the frames that it received, and what it has sent. A plain value.
#pragma once

#include "fluxnet/proto/reason.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace fluxnet::host {

/// Each received frame counts once, as one of the first group or as dropped for a reason, so accounted() == frames.
struct host_counters {
    std::uint64_t frames = 0;  ///< Also those that hosts on other queues have handed on, and what these put together.

    std::uint64_t arp = 0;         ///< Requests for an address of the host, and what was of use about neighbours.
    std::uint64_t ndp = 0;         ///< Likewise.
    std::uint64_t echoes = 0;      ///< Echo requests.
    std::uint64_t datagrams = 0;   ///< UDP, put into the queue of an endpoint.
    std::uint64_t segments = 0;    ///< TCP, given to its stack, whose counters tell what became of them.
    /// Dropped: the queue of the endpoint, or of the host that it was to be handed on to, was full; or too many frames were in
    /// use, or no memory was left.
    std::uint64_t queue_full = 0;
    std::uint64_t fragments = 0;   ///< Kept; the one that completes a packet counts as what it carries.
    std::uint64_t errors = 0;      ///< ICMP errors about a packet that the host has sent.
    std::uint64_t handed_on = 0;   ///< Given to the host on another queue that they are meant for (host_queues).
    std::array<std::uint64_t, proto::reason_count> dropped{};  ///< Indexed by `proto::reason`.

    // What was sent.
    std::uint64_t sent = 0;             ///< Datagrams of endpoints, those to the host itself included.
    std::uint64_t segments_sent = 0;    ///< Of TCP, those to the host itself included.
    std::uint64_t pieces_sent = 0;      ///< Frames with fragments.
    std::uint64_t answers_sent = 0;     ///< Echo replies, ARP replies, neighbour advertisements.
    std::uint64_t questions_sent = 0;   ///< ARP requests and neighbour solicitations about others.
    std::uint64_t claims_sent = 0;      ///< Probes, announcements and defences of own addresses.
    std::uint64_t errors_sent = 0;      ///< ICMP errors.
    std::uint64_t errors_withheld = 0;  ///< ICMP errors above the limit.
    std::uint64_t held_sent = 0;        ///< Errors and segments that had waited for a neighbour.
    std::uint64_t undeliverable = 0;    ///< Those given up: no way there, no answer of the neighbour, or too many waited.
    std::uint64_t no_room = 0;  ///< Answers and errors not sent: no frame was free, or no room in the ring.
    std::uint64_t not_told = 0;  ///< Times that another queue's host did not hear of ARP or Neighbor Discovery, for want of room.
    std::uint64_t neighbours_failed = 0;  ///< Neighbours that were asked and did not answer.
    std::uint64_t addresses_lost = 0;     ///< Own addresses that another station has.

    /// How many frames were dropped for that reason.
    [[nodiscard]] std::uint64_t dropped_for(proto::reason why) const noexcept {
        return dropped[static_cast<std::size_t>(why)];
    }

    /// What the received frames became, in all.
    [[nodiscard]] std::uint64_t accounted() const noexcept {
        return std::accumulate(dropped.begin(), dropped.end(),
                               arp + ndp + echoes + datagrams + segments + queue_full + fragments + errors + handed_on);
    }

    friend bool operator==(const host_counters&, const host_counters&) = default;
};

}  // namespace fluxnet::host
