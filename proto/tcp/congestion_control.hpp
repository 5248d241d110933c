// SPDX-License-Identifier: BSD-3-Clause
// `congestion_control`: how much a TCP connection may have in flight, as far as the path is concerned.
//
//     congestion_control path(congestion_algorithm::cubic, mss);
//     path.on_acked({.delivered = 2 * mss, .in_flight = in_flight, .window_limited = true, .now = now, .rtt = rtt,
//                    .srtt = srtt, .unacknowledged = una, .next = nxt});
//     while (in_flight + mss <= path.window()) { in_flight += mss; path.on_sent(mss); }
//     path.on_loss(nxt - una, now, una, nxt);             // and on_recovery_ack() instead of on_acked(), until
//     path.on_recovered();                                // all that was sent before is acknowledged
//
// The caller finds the losses, has the clock and the sequence numbers, and tells of every event once. All windows are in
// octets. A value of fixed size; allocates nothing; one thread at a time uses it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/hystart.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// RFC 5681 with RFC 6582, or RFC 9438.
enum class congestion_algorithm : std::uint8_t { new_reno, cubic };

/// What an acknowledgement outside of fast recovery has told.
struct ack_sample {
    using time_point = std::chrono::steady_clock::time_point;

    std::uint32_t delivered = 0;  ///< Octets newly acknowledged, by the number or by SACK. At most max_window.
    std::uint32_t in_flight = 0;  ///< Octets in flight before it.
    bool window_limited = false;  ///< The window, and nothing else, held data back since the last acknowledgement.
    time_point now;
    std::chrono::nanoseconds rtt{0};  ///< What it measured; 0: nothing.
    std::chrono::nanoseconds srtt{0};
    sequence_number unacknowledged;  ///< SND.UNA after it.
    sequence_number next;            ///< SND.NXT.
};

/// The congestion window of one connection.
///
/// - Slow start: L = 8 segments an acknowledgement with HyStart++ in the first one (RFC 9406), 2 without it, 1 after a
///   retransmission timeout (RFC 3465 section 2.3).
/// - Congestion avoidance: octets are counted (RFC 3465 section 2.1), or CUBIC with its Reno-friendly region and fast
///   convergence (RFC 9438). The window grows only while it is what limits the sender, so that it stays near to what the
///   path was shown to carry (RFC 9438 section 5.8, RFC 7661).
/// - Fast recovery: proportional rate reduction with the slow start reduction bound (RFC 6937), and with the conservative
///   bound for an acknowledgement that tells of new losses or does not move SND.UNA.
/// - One reduction for each window of data, be it for losses or for marks (RFC 3168 section 6.1.2).
///
/// CUBIC evaluates its function once in an eighth of a round trip, no more than once a millisecond, and whenever a whole
/// window was acknowledged; between two evaluations the window approaches the target by a fixed share of what is
/// acknowledged. So an ordinary acknowledgement divides nothing. Nothing here uses floating point.
class FLUXNET_EXPORT congestion_control {
public:
    using nanoseconds = std::chrono::nanoseconds;
    using time_point = std::chrono::steady_clock::time_point;

    /// The most that a window scale of 14 can announce (RFC 7323 section 2.3), so no more is of use.
    static constexpr std::uint32_t max_window = 1U << 30;

    /// Begins with the initial window of RFC 6928. `mss` is the data of a full segment, at least 1, at most 65,535.
    congestion_control(congestion_algorithm algorithm, std::uint32_t mss, bool use_hystart = true) noexcept;

    /// Sets what a full segment carries. Until the first acknowledgement of data the window is the initial one for it.
    void set_mss(std::uint32_t mss) noexcept;

    /// Tells that the SYN or its answer was lost: the initial window is one segment (RFC 5681 section 3.1).
    void on_lost_syn() noexcept { window_ = mss_; }

    /// Tells that the caller spreads what it sends over the round trip: then the first slow start counts all that an
    /// acknowledgement covers, however many segments (RFC 9406 section 4.3). A receiver that merges segments acknowledges
    /// dozens at once, and without pacing only 8 of them count.
    void set_paced(bool paced) noexcept { paced_ = paced; }

