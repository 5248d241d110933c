// SPDX-License-Identifier: BSD-3-Clause
// `rack_state`: tells by the times of sending which segments of a TCP connection are lost (RACK, RFC 8985).
//
//     rack.on_delivered({.sent_at = sent, .end = end, .retransmitted = again}, rtt.minimum(), now);    // for each segment
//     rack.update_window({.unacknowledged = una, .next = nxt, .duplicate_sack = dsack, ...});          // once for the ACK
//     for (segment& s : unacknowledged_segments) {
//         const auto wait = rack.remaining(s.sent_at, s.end, now);
//         if (wait == 0ns) { mark_lost(s); } else if (wait != rack_state::not_overtaken) { timer = std::max(timer, wait); }
//     }
//
// The caller keeps the segments, the scoreboard and the timer, and has the clock. Of no use without SACK. A value of 48
// octets; allocates nothing; one thread at a time uses it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// What RFC 8985 section 5.2 keeps for a connection, and the steps of its section 6.
///
/// A segment is lost when one that was sent later is delivered, and it is still missing a reordering window after it should
/// have been. That window is nothing until the path is known to reorder, as far as three segments were SACKed or losses are
/// being repaired; otherwise a quarter of the least round trip, one more quarter for each round in which a DSACK told of a
/// needless retransmission, and at most SRTT. Sixteen recoveries without a DSACK bring it back to one quarter.
class FLUXNET_EXPORT rack_state {
public:
    using nanoseconds = std::chrono::nanoseconds;
    using time_point = std::chrono::steady_clock::time_point;

    /// A segment that an acknowledgement has newly covered, by its number or by SACK.
    struct delivery {
        time_point sent_at;            ///< The last time.
        sequence_number end;           ///< The number after its last octet.
        bool retransmitted = false;    ///< Sent more than once.
        bool answers_earlier = false;  ///< By its timestamp echo, the acknowledgement answers an earlier sending.
    };

    /// What an acknowledgement and the connection after it tell about reordering.
    struct ack_facts {
        sequence_number unacknowledged;
        sequence_number next;
        bool duplicate_sack = false;        ///< It has a DSACK (RFC 2883).
        bool in_recovery = false;           ///< Fast recovery, or the recovery after a timeout.
        bool leaves_recovery = false;       ///< It has ended either.
        std::uint32_t sacked_segments = 0;  ///< In the scoreboard.
        nanoseconds minimum_rtt{0};
        nanoseconds srtt{0};
    };

    /// What remaining() gives for a segment behind which nothing was delivered that was sent later.
    static constexpr nanoseconds not_overtaken = nanoseconds::max();

    /// `initial` is the number of the first octet that is sent.
    explicit rack_state(sequence_number initial) noexcept : end_(initial), foremost_(initial) {}

    /// Notes a delivery (section 6.2 steps 2 and 3). Of segments that were sent once, one after another, and are covered
    /// together, the last one alone will do.
    void on_delivered(const delivery& segment, nanoseconds minimum_rtt, time_point now) noexcept {
        if (segment.end > foremost_) {
            foremost_ = segment.end;
        } else if (segment.end != foremost_ && !segment.retransmitted) {
            reordering_seen_ = true;
        }
        const nanoseconds rtt = now - segment.sent_at;
        // An acknowledgement of the first sending says nothing about when the second one arrived.
        if (segment.retransmitted && (segment.answers_earlier || rtt < minimum_rtt)) { return; }
        rtt_ = rtt;
        if (sent_after(segment.sent_at, segment.end, sent_at_, end_)) {
            sent_at_ = segment.sent_at;
            end_ = segment.end;
        }
    }

    /// Tells that a segment was sent again for nothing: the first sending was late and not lost. That it was sent again hides
    /// it from on_delivered().
    void on_spurious() noexcept { reordering_seen_ = true; }

    /// Adapts the reordering window (section 6.2 step 4). Needed for each acknowledgement while something is SACKed, lost or
    /// being repaired, for the one that ends a recovery, and while in_dsack_round().
    void update_window(const ack_facts& facts) noexcept;

    /// Tells whether a DSACK has widened the window and the data sent until then is not acknowledged yet.
    [[nodiscard]] bool in_dsack_round() const noexcept { return in_dsack_round_; }

    /// How long to wait until an unacknowledged segment, last sent at `sent_at`, counts as lost (section 6.2 step 5): 0 when
    /// it is lost now, not_overtaken when there is no reason to wait for it.
    [[nodiscard]] nanoseconds remaining(time_point sent_at, sequence_number end, time_point now) const noexcept {
        if (!sent_after(sent_at_, end_, sent_at, end)) { return not_overtaken; }
        return std::max(nanoseconds(0), wait_for(sent_at, now));
    }
    [[nodiscard]] bool is_lost(time_point sent_at, sequence_number end, time_point now) const noexcept {
        return remaining(sent_at, end, now) == nanoseconds(0);
    }

    /// Tells whether an unacknowledged segment is lost when the retransmission timer has expired; the first one always is
    /// (section 6.3).
    [[nodiscard]] bool is_lost_on_timeout(time_point sent_at, time_point now) const noexcept {
        return wait_for(sent_at, now) <= nanoseconds(0);
    }

    /// The round-trip time of the latest delivery, and the reordering window; 0 before there are any.
    [[nodiscard]] nanoseconds rtt() const noexcept { return rtt_; }
    [[nodiscard]] nanoseconds reordering_window() const noexcept { return window_; }
    [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }

private:
    static constexpr std::uint32_t duplicate_threshold = 3;  // DupThresh
    static constexpr std::uint8_t persistence = 16;          // recoveries

    /// RACK_sent_after(): of segments sent at the same time the one with the higher number was later.
    static constexpr bool sent_after(time_point first, sequence_number first_end, time_point second,
                                     sequence_number second_end) noexcept {
        return first > second || (first == second && first_end > second_end);
    }
    [[nodiscard]] nanoseconds wait_for(time_point sent_at, time_point now) const noexcept {
        return sent_at + rtt_ + window_ - now;
    }

    time_point sent_at_ = time_point::min();  // of the latest sent segment that was delivered
    nanoseconds rtt_{0};
    nanoseconds window_{0};
    sequence_number end_;       // of that segment
    sequence_number foremost_;  // RACK.fack: the highest end that was delivered
    sequence_number dsack_round_;
    std::uint8_t quarters_ = 1;           // RACK.reo_wnd_mult
    std::uint8_t persist_ = persistence;  // recoveries until quarters_ is 1 again
    bool in_dsack_round_ = false;         // until dsack_round_ is acknowledged
    bool reordering_seen_ = false;
};

}  // namespace fluxnet::proto::tcp
