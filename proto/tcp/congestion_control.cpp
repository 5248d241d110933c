// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/congestion_control.hpp"

#include "fluxnet/proto/tcp/detail/cube_root.hpp"

#include <cassert>

namespace fluxnet::proto::tcp {
namespace {

/// A length in the unit of CUBIC's time, 1/1,024 s: the factor is 2^10 / 10^9, here with 32 bits of fraction.
std::int64_t cubic_ticks(std::chrono::nanoseconds length) noexcept {
    constexpr std::int64_t longest = std::int64_t{1} << 50;  // 13 days
    return (std::clamp(length.count(), -longest, longest) * 4398) >> 32;
}

/// alpha of RFC 9438 section 4.3: 3 (1 - beta) / (1 + beta) for beta = 0.7, so that the Reno-friendly window has Reno's
/// mean.
std::uint32_t friendly_growth(std::uint32_t mss) noexcept {
    return mss * 9 / 17;
}

}  // namespace

congestion_control::congestion_control(congestion_algorithm algorithm, std::uint32_t mss, bool use_hystart) noexcept
    : window_(initial_window(mss)), mss_(mss), algorithm_(algorithm) {
    assert(mss >= 1 && mss <= 65535);
    state_ = untouched | no_epoch;
    if (use_hystart) { state_ |= first_start; }
}

void congestion_control::set_mss(std::uint32_t mss) noexcept {
    assert(mss >= 1 && mss <= 65535);
    if ((state_ & untouched) != 0) { window_ = window_ == mss_ ? mss : initial_window(mss); }
    mss_ = mss;
    window_ = std::max(window_, mss);
}

void congestion_control::on_other_ack(const ack_sample& sample) noexcept {
    state_ &= static_cast<std::uint8_t>(~untouched);
    if (in_recovery()) { return; }
    if ((state_ & timed_out) != 0 && sample.unacknowledged != timeout_at_) {
        state_ &= static_cast<std::uint8_t>(~timed_out);
    }
    if ((state_ & reduced) != 0 && sample.unacknowledged >= reduced_until_) {
        state_ &= static_cast<std::uint8_t>(~reduced);
    }
    if (in_slow_start()) { return slow_start(sample); }
    if (!sample.window_limited) { return pause(sample.now); }
    if ((state_ & no_epoch) != 0) { begin_epoch(sample.now); }
    if ((state_ & paused) != 0) {
        state_ &= static_cast<std::uint8_t>(~paused);
        epoch_.start += sample.now - evaluate_at_;
        evaluate_at_ = sample.now;
    }
    avoid_congestion(sample);
}

void congestion_control::slow_start(const ack_sample& sample) noexcept {
    if (!may_grow(sample)) { return; }
    const bool rounds = (state_ & first_start) != 0;
    if (rounds && hystart_.on_acked(sample.unacknowledged, sample.next, sample.rtt)) {
        ssthresh_ = window_;
        epoch_.prior = window_;
        state_ &= static_cast<std::uint8_t>(~first_start);
        return;
    }
    const std::uint32_t segments = (state_ & after_timeout) != 0 ? 1 : 2;
    const std::uint32_t growth =
        rounds ? hystart_.growth(sample.delivered, mss_, paced_) : std::min(sample.delivered, segments * mss_);
    window_ = std::min(window_ + growth, max_window);
}

void congestion_control::pause(time_point now) noexcept {
    if (!cubic() || (state_ & (paused | no_epoch)) != 0) { return; }
    state_ |= paused;
    evaluate_at_ = now;
}

void congestion_control::advance(const ack_sample& sample) noexcept {
    const bool whole_window = acked_ >= window_;
    if (whole_window) { acked_ = std::min(acked_ - window_, window_); }
    if (!cubic()) {
        if (whole_window) { window_ = std::min(window_ + mss_, max_window); }
        return;
    }
    if (whole_window) {
        epoch_.w_est += epoch_.w_est >= epoch_.prior ? mss_ : friendly_growth(mss_);
        epoch_.w_est = std::min(epoch_.w_est, max_window);
    }
    evaluate(sample.now, sample.srtt);
}

// RFC 9438 sections 4.2 to 4.5.
void congestion_control::evaluate(time_point now, nanoseconds srtt) noexcept {
    constexpr nanoseconds shortest{1 << 20};
    const nanoseconds interval = std::max(srtt / 8, shortest);
    evaluate_at_ = now + interval;
    if (cubic_window(now) < epoch_.w_est) {
        window_ = std::max(window_, epoch_.w_est);
        target_ = 0;
        return;
    }
    const std::uint32_t most = std::min(window_ + window_ / 2, max_window);
    target_ = std::min(cubic_window(now + std::max(srtt, interval)), most);
    if (target_ <= window_) { return; }
    share_ = static_cast<std::uint32_t>((std::uint64_t{target_ - window_} << 32) / window_);
}

// W_cubic(t) = C (t - K)^3 + W_max with C = 0.4 segments a cubic second.
std::uint32_t congestion_control::cubic_window(time_point at) const noexcept {
    constexpr std::int64_t furthest = 1 << 19;  // 512 s from K: more than the largest window of the smallest segments
    const std::int64_t distance = std::clamp(cubic_ticks(at - epoch_.start) - epoch_.k, -furthest, furthest);
    const std::int64_t cube = (distance * distance * distance) >> 14;  // 30 bits of fraction, 14 of them given up
    const std::int64_t offset = (cube * mss_ * 2 / 5) >> 16;
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(offset + epoch_.w_max, mss_, max_window));
}

