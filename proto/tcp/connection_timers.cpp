// SPDX-License-Identifier: BSD-3-Clause
// What a connection does when time has passed.
#include "fluxnet/proto/tcp/connection.hpp"

#include <algorithm>

namespace fluxnet::proto::tcp {

namespace {

constexpr std::uint32_t middle_segment = 1024;         // what a path whose MTU is hidden is tried with first
constexpr auto longest_ack_delay = std::chrono::milliseconds(200);  // of peers (RFC 8985 section 7.2)

}  // namespace

void connection::arm_timer(time_point now) noexcept {
    if (!synchronized() || state_ == state::time_wait) { return; }
    if (queue_.next() != queue_.first()) {
        if (timer_ != timer::none && timer_ != timer::persist) { return; }
        const nanoseconds timeout = rtt_.rto();
        const bool tail = probe_.may_arm(sack_, queue_.sacked_octets() != 0, recovering_ != recovering::no) &&
                          rtt_.back_offs() == 0 && queue_.in_flight() != 0 && !window_closed();
        if (!tail) { return restart(timer::retransmit, now + timeout); }
        const bool alone = queue_.in_flight() <= congestion_.mss();
        const nanoseconds wait = tail_loss_probe::timeout(rtt_.srtt(), alone, longest_ack_delay, now, now + timeout);
        return restart(timer::tail_probe, now + std::max(wait, options_.rtt.granularity));
    }
    if (queue_.unsent() == nullptr) {
        if (timer_ != timer::none) { restart(timer::none, time_point::max()); }
    } else if (timer_ != timer::persist) {
        // Until it is sent: nothing but the peer's window keeps the first data back, or a lack of room to send it.
        restart(timer::persist, now + rtt_.rto());
    }
}

void connection::on_deadline(time_point now) noexcept {
    if (acknowledge_at_ <= now) {
        acknowledge_at_ = time_point::max();
        acknowledge_ = acknowledging::now;
    }
    if (timer_at_ <= now) {
        const timer what = timer_;
        restart(timer::none, time_point::max());
        switch (what) {
            case timer::none: break;
            case timer::retransmit: on_retransmit_timeout(now); break;
            case timer::tail_probe: on_tail_probe(now); break;
            case timer::reordering:
                detect_losses(now);
                if (queue_.lost_octets() != 0 && recovering_ == recovering::no) { enter_recovery(now); }
                if (recovering_ == recovering::loss_episode) {
                    congestion_.on_recovery_ack(0, outstanding(), false);
                }
                break;
            case timer::persist: on_persist(now); break;
        }
    }
    if (keep_alive_at_ <= now) { on_keep_alive(now); }
    if (life_ends_ <= now && !ended()) { finish(ending::closed); }
    arm(now);
}

bool connection::gives_up(time_point now, nanoseconds after) noexcept {
    if (unanswered_since_ == time_point{}) {
        unanswered_since_ = now;
        return false;
    }
    if (now - unanswered_since_ < after) { return false; }
    finish(ending::timed_out);
    return true;
}

void connection::on_retransmit_timeout(time_point now) noexcept {
    trace(trace_point::timeout, static_cast<std::uint64_t>(rtt_.rto().count()));
    if (!synchronized()) {
        if (gives_up(now, options_.give_up_connecting)) { return; }
        rtt_.back_off();
        syn_due_ = syn_lost_ = true;
        return;
    }
    if (queue_.next() == queue_.first() || gives_up(now, options_.give_up)) { return; }
    const bool closed = window_closed();
    if (queue_.front()->where == range::place::sacked) { queue_.forget_sacks(); }  // the peer takes back what it has told
    if (sack_ && !closed) {
        // RFC 8985 section 6.3: the first one, and those for which it was time.
        for (range* one = queue_.oldest(); one != nullptr;) {
            range* const later = one->later;
            if (one == queue_.front() || rack_.is_lost_on_timeout(one->sent_at, now)) { queue_.lose(*one); }
            one = later;
        }
    } else {
        queue_.lose_all();
    }
    rtt_.back_off();
    force_one_ = true;
    tail_due_ = false;
    probe_.reset();
    if (closed) {  // the window is probed; that nothing is acknowledged says nothing about the path
        if (recovering_ == recovering::no) {
            recovering_ = recovering::repair;
            recovery_point_ = queue_.next();
        }
        return;
    }
    ++timeouts_;
    if (recovering_ != recovering::after_timeout) { stamped_ = false; }
    recovering_ = recovering::after_timeout;
    recovery_point_ = queue_.next();
    repeats_expected_ = true;
    duplicate_acks_ = 0;
    if (silent_timeouts_ != 255) { ++silent_timeouts_; }
    probe_black_hole();
    congestion_.on_timeout(static_cast<std::uint32_t>(queue_.next() - queue_.first()), now, queue_.first(),
                           queue_.next());
}

void connection::probe_black_hole() noexcept {
    // Large segments that vanish while nobody says why: a router that tells nothing (RFC 2923 section 2.1, RFC 4821
    // section 7.7). Each second time-out in a row tries smaller ones.
    const unsigned times = silent_timeouts_;
    if (times < 2 || queue_.front()->length <= options_.default_segment) { return; }
    const std::uint32_t smaller = times == 2 ? std::max<std::uint32_t>(middle_segment, options_.default_segment)
                                             : std::uint32_t{options_.default_segment};
    if (smaller >= segment_) { return; }
    set_segment(smaller);
    trace(trace_point::segment_shrunk, segment_);
}

void connection::on_tail_probe(time_point now) noexcept {
    trace(trace_point::tail_probe, queue_.next().value());
    ++tail_probes_;
    tail_due_ = true;
    restart(timer::retransmit, now + rtt_.rto());
}

void connection::on_persist(time_point now) noexcept {
    const range* const one = queue_.unsent();
    if (one == nullptr) { return; }
    if (window_room(*one) >= static_cast<std::int32_t>(one->extent())) {  // whoever is to send it has no room for it
        static_cast<void>(gives_up(now, options_.give_up));
        return;
    }
    trace(trace_point::window_closed, send_window_);
    if (gives_up(now, options_.give_up)) { return; }
    rtt_.back_off();
    force_one_ = true;
}

void connection::on_keep_alive(time_point now) noexcept {
    if (!keep_alive_ || !synchronized() || state_ == state::time_wait) {
        keep_alive_at_ = time_point::max();
        return;
    }
    const time_point due = last_heard_ + options_.keep_alive_idle;
    if (due > now && keep_alive_unanswered_ == 0) {
        keep_alive_at_ = due;
        return;
    }
    keep_alive_at_ = now + options_.keep_alive_interval;
    if (queue_.next() != queue_.first()) { return; }  // data is out: it asks, too
    if (keep_alive_unanswered_ >= options_.keep_alive_probes) {
        reset_due_ = true;
        reset_sequence_ = acceptable_number();
        return finish(ending::timed_out);
    }
    ++keep_alive_unanswered_;
    probe_due_ = true;
}

}  // namespace fluxnet::proto::tcp
