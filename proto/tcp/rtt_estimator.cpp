// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/rtt_estimator.hpp"

#include <cassert>
#include <cstdlib>

namespace fluxnet::proto::tcp {

void rtt_estimator::sample(nanoseconds measured, time_point now, unsigned gain_shift) noexcept {
    assert(gain_shift <= max_gain_shift);
    // Two bounds in turn, not std::clamp(): that takes addresses, and g++ 12 would keep the values in memory for it.
    measured = std::min(std::max(measured, nanoseconds(1)), nanoseconds(std::chrono::hours(1)));
    if (now < half_ends_) [[likely]] {
        minimum_ = std::min(minimum_, measured);
    } else {
        begin_half(measured, now);
    }
    const std::int64_t scaled = measured.count() << fraction_bits;
    if (begin_anew_) [[unlikely]] {
        begin_anew_ = false;
        smoothed_ = scaled;
        variation_ = scaled / 2;
    } else {
        // The variation is taken against the old SRTT, so it comes first (section 2.3).
        const std::int64_t error = scaled - smoothed_;
        variation_ += (std::abs(error) - variation_) >> (2 + gain_shift);
        smoothed_ += error >> (3 + gain_shift);
    }
    back_offs_ = 0;
    // Without variation a timeout of little more than SRTT would expire while the peer delays its acknowledgement, as it
    // does of the last segment of a burst (RFC 9293 section 3.8.6.3): that is what the minimum of section 2.4 is for, and on
    // a long path the minimum alone does not help. So the wait beside SRTT is at least that minimum, or SRTT, if that is less.
    const nanoseconds beside = std::max(options_->granularity, std::min(srtt(), options_->min_rto));
    const nanoseconds wait = srtt() + std::max(beside, variation() * 4);
    base_rto_ = std::min(std::max(wait, options_->min_rto), options_->max_rto);
}

void rtt_estimator::begin_half(nanoseconds measured, time_point now) noexcept {
    const bool nothing_recent = minimum_ == nanoseconds(0) || now - half_ends_ >= minimum_window / 2;
    older_minimum_ = nothing_recent ? measured : minimum_;
    minimum_ = measured;
    half_ends_ = now + minimum_window / 2;
}

}  // namespace fluxnet::proto::tcp