void congestion_control::begin_epoch(time_point now) noexcept {
    if ((state_ & after_timeout) != 0 || epoch_.w_max <= window_) {
        epoch_.w_max = window_;
        epoch_.k = 0;
    } else {
        // K^3 = (W_max - cwnd) / C; in ticks 2^30 times as much. Below 2^30 * 2^30 * 2.5 before the division.
        epoch_.k = detail::cube_root((std::uint64_t{epoch_.w_max - window_} << 29) * 5 / mss_);
    }
    state_ &= static_cast<std::uint8_t>(~(after_timeout | no_epoch | first_start | paused));
    epoch_.start = now;
    epoch_.w_est = window_;
    acked_ = 0;
    evaluate_at_ = cubic() ? now : time_point::max();
}

std::uint32_t congestion_control::decreased(std::uint32_t octets) const noexcept {
    if (!cubic()) { return octets / 2; }
    return static_cast<std::uint32_t>(std::uint64_t{octets} * 7 / 10);
}

void congestion_control::forget_growth() noexcept {
    acked_ = 0;
    target_ = 0;
    evaluate_at_ = time_point::max();
    state_ &= static_cast<std::uint8_t>(~(first_start | paused));
    state_ |= no_epoch;
}

// RFC 9438 sections 4.6 and 4.7; RFC 5681 equation (4).
void congestion_control::reduce(std::uint32_t flight_size) noexcept {
    epoch_.prior = window_;
    const bool shrinking = window_ < epoch_.w_max;  // fast convergence: another flow needs room
    epoch_.w_max = shrinking ? static_cast<std::uint32_t>(std::uint64_t{window_} * 17 / 20) : window_;
    ssthresh_ = std::max(decreased(std::min(flight_size, window_)), 2 * mss_);
    forget_growth();
}

void congestion_control::save(time_point now) noexcept {
    saved_ = true;
    saved_state_ = static_cast<std::uint8_t>(state_ & ~(untouched | paused | recovering));
    saved_window_ = in_recovery() ? ssthresh_ : window_;
    saved_ssthresh_ = ssthresh_;
    saved_epoch_ = epoch_;
    if ((state_ & paused) != 0) { saved_epoch_.start += now - evaluate_at_; }
}

