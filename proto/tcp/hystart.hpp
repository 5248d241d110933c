// SPDX-License-Identifier: BSD-3-Clause
// `hystart`: tells slow start that the queue of the path has begun to grow, before it overflows (HyStart++, RFC 9406).
//
//     if (rounds.on_acked(unacknowledged, next, rtt)) { threshold = window; }     // slow start is over
//     window += rounds.growth(delivered, mss);
//
// Part of `congestion_control`, which uses it in the first slow start of a connection. One thread at a time uses it.
#pragma once

#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// The rounds of slow start and their least round-trip times. When the least time of a round is an eighth above that of the
/// round before it (at least 4 ms, at most 16 ms), the window grows at a quarter of the pace for five rounds; if the time
/// falls below what it was at that change, the growth was no queue's, and the full pace returns.
class hystart {
public:
    static constexpr unsigned enough_samples = 8;           // N_RTT_SAMPLE
    static constexpr unsigned conservative_rounds = 5;      // CSS_ROUNDS
    static constexpr unsigned conservative_shift = 2;       // CSS_GROWTH_DIVISOR of 4
    static constexpr std::uint32_t segments_each_ack = 8;   // L of a sender that does not pace
    static constexpr std::uint32_t least_rise = 4'000'000;  // MIN_RTT_THRESH, ns
    static constexpr std::uint32_t most_rise = 16'000'000;  // MAX_RTT_THRESH, ns

    /// Takes an acknowledgement in slow start; `rtt` is 0 when it measured none. Returns true when slow start is over. Those
    /// that cannot make the window grow may be left out.
    [[nodiscard]] bool on_acked(sequence_number unacknowledged, sequence_number next,
                                std::chrono::nanoseconds rtt) noexcept {
        if (!begun_) {
            begun_ = true;
            round_end_ = next;
        }
        // The round ends with the first acknowledgement of what was sent after its beginning. If it ended with the one
        // before, the answer to that one would belong to the next round, and the share of such answers doubles as the window
        // does: the next round's first samples would be of a train's end, which has queued behind the train's beginning.
        // An end further ahead than any window was left behind by more than half of all numbers.
        const bool ended = static_cast<std::uint32_t>(round_end_ - unacknowledged) > furthest_end;
        const bool over = ended && end_round(next);
        if (rtt.count() > 0) { take_sample(rtt); }
        return over;
    }

    /// Tells whether the window grows at a quarter of the pace (Conservative Slow Start).
    [[nodiscard]] bool conservative() const noexcept { return rounds_left_ != 0; }

    /// By how much the window grows when `delivered` octets were acknowledged; without a limit for each acknowledgement if
    /// the sender paces (sections 4.2 and 4.3).
    [[nodiscard]] std::uint32_t growth(std::uint32_t delivered, std::uint32_t mss, bool paced = false) const noexcept {
        const std::uint32_t counted = paced ? delivered : std::min(delivered, segments_each_ack * mss);
        return counted >> (conservative() ? conservative_shift : 0);
    }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    static constexpr std::uint32_t furthest_end = 1U << 30;  // the largest window there is

    void take_sample(std::chrono::nanoseconds rtt) noexcept {
        const auto nanoseconds = static_cast<std::uint32_t>(std::min<std::int64_t>(rtt.count(), none - 1));
        minimum_ = std::min(minimum_, nanoseconds);
        if (samples_ < enough_samples) { ++samples_; }
        if (samples_ < enough_samples) { return; }
        if (conservative()) {
            if (minimum_ < baseline_) { rounds_left_ = 0; }
        } else if (last_minimum_ != none && minimum_ - std::min(minimum_, last_minimum_) >= rise()) {
            baseline_ = minimum_;
            rounds_left_ = conservative_rounds;
        }
    }

    [[nodiscard]] std::uint32_t rise() const noexcept { return std::clamp(last_minimum_ / 8, least_rise, most_rise); }

    bool end_round(sequence_number next) noexcept {
        round_end_ = next;
        last_minimum_ = minimum_;
        minimum_ = none;
        samples_ = 0;
        // The round in which the pace changed counts as one of the five, though it is shorter.
        return conservative() && --rounds_left_ == 0;
    }

    sequence_number round_end_;
    std::uint32_t minimum_ = none;       // of this round, ns
    std::uint32_t last_minimum_ = none;  // of the round before, ns
    std::uint32_t baseline_ = none;      // this round's minimum when the pace changed, ns
    std::uint8_t samples_ = 0;           // of this round; no more than enough_samples
    std::uint8_t rounds_left_ = 0;       // at the lower pace; 0: full pace
    bool begun_ = false;
};

}  // namespace fluxnet::proto::tcp