    /// Takes an acknowledgement of new data outside of fast recovery.
    void on_acked(const ack_sample& sample) noexcept {
        assert(sample.delivered <= max_window);
        if (state_ == 0 && sample.window_limited && window_ >= ssthresh_) { return avoid_congestion(sample); }
        if (!may_grow(sample) && (state_ & of_note) == 0 && (state_ & at_rest) != 0) { return; }  // few in flight
        on_other_ack(sample);
    }

    /// Counts what is sent, for the first time or again. Needed in fast recovery only, and harmless at other times.
    void on_sent(std::uint32_t octets) noexcept { prr_out_ += octets; }

    /// Begins fast recovery. `flight_size` is SND.NXT - SND.UNA. The window is reduced unless it already was for this
    /// window of data. Nothing happens in fast recovery, where a further loss calls for no further reduction.
    void on_loss(std::uint32_t flight_size, time_point now, sequence_number unacknowledged, sequence_number next) noexcept;

    /// Takes an acknowledgement in fast recovery, the one that began it too. `delivered`: octets newly acknowledged or
    /// SACKed; `in_flight`: the estimate after it (RFC 6675's pipe, what is lost not counted); `advanced`: it moved SND.UNA
    /// and told of no new loss. A timer that begins a recovery, or finds a loss in one, is told in the same way, with
    /// nothing delivered and false. Afterwards window() - in_flight octets may be sent; each sending is told by on_sent().
    void on_recovery_ack(std::uint32_t delivered, std::uint32_t in_flight, bool advanced) noexcept;

    /// Ends fast recovery: all that was sent before it began is acknowledged.
    void on_recovered() noexcept;

    /// Tells that the retransmission timer has expired: the window is one segment, and the threshold is reduced, but not
    /// again while the same octet is the first one without acknowledgement (RFC 5681 section 3.1). Ends fast recovery.
    void on_timeout(std::uint32_t flight_size, time_point now, sequence_number unacknowledged,
                    sequence_number next) noexcept;

    /// Takes an echo of a congestion mark (RFC 3168 section 6.1.2). Returns true if the window was reduced, which CWR tells
    /// the other end; it is reduced at most once for each window of data.
    bool on_ecn(sequence_number unacknowledged, sequence_number next) noexcept;

    /// Tells that nothing was sent for `idle` before data is sent now: beyond one timeout the window falls back to the
    /// initial one (RFC 5681 section 4.1), and slow start leads back to three quarters of what it was (RFC 7661
    /// section 4.4).
    void on_idle(nanoseconds idle, nanoseconds rto) noexcept;

    /// Takes back the last on_loss() or on_timeout(), which reordering or delay had caused and no loss (RFC 4015, RFC 3708,
    /// RFC 9438 section 4.9). Ends fast recovery. Nothing happens when there is nothing to take back.
    void undo() noexcept;

    /// What may be in flight, 1 MSS to max_window.
    [[nodiscard]] std::uint32_t window() const noexcept { return window_; }
    /// max_window before the first reduction.
    [[nodiscard]] std::uint32_t slow_start_threshold() const noexcept { return ssthresh_; }
    [[nodiscard]] bool in_recovery() const noexcept { return (state_ & recovering) != 0; }
    [[nodiscard]] bool in_slow_start() const noexcept { return window_ < ssthresh_; }
    [[nodiscard]] congestion_algorithm algorithm() const noexcept { return algorithm_; }
    [[nodiscard]] std::uint32_t mss() const noexcept { return mss_; }

    /// min(10 MSS, max(2 MSS, 14,600)) octets (RFC 6928 section 2).
    [[nodiscard]] static constexpr std::uint32_t initial_window(std::uint32_t mss) noexcept {
        return std::min(10 * mss, std::max(2 * mss, std::uint32_t{14600}));
    }

private:
    // Bits of state_. With none of them congestion avoidance is under way.
    enum : std::uint8_t {
        recovering = 1,      // fast recovery
        first_start = 2,     // the first slow start, with hystart_
        untouched = 4,       // nothing was acknowledged yet
        timed_out = 8,       // timeout_at_ has not been acknowledged since the timer expired for it
        after_timeout = 16,  // slow start after a timeout
        reduced = 32,        // reduced_until_ has not been acknowledged since the last reduction
        no_epoch = 64,       // congestion avoidance has not begun since the last reduction
        paused = 128,        // CUBIC's time stands still since evaluate_at_: the window does not limit the sender

