// SPDX-License-Identifier: BSD-3-Clause
// What an acknowledgment tells: what has arrived, how long it took, what is lost, and how large the peer's window is.
#include "fluxnet/proto/tcp/connection.hpp"

#include <algorithm>
#include <cassert>

namespace fluxnet::proto::tcp {

namespace {

constexpr std::uint8_t duplicate_threshold = 3;  // RFC 5681 section 3.2

}  // namespace

inline void connection::take_progress(sequence_number number, delivery& told) noexcept {
    queue_.acknowledge(number, told);
    if (acknowledged_octets_ < congestion_control::max_window) { acknowledged_octets_ += told.acknowledged; }
    unanswered_since_ = {};
    events_.writable = true;
    trace(trace_point::acknowledged, told.acknowledged);
    silent_timeouts_ = 0;
    rtt_.limit_back_off();
    force_one_ = front_due_ = tail_due_ = false;  // what they were for, and was not sent yet, may be there by now
    restart(timer::none, time_point::max());  // begun anew by arm() (RFC 6298 (5.3)), or for reordered segments
    if (number > recovery_point_) { repeats_expected_ = false; }
}

inline void connection::take_window(const segment& received, bool advanced) noexcept {
    // RFC 9293 section 3.10.7.4: only from a segment that is not older than the last one that told it. One that acknowledges
    // more than ever is newer than all others, also where its octets are sent again: the window of a segment from beyond the
    // gap, and what was acknowledged since, would move the edge further than the peer has told.
    const bool newer = advanced || window_sequence_ < received.sequence ||
                       (window_sequence_ == received.sequence && window_acknowledgment_ <= received.acknowledgment);
    if (!newer) { return; }
    // The window beside a SYN is never scaled (RFC 7323 section 2.2).
    send_window_ = std::uint32_t{received.window} << (beside_syn_ ? 0 : send_scale_);
    largest_send_window_ = std::max(largest_send_window_, send_window_);
    if (queue_.first() + send_window_ > window_edge_) { window_edge_ = queue_.first() + send_window_; }
    window_sequence_ = received.sequence;
    window_acknowledgment_ = received.acknowledgment;
}

inline void connection::measure(const segment& received, const delivery& told, time_point now) noexcept {
    if (told.octets == 0) { return; }
    const unsigned gain = rtt_estimator::gain_shift(queue_.in_flight() + told.octets, congestion_.mss());
    if (told.can_be_timed()) {
        rtt_.sample(now - told.once_sent_at, now, gain);
    } else if (told.any && timestamps_ && received.options.timestamp_echo == clock(told.latest_sent_at)) {
        // Sent more than once, and the timestamp says that the last sending was answered. An older one says little: the
        // acknowledgment may be the second one, after the first was lost (RFC 7323 section 4.1).
        rtt_.sample(now - told.latest_sent_at, now, gain);
    }
}

inline void connection::tell_congestion(const delivery& told, std::uint32_t delivered, std::uint32_t in_flight,
                                        time_point now) noexcept {
    congestion_.on_acked({.delivered = delivered,
                          .in_flight = in_flight,
                          .window_limited = limited_,
                          .now = now,
                          .rtt = told.can_be_timed() ? now - told.once_sent_at : nanoseconds(0),
                          .srtt = rtt_.srtt(),
                          .unacknowledged = queue_.first(),
                          .next = queue_.next()});
    limited_ = false;
}

inline void connection::note_delivery(const segment& received, const delivery& told, time_point now) noexcept {
    if (!told.any) { return; }
    const bool earlier = stamped_ && timestamps_ && received.options.timestamp_echo != 0 &&
                         static_cast<std::int32_t>(received.options.timestamp_echo - recovery_stamp_) < 0;
    if (told.below_highest) {
        rack_.on_delivered({.sent_at = told.once_sent_at, .end = told.lowest_once}, rtt_.minimum(), now);
    }
    rack_.on_delivered({.sent_at = told.latest_sent_at,
                        .end = told.latest_end,
                        .retransmitted = told.latest_resent,
                        .answers_earlier = earlier},
                       rtt_.minimum(), now);
}

/// Takes an acknowledgment while nothing is lost, repaired or doubted, and the peer's window is open: what take_acknowledgment()
/// does then. Returns false when there is more to it, and has done nothing.
inline bool connection::take_usual_acknowledgment(const segment& received, time_point now) noexcept {
    if (received.acknowledgment == queue_.first()) {
        // With nothing in the queue nothing is in flight, lost or repaired either.
        if (!queue_.empty() || received.options.sack_count != 0 || probe_.outstanding()) { return false; }
        assert(recovering_ == recovering::no && queue_.in_flight() == 0);
        take_window(received, false);
        return true;
    }
    const bool calm = sack_ && received.options.sack_count == 0 && recovering_ == recovering::no && queue_.lost_octets() == 0 &&
                      queue_.sacked_octets() == 0 && !probe_.outstanding() && !rack_.in_dsack_round() &&
                      timer_ != timer::reordering && !queue_.has_fin();
    if (!calm || window_closed()) { return false; }
    const std::uint32_t in_flight = queue_.in_flight();
    delivery told;
    take_progress(received.acknowledgment, told);
    take_window(received, true);
    if (window_closed()) { unanswered_since_ = {}; }
    measure(received, told, now);
    note_delivery(received, told, now);
    const range* const oldest = queue_.oldest();
    if (oldest != nullptr && rack_.remaining(oldest->sent_at, oldest->end(), now) != rack_state::not_overtaken) {
        detect_losses(now);
    }
    if (queue_.lost_octets() == 0) [[likely]] {
        tell_congestion(told, told.octets, in_flight, now);
    } else {
        enter_recovery(now);
        congestion_.on_recovery_ack(told.octets, outstanding(), false);
    }
    return true;
}

bool connection::take_acknowledgment(const segment& received, time_point now) noexcept {
    const sequence_number number = received.acknowledgment;
    const sequence_number before = queue_.first();
    // RFC 5961 section 5.2; and nobody acknowledges what was never sent, a window before the first octet either.
    const std::uint32_t oldest = std::min(largest_send_window_, acknowledged_octets_);
    if (number > queue_.next() || (number < before && static_cast<std::uint32_t>(before - number) > oldest)) {
        trace(trace_point::bad_acknowledgment, number.value());
        challenge(now);
        return false;
    }
    if (number < before) { return true; }  // an old one; its data may be new

    if (take_usual_acknowledgment(received, now)) { return true; }
    const std::uint32_t in_flight = outstanding();
    const std::uint32_t lost_before = queue_.lost_octets();
    const std::uint32_t window_before = send_window_;
    const bool closed_before = window_closed();
    const bool reordered_before = rack_.reordering_seen();
    const bool advanced = number > before;
    delivery told;
    if (advanced) { take_progress(number, told); }
    told_duplicate_ = false;
    if (sack_ && received.options.sack_count != 0) { take_sacks(received, told); }
    take_window(received, advanced);
    // A peer that answers probes of its closed window is alive (RFC 1122 section 4.2.2.17).
    if (window_closed()) {
        unanswered_since_ = {};
    } else if (closed_before) {
        window_opened(advanced);
    }

    measure(received, told, now);
    std::uint32_t delivered = told.octets;
    if (sack_) {
        tell_rack(received, told, now);
    } else if (advanced || send_window_ == window_before) {
        delivered = count_duplicate(received, before, told);
    }
    if (advanced && was_spurious(received)) { take_back(); }
    if (sack_) { detect_losses(now); }
    if (queue_.lost_octets() != 0 && recovering_ == recovering::no) { enter_recovery(now); }
    if (recovering_ == recovering::loss_episode) {
        congestion_.on_recovery_ack(delivered, outstanding(), advanced && queue_.lost_octets() <= lost_before);
    } else {
        // While a SACK may be the first sign of a loss it lets new data out, but the window stays as it is (RFC 5681 section
        // 3.2, RFC 3042). What was only late counts when all before it is there.
        const bool doubtful = sack_ && recovering_ == recovering::no && !reordered_before;
        const std::uint32_t counted = doubtful ? told.acknowledged : told.octets;
        if (counted != 0) { tell_congestion(told, counted, in_flight, now); }
    }
    if (probe_.outstanding()) { end_tail_probe(received, before, send_window_ != window_before, now); }
    if (recovering_ != recovering::no && number >= recovery_point_) {
        leave_recovery();
        if (queue_.lost_octets() != 0) {  // sent since the recovery began: another flight, another loss (RFC 6675 section 5)
            enter_recovery(now);
            congestion_.on_recovery_ack(0, outstanding(), false);
        }
    }
    if (advanced) {
        if (queue_.has_fin() && queue_.empty() && !fin_acknowledged_) {
            fin_acknowledged_ = true;
            after_fin_acknowledged(now);
        }
    } else if (told.octets != 0 && timer_ == timer::tail_probe) {
        restart(timer::none, time_point::max());
    }
    return true;
}

void connection::take_back() noexcept {
    ++spurious_;
    if (recovering_ == recovering::loss_episode) { rack_.on_spurious(); }
    queue_.find_all();
    congestion_.undo();
    recovering_ = recovering::no;
    stamped_ = false;
    duplicate_acks_ = 0;
    trace(trace_point::spurious, congestion_.window());
}

void connection::take_sacks(const segment& received, delivery& told) noexcept {
    const sequence_number first = queue_.first();
    for (std::uint8_t i = 0; i != received.options.sack_count; ++i) {
        const sequence_number left(received.options.sack[i].left);
        const sequence_number right(received.options.sack[i].right);
        if (right <= left || right > queue_.next()) { continue; }  // nonsense
        if (right <= first) {
            // Acknowledged octets: in the first place a duplicate was received (RFC 2883 section 4).
            if (i == 0 && static_cast<std::uint32_t>(first - left) <= largest_send_window_) {
                told_duplicate_ = true;
                duplicate_told_ = right;
            }
            continue;
        }
        if (left < first) { continue; }
        if (i == 0 && received.options.sack_count > 1) {  // a duplicate beyond a gap lies within the second block
            const sequence_number outer_left(received.options.sack[1].left);
            const sequence_number outer_right(received.options.sack[1].right);
            if (outer_left <= left && right <= outer_right) {
                told_duplicate_ = true;
                duplicate_told_ = right;
                continue;
            }
        }
        queue_.sack(left, right, told);
    }
}

void connection::window_opened(bool advanced) noexcept {
    // The waits between probes say nothing about the path. An octet that has probed the window was refused: the peer cannot
    // take what is behind it before it comes again.
    rtt_.reset_back_off();
    if (timer_ == timer::retransmit || timer_ == timer::persist) { restart(timer::none, time_point::max()); }
    const range* const front = queue_.front();
    front_due_ = !advanced && front != nullptr && front->where == range::place::in_flight;
}

std::uint32_t connection::count_duplicate(const segment& received, sequence_number before, const delivery& told) noexcept {
    // Without SACK: RFC 5681 section 2 says what a duplicate is, RFC 6582 what is done about it. Each stands for a segment
    // that has arrived (RFC 6937 section 3).
    const std::uint32_t mss = congestion_.mss();
    if (received.acknowledgment == before) {
        if (!received.payload.empty() || received.has(tcp_flag::fin) || queue_.oldest() == nullptr) { return 0; }
        if (duplicate_acks_ != 255) { ++duplicate_acks_; }
        if (duplicate_acks_ == duplicate_threshold && recovering_ == recovering::no && !repeats_expected_) {
            range* const front = queue_.front();
            if (front->where == range::place::in_flight) { queue_.lose(*front); }
        }
        return mss;
    }
    if (recovering_ != recovering::loss_episode) {
        duplicate_acks_ = 0;
        return told.octets;
    }
    const std::uint32_t segments = std::min<std::uint32_t>(duplicate_acks_, told.acknowledged / mss);
    duplicate_acks_ = static_cast<std::uint8_t>(duplicate_acks_ - segments);
    range* const front = queue_.front();  // a partial acknowledgment: the next one is lost, too
    if (front != nullptr && received.acknowledgment < recovery_point_ && front->where == range::place::in_flight) {
        queue_.lose(*front);
    }
    return told.octets - std::min(told.octets, segments * mss);  // the rest was counted before
}

void connection::tell_rack(const segment& received, const delivery& told, time_point now) noexcept {
    note_delivery(received, told, now);
    // Without timestamps D-SACK is all that tells; a tail probe draws one without that anything was late.
    if (!timestamps_ && told_duplicate_ && recovering_ == recovering::loss_episode && !probe_.outstanding()) {
        rack_.on_spurious();
    }
    const bool trouble = queue_.sacked_octets() != 0 || queue_.lost_octets() != 0 || recovering_ != recovering::no;
    const bool needless = told_duplicate_ && !(probe_.outstanding() && duplicate_told_ == probe_.end());
    if (!trouble && !needless && !rack_.in_dsack_round()) { return; }
    rack_.update_window({.unacknowledged = queue_.first(),
                         .next = queue_.next(),
                         .duplicate_sack = needless,
                         .in_recovery = recovering_ != recovering::no,
                         .leaves_recovery = recovering_ != recovering::no && queue_.first() >= recovery_point_,
                         .sacked_segments = queue_.sacked_ranges(),
                         .minimum_rtt = rtt_.minimum(),
                         .srtt = rtt_.srtt()});
}

void connection::detect_losses(time_point now) noexcept {
    const std::uint32_t before = queue_.lost_octets();
    nanoseconds wait{0};
    for (range* one = queue_.oldest(); one != nullptr;) {
        range* const later = one->later;
        const nanoseconds remaining = rack_.remaining(one->sent_at, one->end(), now);
        if (remaining == rack_state::not_overtaken) { break; }
        if (remaining > nanoseconds(0)) {
            wait = remaining;  // those that were sent later have more left, and get their turn
            break;
        }
        queue_.lose(*one);
        one = later;
    }
    if (queue_.lost_octets() > before) { trace(trace_point::lost, queue_.lost_octets()); }
    if (wait > nanoseconds(0)) {
        restart(timer::reordering, now + wait);
    } else if (timer_ == timer::reordering) {
        restart(timer::none, time_point::max());
    }
}

void connection::enter_recovery(time_point now) noexcept {
    recovering_ = recovering::loss_episode;
    recovery_point_ = queue_.next();
    recovery_stamp_ = clock(now);
    repeats_expected_ = true;
    stamped_ = false;  // until something is sent again
    ++fast_recoveries_;
    congestion_.on_loss(static_cast<std::uint32_t>(queue_.next() - queue_.first()), now, queue_.first(), queue_.next());
    probe_.reset();
    force_one_ = true;  // the first retransmission does not wait for the window (RFC 5681 section 3.2, 6675 section 5)
    trace(trace_point::recovery_began, congestion_.window());
}

void connection::leave_recovery() noexcept {
    if (recovering_ == recovering::loss_episode) { congestion_.on_recovered(); }
    recovering_ = recovering::no;
    duplicate_acks_ = 0;
    stamped_ = false;
    trace(trace_point::recovery_ended, congestion_.window());
}

bool connection::was_spurious(const segment& received) const noexcept {
    // Eifel (RFC 3522): the acknowledgment echoes a time before the first retransmission, so what it acknowledges is what
    // was sent first, and nothing was lost.
    const bool under_way = recovering_ == recovering::loss_episode || recovering_ == recovering::after_timeout;
    return under_way && timestamps_ && stamped_ && received.options.timestamp_echo != 0 &&
           static_cast<std::int32_t>(received.options.timestamp_echo - recovery_stamp_) < 0;
}

void connection::end_tail_probe(const segment& received, sequence_number before, bool window_changed,
                                time_point now) noexcept {
    const bool plain = received.acknowledgment == before && received.payload.empty() && !window_changed &&
                       !received.has(tcp_flag::syn | tcp_flag::fin) && received.options.sack_count == 0;
    const bool repaired = probe_.on_ack({.acknowledgment = received.acknowledgment,
                                         .duplicate_sack_of_probe = told_duplicate_ && duplicate_told_ == probe_.end(),
                                         .plain_duplicate = plain});
    if (!repaired || recovering_ != recovering::no) { return; }
    // The probe has mended a loss before anybody saw it. It is congestion all the same, and what was in flight before this
    // acknowledgment is what it came of: perhaps nothing is any more.
    congestion_.on_loss(static_cast<std::uint32_t>(queue_.next() - before), now, queue_.first(), queue_.next());
    congestion_.on_recovered();
    ++fast_recoveries_;
}

void connection::after_fin_acknowledged(time_point now) noexcept {
    switch (state_) {
        case state::fin_wait_1:
            state_ = state::fin_wait_2;
            trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
            if (closed_by_user_) { life_ends_ = now + options_.fin_wait; }
            break;
        case state::closing: enter_time_wait(now); break;
        case state::last_ack: finish(ending::closed); break;
        default: break;
    }
}

}  // namespace fluxnet::proto::tcp