void congestion_control::on_loss(std::uint32_t flight_size, time_point now, sequence_number unacknowledged,
                                 sequence_number next) noexcept {
    if (in_recovery()) { return; }
    save(now);
    const bool already = (state_ & reduced) != 0 && unacknowledged < reduced_until_;
    if (already) {
        ssthresh_ = std::min(ssthresh_, std::max(window_, 2 * mss_));
        forget_growth();
    } else {
        reduce(flight_size);
    }
    state_ |= recovering | reduced;
    state_ &= static_cast<std::uint8_t>(~untouched);
    reduced_until_ = next;
    prr_delivered_ = 0;
    prr_out_ = 0;
    recover_flight_ = std::max(flight_size, mss_);
}

// RFC 6937 section 3, with the names of its variables.
void congestion_control::on_recovery_ack(std::uint32_t delivered, std::uint32_t in_flight, bool advanced) noexcept {
    if (!in_recovery()) { return; }
    prr_delivered_ += delivered;
    const std::int64_t owed = std::int64_t{prr_delivered_} - prr_out_;
    std::int64_t count = 0;
    if (in_flight > ssthresh_) {
        const std::uint64_t share = std::uint64_t{prr_delivered_} * ssthresh_ + recover_flight_ - 1;
        count = static_cast<std::int64_t>(share / recover_flight_) - prr_out_;
    } else {
        const std::int64_t limit = advanced ? std::max<std::int64_t>(owed, delivered) + mss_ : owed;
        count = std::min<std::int64_t>(std::int64_t{ssthresh_} - in_flight, limit);
    }
    // The first retransmission always leaves.
    count = std::max<std::int64_t>(count, prr_out_ == 0 ? mss_ : 0);
    window_ = static_cast<std::uint32_t>(std::clamp<std::int64_t>(in_flight + count, mss_, max_window));
}

void congestion_control::on_recovered() noexcept {
    if (!in_recovery()) { return; }
    state_ &= static_cast<std::uint8_t>(~recovering);
    window_ = ssthresh_;
}

void congestion_control::on_timeout(std::uint32_t flight_size, time_point now, sequence_number unacknowledged,
                                    sequence_number next) noexcept {
    if ((state_ & timed_out) == 0 || unacknowledged != timeout_at_) {
        save(now);
        reduce(flight_size);
    }
    forget_growth();
    state_ &= static_cast<std::uint8_t>(~(recovering | untouched));
    state_ |= timed_out | after_timeout | reduced;
    timeout_at_ = unacknowledged;
    reduced_until_ = next;
    window_ = mss_;
}

bool congestion_control::on_ecn(sequence_number unacknowledged, sequence_number next) noexcept {
    if (in_recovery() || ((state_ & reduced) != 0 && unacknowledged < reduced_until_)) { return false; }
    reduce(window_);
    window_ = std::min(window_, ssthresh_);
    state_ |= reduced;
    state_ &= static_cast<std::uint8_t>(~untouched);
    reduced_until_ = next;
    saved_ = false;
    return true;
}

void congestion_control::on_idle(nanoseconds idle, nanoseconds rto) noexcept {
    if (idle <= rto || in_recovery()) { return; }
    const std::uint32_t restart = initial_window(mss_);
    if (window_ <= restart) { return; }
    ssthresh_ = std::max(ssthresh_, window_ - window_ / 4);
    window_ = restart;
    const std::uint8_t first = state_ & first_start;
    forget_growth();
    state_ |= first;
}

void congestion_control::undo() noexcept {
    if (!saved_) { return; }
    saved_ = false;
    window_ = std::max(window_, saved_window_);
    ssthresh_ = std::max(ssthresh_, saved_ssthresh_);
    epoch_ = saved_epoch_;
    state_ = saved_state_;
    evaluate_at_ = cubic() && (state_ & no_epoch) == 0 ? epoch_.start : time_point::max();
    acked_ = 0;
    target_ = 0;
}

}  // namespace fluxnet::proto::tcp
