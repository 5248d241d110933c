// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/rtt_estimator.hpp"

#include <cstdlib>

namespace fluxnet::proto::tcp {

void rtt_estimator::sample(nanoseconds measured, time_point now, unsigned gain_shift) noexcept {
    measured = std::clamp(measured, nanoseconds(1), nanoseconds(std::chrono::hours(1)));
    note_minimum(measured, now);
    const std::int64_t scaled = measured.count() << fraction_bits;
    if (begin_anew_) {
        begin_anew_ = false;
        smoothed_ = scaled;
        variation_ = scaled / 2;
    } else {
        // The variation is taken against the old SRTT, so it comes first (section 2.3).
        const unsigned shift = std::min(gain_shift, max_gain_shift);
        const std::int64_t error = scaled - smoothed_;
        variation_ += (std::abs(error) - variation_) >> (2 + shift);
        smoothed_ += error >> (3 + shift);
    }
    back_offs_ = 0;
    const nanoseconds wait = srtt() + std::max(options_->granularity, variation() * 4);
    base_rto_ = std::clamp(wait, options_->min_rto, options_->max_rto);
}

void rtt_estimator::note_minimum(nanoseconds measured, time_point now) noexcept {
    const nanoseconds age = now - half_began_;
    if (minimum_ == nanoseconds(0) || age >= minimum_window) {
        minimum_ = older_minimum_ = measured;
        half_began_ = now;
    } else if (age >= minimum_window / 2) {
        older_minimum_ = minimum_;
        minimum_ = measured;
        half_began_ = now;
    } else {
        minimum_ = std::min(minimum_, measured);
    }
}

}  // namespace fluxnet::proto::tcp
