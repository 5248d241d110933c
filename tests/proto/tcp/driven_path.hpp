// SPDX-License-Identifier: BSD-3-Clause
// A `congestion_control` with the numbers and the clock that a connection would bring to it.
#pragma once

#include "fluxnet/proto/tcp/congestion_control.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp::test {

/// Sends whatever the window allows and acknowledges it in order, at a steady pace: one window each round trip.
struct driven_path {
    congestion_control path;
    std::chrono::nanoseconds rtt;
    sequence_number una{0xffff'f000};  // so that the numbers wrap in every test
    sequence_number next = una;
    congestion_control::time_point now{std::chrono::hours(5)};

    driven_path(congestion_algorithm algorithm, std::uint32_t mss, std::chrono::nanoseconds round_trip,
                bool use_hystart = true)
        : path(algorithm, mss, use_hystart), rtt(round_trip) {
        fill();
    }

    [[nodiscard]] std::uint32_t flight() const { return static_cast<std::uint32_t>(next - una); }

    void fill() {
        if (flight() < path.window()) { next = una + path.window(); }
    }

    /// Acknowledges `octets` after the time that they take in the flow, and sends what the window allows.
    void ack(std::uint32_t octets, bool window_limited = true) {
        now += rtt * octets / std::max(flight(), 1U);
        ack_at_once(octets, window_limited);
    }

    void ack_at_once(std::uint32_t octets, bool window_limited = true) {
        const std::uint32_t before = flight();
        una += octets;
        if (next < una) { next = una; }
        path.on_acked({.delivered = octets,
                       .in_flight = before,
                       .window_limited = window_limited,
                       .now = now,
                       .rtt = rtt,
                       .srtt = rtt,
                       .unacknowledged = una,
                       .next = next});
        if (window_limited) { fill(); }
    }

    /// Acknowledges what is in flight, two segments at a time.
    void round() {
        const sequence_number end = next;
        while (una < end) { ack(std::min(2 * path.mss(), static_cast<std::uint32_t>(end - una))); }
    }

    /// A loss and the whole of the recovery after it, in no time.
    void lose() {
        path.on_loss(flight(), now, una, next);
        una = next;
        path.on_recovered();
        fill();
    }

    void time_out() { path.on_timeout(flight(), now, una, next); }
};

}  // namespace fluxnet::proto::tcp::test
