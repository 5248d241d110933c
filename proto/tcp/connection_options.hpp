// SPDX-License-Identifier: BSD-3-Clause
// `connection_options`: what is the same for many connections: limits, features, times.
//
// A plain value. A connection refers to it: it outlives the connection and does not change meanwhile.
#pragma once

#include "fluxnet/proto/tcp/congestion_control.hpp"
#include "fluxnet/proto/tcp/rtt_estimator.hpp"

#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

struct connection_options {
    /// How many octets wait to be sent or acknowledged, at most. A slower peer makes write() take fewer.
    std::uint32_t send_limit = 256 * 1024;
    /// How many octets are received and not yet read, at most: the window that the peer is told. At most 1 GiB; without
    /// window scaling, 65,535 octets of it are of use.
    std::uint32_t receive_limit = 256 * 1024;
    /// The most octets of data that a segment may have that this end receives, and sends: the path's MTU less the headers
    /// of IP and TCP (RFC 9293 section 3.7.1).
    std::uint16_t maximum_segment = 1460;
    /// A peer that asks for less gets this (CVE-2019-11479): at least 48.
    std::uint16_t least_segment = 88;
    /// What a peer is taken to accept that does not say: 536 for IPv4, 1,220 for IPv6 (RFC 9293 section 3.7.1).
    std::uint16_t default_segment = 536;

    std::uint8_t window_scale = 8;  ///< At most 14 (RFC 7323 section 2.3); raised or lowered as far as receive_limit needs it.
    bool window_scaling = true;     ///< RFC 7323 section 2.
    bool timestamps = true;         ///< RFC 7323 section 3.
    bool sack = true;               ///< RFC 2018.
    congestion_algorithm congestion = congestion_algorithm::cubic;
    rtt_options rtt;

    /// How long an acknowledgment waits for company: at most 500 ms (RFC 9293 section 3.8.6.3).
    std::chrono::nanoseconds delayed_ack = std::chrono::milliseconds(40);
    /// So many first segments are acknowledged at once: the peer's window opens sooner.
    std::uint8_t quick_acks = 16;
    /// R2: for how long unanswered data is sent again: at least 100 s (RFC 1122 section 4.2.3.5).
    std::chrono::nanoseconds give_up = std::chrono::seconds(120);
    /// The same for a SYN: at least 3 minutes there.
    std::chrono::nanoseconds give_up_connecting = std::chrono::seconds(180);
    /// How long TIME-WAIT lasts: twice the maximum segment lifetime (RFC 9293 section 3.6.1).
    std::chrono::nanoseconds time_wait = std::chrono::seconds(60);
    /// How long a closed connection waits for the peer's FIN.
    std::chrono::nanoseconds fin_wait = std::chrono::seconds(60);

    // Keep-alive, for connections on which it is switched on (RFC 9293 section 3.8.4).
    std::chrono::nanoseconds keep_alive_idle = std::chrono::hours(2);
    std::chrono::nanoseconds keep_alive_interval = std::chrono::seconds(75);
    std::uint8_t keep_alive_probes = 9;

    /// Answers to segments that are out of the window, without data: at most one in this time (RFC 5961 section 7).
    std::chrono::nanoseconds challenge_interval = std::chrono::milliseconds(500);

    std::uint32_t copy_below = 256;     ///< Received segments of at most so many octets are copied together.
    /// Received ranges beyond gaps, at most; but a window of full segments always has room.
    std::uint32_t most_ranges = 4096;

    /// The window that a SYN or its answer tells, which is never scaled (RFC 7323 section 2.2).
    [[nodiscard]] constexpr std::uint16_t syn_window() const noexcept {
        return receive_limit < 0xffff ? static_cast<std::uint16_t>(receive_limit) : std::uint16_t{0xffff};
    }
};

}  // namespace fluxnet::proto::tcp
