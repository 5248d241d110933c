// SPDX-License-Identifier: BSD-3-Clause
// `tail_loss_probe`: when the last segments of a flight may be lost, sends one that draws an acknowledgement, long before
// the retransmission timer would expire (TLP, RFC 8985 section 7).
//
//     if (tlp.may_arm(sack_permitted, sacked, in_recovery)) { timer = now + tail_loss_probe::timeout(...); }
//     tlp.on_probe(nxt, again);                             // a probe was sent; the timer is the retransmission timer now
//     if (tlp.on_ack({.acknowledgment = ack, ...})) { path.on_loss(...); path.on_recovered(); }
//
// The caller keeps the timer, and has the clock. A value of 8 octets; allocates nothing; one thread at a time uses it.
#pragma once

#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// The one probe that may be outstanding, and whether it repaired a loss.
class tail_loss_probe {
public:
    using nanoseconds = std::chrono::nanoseconds;
    using time_point = std::chrono::steady_clock::time_point;

    /// What an acknowledgement tells about the probe.
    struct ack_facts {
        sequence_number acknowledgment;
        bool duplicate_sack_of_probe = false;  ///< It has a DSACK whose right edge is end().
        bool plain_duplicate = false;  ///< A duplicate without data, window update, SYN or FIN, and without a SACK option.
    };

    /// How long to wait before a probe, from `now` (section 7.2): twice SRTT, or 1 s when it is 0, not known yet. With one
    /// segment in flight the receiver may delay its acknowledgement by `max_ack_delay`. Never beyond the moment at which the
    /// retransmission timer would expire; never negative.
    [[nodiscard]] static constexpr nanoseconds timeout(nanoseconds srtt, bool one_segment, nanoseconds max_ack_delay,
                                                       time_point now, time_point rto_expiry) noexcept {
        nanoseconds wait = std::chrono::seconds(1);
        if (srtt != nanoseconds(0)) { wait = srtt * 2 + (one_segment ? max_ack_delay : nanoseconds(0)); }
        return std::max(nanoseconds(0), std::min(wait, rto_expiry - now));
    }

    /// Tells whether a probe may be scheduled after data was sent or acknowledged (section 7.2): SACK is in use, nothing is
    /// SACKed or being repaired, and no probe is outstanding.
    [[nodiscard]] bool may_arm(bool sack_permitted, bool anything_sacked, bool in_recovery) const noexcept {
        return sack_permitted && !anything_sacked && !in_recovery && !outstanding();
    }

    /// Notes that a probe was sent: new data if there is any that the receiver's window admits, otherwise the last segment
    /// `again` (section 7.3). `next` is SND.NXT after it.
    void on_probe(sequence_number next, bool again) noexcept {
        end_ = next;
        state_ = again ? state::repeated : state::new_data;
    }

    /// Takes an acknowledgement (section 7.4.2). Returns true when the probe has repaired a loss, to which congestion
    /// control has to react.
    [[nodiscard]] bool on_ack(const ack_facts& facts) noexcept {
        if (!outstanding() || facts.acknowledgment < end_) { return false; }
        const bool repaired = state_ == state::repeated && !facts.duplicate_sack_of_probe && facts.acknowledgment > end_;
        if (state_ == state::new_data || facts.duplicate_sack_of_probe || repaired || facts.plain_duplicate) { reset(); }
        return repaired;
    }

    /// Forgets the probe: fast recovery or the recovery after a timeout begins (section 7.1).
    void reset() noexcept { state_ = state::none; }

    /// Whether a probe was sent of which nothing is known yet.
    [[nodiscard]] bool outstanding() const noexcept { return state_ != state::none; }

    /// The number after the last octet that was sent when the probe was. Of no meaning unless one is outstanding.
    [[nodiscard]] sequence_number end() const noexcept { return end_; }

private:
    enum class state : std::uint8_t { none, new_data, repeated };

    sequence_number end_;
    state state_ = state::none;
};

}  // namespace fluxnet::proto::tcp
