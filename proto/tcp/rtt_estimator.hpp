// SPDX-License-Identifier: BSD-3-Clause
// `rtt_estimator`: how long a connection's round trips take, and how long it waits for an acknowledgement before it sends
// again.
//
//     rtt_estimator rtt(options);                                     // the options outlive it
//     rtt.sample(now - sent_at, now, rtt_estimator::gain_shift(in_flight, mss));
//     deadline = now + rtt.rto();
//     rtt.back_off();                                                 // the timer has expired
//
// The caller keeps the timer and has the clock, and takes no sample of data that was sent twice unless a timestamp tells
// which sending was answered (Karn's algorithm, RFC 6298 section 3). One thread at a time uses it. Allocates nothing.
#pragma once

#include "fluxnet/export.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// The bounds of the retransmission timeout, for all connections of a stack.
struct rtt_options {
    std::chrono::nanoseconds min_rto = std::chrono::milliseconds(200);  ///< As much is waited beside a longer SRTT, too.
    std::chrono::nanoseconds max_rto = std::chrono::seconds(120);         ///< At least 60 s (RFC 6298 section 2.4).
    std::chrono::nanoseconds initial_rto = std::chrono::seconds(1);       ///< Before the first sample (section 2.1).
    std::chrono::nanoseconds lost_syn_rto = std::chrono::seconds(3);      ///< After a lost SYN (section 5.7).
    std::chrono::nanoseconds granularity = std::chrono::milliseconds(1);  ///< Of the timer: least term beside SRTT (2.3).
};

/// The estimator of RFC 6298, in integers. Times are kept with a fraction of 1/65,536 ns, so that small gains lose nothing.
class FLUXNET_EXPORT rtt_estimator {
public:
    using nanoseconds = std::chrono::nanoseconds;
    using time_point = std::chrono::steady_clock::time_point;

    /// Over how long minimum() looks back at most.
    static constexpr nanoseconds minimum_window = std::chrono::seconds(10);

    /// Makes an estimator without a sample. The options outlive it.
    explicit rtt_estimator(const rtt_options& options) noexcept : options_(&options), base_rto_(options.initial_rto) {}
    explicit rtt_estimator(const rtt_options&&) = delete;

    /// How much smaller the gains are, as a power of two, for a flight that gives a sample with every second segment: the
    /// least shift that reaches 1 / ceil(in_flight / 2 MSS) (RFC 7323 appendix G). 0 for one sample a round trip. No
    /// division.
    [[nodiscard]] static constexpr unsigned gain_shift(std::uint32_t in_flight, std::uint32_t mss) noexcept {
        const std::uint64_t pair = std::uint64_t{mss} * 2;
        if (in_flight <= pair) { return 0; }
        const auto shift = static_cast<unsigned>(std::bit_width(in_flight) - std::bit_width(pair));
        return std::min(shift + ((pair << shift) < in_flight ? 1U : 0U), max_gain_shift);
    }

    /// Takes one measurement, and ends a back-off (RFC 6298 section 5, last paragraph). Measurements below 1 ns and above
    /// an hour count as these. The gains are 1/8 and 1/4, each divided by 2^gain_shift, which is what gain_shift() has
    /// given: at most 13.
    void sample(nanoseconds measured, time_point now, unsigned gain_shift = 0) noexcept;

    /// Doubles the timeout: the timer has expired (section 5.5). After `stale_after` times in a row the estimates no longer
    /// speak for the path, and the next sample begins anew (section 5, last paragraph).
    void back_off() noexcept {
        if (back_offs_ != max_back_offs) { ++back_offs_; }
        if (back_offs_ == stale_after) { begin_anew_ = true; }
    }

    /// Ends a back-off without a sample.
    void reset_back_off() noexcept { back_offs_ = 0; }

    /// Tells that something was acknowledged. Without a sample the back-off lasts (section 5, last paragraph): else a path
    /// whose round trip has become longer than the timeout would never be measured, as everything is sent twice. But at
    /// most four doublings of it: the path works, and where nothing but what was sent twice is acknowledged for long, the
    /// next loss must not cost minutes.
    void limit_back_off() noexcept { back_offs_ = std::min(back_offs_, most_after_progress); }

    /// Tells that a SYN had to be sent again: the timeout becomes 3 s when data begins to be sent, until the first sample
    /// of it (section 5.7).
    void after_lost_syn() noexcept {
        back_offs_ = 0;
        base_rto_ = std::max(base_rto_, options_->lost_syn_rto);
    }

    /// The timeout, with the back-off, within the bounds.
    [[nodiscard]] nanoseconds rto() const noexcept {
        return std::min(nanoseconds(base_rto_.count() << back_offs_), options_->max_rto);
    }

    /// Whether a round trip was ever measured.
    [[nodiscard]] bool has_sample() const noexcept { return smoothed_ != 0; }

    /// SRTT and RTTVAR; 0 without a sample.
    [[nodiscard]] nanoseconds srtt() const noexcept { return nanoseconds(smoothed_ >> fraction_bits); }
    [[nodiscard]] nanoseconds variation() const noexcept { return nanoseconds(variation_ >> fraction_bits); }

    /// The least sample of the last 10 s, at least of the last 5 s before the newest sample; 0 without one.
    [[nodiscard]] nanoseconds minimum() const noexcept { return std::min(minimum_, older_minimum_); }

    /// How often the timeout has been doubled since the last sample.
    [[nodiscard]] unsigned back_offs() const noexcept { return back_offs_; }

private:
    static constexpr int fraction_bits = 16;
    static constexpr unsigned max_gain_shift = 13;     // with the 3 of SRTT's gain: fraction_bits
    static constexpr std::uint8_t max_back_offs = 16;  // 120 s << 16 is far from an overflow
    static constexpr std::uint8_t stale_after = 4;
    static constexpr std::uint8_t most_after_progress = 4;

    void begin_half(nanoseconds measured, time_point now) noexcept;

    const rtt_options* options_;
    std::int64_t smoothed_ = 0;     // with fraction_bits
    std::int64_t variation_ = 0;    // with fraction_bits
    nanoseconds base_rto_;          // without the back-off, at most max_rto
    nanoseconds minimum_{0};        // of the samples of this half window; 0: none yet
    nanoseconds older_minimum_{0};  // of the half window before it; that of this half when there is none
    time_point half_ends_ = time_point::min();
    std::uint8_t back_offs_ = 0;
    bool begin_anew_ = true;  // the next sample sets the estimates as the first one does
};

}  // namespace fluxnet::proto::tcp