        of_note = recovering | untouched | timed_out | reduced,  // what any acknowledgement may end or begin
        at_rest = no_epoch | paused,                             // CUBIC's time does not run
    };

    // What RFC 9438 section 4.1 calls an epoch: congestion avoidance between two reductions.
    struct cubic_epoch {
        time_point start;
        std::uint32_t k = 0;      // until the window is w_max again, in 1/1,024 s
        std::uint32_t w_max = 0;  // 0: no loss yet
        std::uint32_t w_est = 0;  // what Reno's window would be
        std::uint32_t prior = 0;  // the window before the last reduction
    };

    // In slow start it is enough that half of the window is in use: twice that is what it would have led to.
    [[nodiscard]] bool may_grow(const ack_sample& sample) const noexcept {
        return sample.window_limited || (in_slow_start() && sample.in_flight >= window_ / 2);
    }
    [[nodiscard]] bool cubic() const noexcept { return algorithm_ == congestion_algorithm::cubic; }

    void avoid_congestion(const ack_sample& sample) noexcept {
        acked_ += sample.delivered;
        if (acked_ >= window_ || sample.now >= evaluate_at_) [[unlikely]] { advance(sample); }
        if (window_ >= target_) { return; }
        const std::uint64_t growth = std::uint64_t{sample.delivered} * share_ + fraction_;
        fraction_ = static_cast<std::uint32_t>(growth);
        window_ = std::min(window_ + static_cast<std::uint32_t>(growth >> 32), target_);
    }

    void on_other_ack(const ack_sample& sample) noexcept;
    void slow_start(const ack_sample& sample) noexcept;
    void advance(const ack_sample& sample) noexcept;
    void evaluate(time_point now, nanoseconds srtt) noexcept;
    void begin_epoch(time_point now) noexcept;
    void pause(time_point now) noexcept;
    void reduce(std::uint32_t flight_size) noexcept;
    void save(time_point now) noexcept;
    void forget_growth() noexcept;
    [[nodiscard]] std::uint32_t cubic_window(time_point at) const noexcept;
    [[nodiscard]] std::uint32_t decreased(std::uint32_t octets) const noexcept;

    // Those of the usual acknowledgement come first: they share one cache line.
    std::uint32_t window_;
    std::uint32_t ssthresh_ = max_window;
    std::uint32_t acked_ = 0;                     // since the window was last acknowledged whole; below 2 max_window
    std::uint32_t target_ = 0;                    // CUBIC: the window stays below it until evaluate_at_. NewReno: 0
    std::uint32_t share_ = 0;                     // CUBIC: octets of growth for each octet acknowledged, times 2^32
    std::uint32_t fraction_ = 0;                  // of an octet of growth, times 2^32
    time_point evaluate_at_ = time_point::max();  // CUBIC: when the function is due again; since when it is paused
    std::uint32_t prr_out_ = 0;                   // octets sent since recovery began
    std::uint32_t mss_;
    congestion_algorithm algorithm_;
    std::uint8_t state_ = untouched;  // of the bits above
    std::uint8_t saved_state_ = 0;
    bool paced_ = false;
    bool saved_ = false;  // undo() has something to take back

    cubic_epoch epoch_;
    std::uint32_t prr_delivered_ = 0;   // octets delivered since recovery began
    std::uint32_t recover_flight_ = 0;  // RecoverFS: the flight size when recovery began
    sequence_number timeout_at_;
    sequence_number reduced_until_;
    hystart hystart_;
    std::uint32_t saved_window_ = 0;  // what undo() restores
    std::uint32_t saved_ssthresh_ = 0;
    cubic_epoch saved_epoch_;
};

}  // namespace fluxnet::proto::tcp
