// SPDX-License-Identifier: BSD-3-Clause
// What a connection sends, and when: the rules for data (RFC 9293 section 3.8.6), and the headers.
#include "fluxnet/proto/tcp/connection.hpp"

#include <algorithm>

namespace fluxnet::proto::tcp {

std::uint32_t connection::outstanding() const noexcept {
    // Without SACK each duplicate ACK stands for a segment that has arrived (RFC 6582 section 3.2).
    const std::uint32_t arrived = sack_ ? 0 : duplicate_acks_ * congestion_.mss();
    return queue_.in_flight() - std::min(queue_.in_flight(), arrived);
}

sequence_number connection::acceptable_number() const noexcept {
    // SND.NXT (RFC 9293 section 3.10.7.4); but a peer that has refused a probe of its closed window, or has made its window
    // smaller, does not expect that number, and would drop the segment. A window that is scaled is told rounded down.
    const sequence_number next = queue_.next();
    if (next > window_edge_) { return window_edge_ > unacknowledged() ? window_edge_ : unacknowledged(); }
    const sequence_number edge = unacknowledged() + send_window_;
    return next - edge >= std::int32_t{1} << send_scale_ ? edge : next;
}

/// Whether a range that was sent goes beyond the window by less than a unit in which it is told: the edge has been told there,
/// and is told rounded down since (RFC 7323 section 2.4). The peer has not taken it back.
bool connection::was_in_window(const range& one) const noexcept {
    const std::int32_t room = window_room(one);
    const std::int32_t beyond = static_cast<std::int32_t>(one.extent()) - room;
    return one.where != range::place::unsent && room > 0 && beyond < std::int32_t{1} << send_scale_ &&
           one.end() <= window_edge_;
}

/// What the timers ask for: a probe, or the first octet once more.
range* connection::next_due() noexcept {
    if (tail_due_) {
        tail_due_ = false;
        range* one = queue_.unsent();
        if (one != nullptr && window_room(*one) >= static_cast<std::int32_t>(one->extent()) &&
            one->length <= congestion_.mss()) {
            probe_.on_probe(one->end(), false);
            return one;
        }
        one = one != nullptr ? one->previous : queue_.back();
        // A window that has shrunk since the timer began holds it back, and is probed by the time-out.
        const bool fits =
            one != nullptr && (window_room(*one) >= static_cast<std::int32_t>(one->extent()) || was_in_window(*one));
        if (fits && one->where == range::place::in_flight) {
            probe_.on_probe(queue_.next(), true);
            return one;
        }
    }
    if (front_due_) {
        front_due_ = false;
        range* const front = queue_.front();
        if (front != nullptr && front->where == range::place::in_flight && front->length <= congestion_.mss()) {
            return front;
        }
    }
    return nullptr;
}

inline bool connection::holds_back(const range& one) const noexcept {
    // Nagle's algorithm (RFC 9293 section 3.7.4): less than a segment waits while anything is unacknowledged, in however many
    // buffers it lies.
    if (one.length >= congestion_.mss() || queue_.next() == queue_.first()) { return false; }
    return !no_delay_ && one.where == range::place::unsent && queue_.unsent_octets() < congestion_.mss() && !queue_.has_fin();
}

range* connection::cut(range& one, std::uint32_t octets) noexcept {
    if (octets >= one.length) { return &one; }
    return queue_.split(one, octets) ? one.previous : nullptr;
}

inline range* connection::fit(range& one) noexcept {
    const std::int32_t room = window_room(one);
    if (room > static_cast<std::int32_t>(one.length) && one.length <= congestion_.mss()) [[likely]] { return &one; }
    return fit_part(one, room);
}

range* connection::fit_part(range& one, std::int32_t room) noexcept {
    if (one.length == 0) { return room > 0 || force_one_ ? &one : nullptr; }  // a FIN
    if (room >= static_cast<std::int32_t>(one.length) || was_in_window(one)) {
        // A FIN takes room in the window like an octet. Without a range for it alone it goes out with the octets.
        if (one.fin && room == static_cast<std::int32_t>(one.length)) { (void)queue_.detach_fin(); }
        return cut(one, congestion_.mss());
    }
    if (room <= 0) {
        // The window is closed: one octet asks whether it still is (RFC 9293 section 3.8.6.1).
        if (!force_one_) { return nullptr; }
        trace(trace_point::window_probe, one.first.value());
        return cut(one, 1);
    }
    // A part fits. It goes out when it is a full segment or half the largest window, or must (section 3.8.6.2.1).
    const auto part = std::min(static_cast<std::uint32_t>(room), congestion_.mss());
    const bool worth = part == congestion_.mss() || part >= largest_send_window_ / 2 || one.where == range::place::lost;
    return worth || force_one_ ? cut(one, part) : nullptr;
}

void connection::emit_syn(outgoing& out, time_point now) noexcept {
    syn_due_ = false;
    const bool answer = state_ == state::syn_received;
    out = outgoing{};
    out.sequence = initial_send_;
    out.flags = tcp_flag::syn;
    out.window = options_.syn_window();
    out.options.mss = options_.maximum_segment;
    if (answer ? scaling_ : options_.window_scaling) { out.options.window_scale = own_scale(); }
    out.options.sack_permitted = answer ? sack_ : options_.sack;
    out.options.timestamps = answer ? timestamps_ : options_.timestamps;
    out.options.timestamp = out.options.timestamps ? clock(now) : 0;
    if (answer) {
        out.flags |= tcp_flag::ack;
        out.acknowledgment = received_.next();
        out.options.timestamp_echo = timestamps_ ? recent_timestamp_ : 0;
        advertised_ = received_.next() + out.window;
        last_acknowledged_ = received_.next();
        acknowledge_ = acknowledging::none;
    }
    if (syns_sent_ != 255) { ++syns_sent_; }
    if (syns_sent_ > 1) { ++resent_; }
    last_sent_ = now;
    // An answer to a SYN that comes again does not put the time-out off: else the peer could do that for ever.
    if (timer_ != timer::retransmit) { restart(timer::retransmit, now + rtt_.rto()); }
}

void connection::emit_reset(outgoing& out) noexcept {
    out = outgoing{};
    out.flags = tcp_flag::rst;
    if (reject_due_) {
        out.sequence = rejected_;
        reject_due_ = false;
        return;
    }
    reset_due_ = false;
    out.sequence = reset_sequence_;
    out.flags |= tcp_flag::ack;
    out.acknowledgment = received_.next();
}

std::uint16_t connection::advertise_less(std::uint32_t free) noexcept {
    const sequence_number next = received_.next();
    const std::uint32_t field = std::min<std::uint32_t>(free >> receive_scale_, 0xffff);
    told_edge_ = next + (field << receive_scale_);
    if (told_edge_ > advertised_) { advertised_ = told_edge_; }
    return static_cast<std::uint16_t>(field);
}

inline std::uint16_t connection::advertise() noexcept {
    // The right edge never moves back (RFC 9293 section 3.8.6), and forwards only by a step that is worth a segment
    // (section 3.8.6.2.2). What a peer is told of it is rounded down to a unit of the scale (RFC 7323 section 2.4); what comes
    // up to the edge is taken. But where there are no buffers for what was promised the peer is told so; what it has sent by then
    // still counts.
    const sequence_number next = received_.next();
    const std::uint32_t free = free_room();
    if (lacks_buffers_) [[unlikely]] { return advertise_less(free); }
    const std::int32_t gain = next + free - advertised_;
    const auto step = static_cast<std::int32_t>(std::min(options_.receive_limit / 2, largest_received_));
    const sequence_number edge = gain >= step ? next + free : advertised_;
    const auto window = static_cast<std::uint32_t>(std::max(0, edge - next));
    const std::uint32_t field = std::min<std::uint32_t>(window >> receive_scale_, 0xffff);
    const sequence_number told = next + (field << receive_scale_);
    if (told > advertised_) { advertised_ = told; }
    return static_cast<std::uint16_t>(field);
}

inline void connection::fill_header(outgoing& out, time_point now) noexcept {
    out.acknowledgment = received_.next();
    out.window = advertise();
    out.options = tcp_options{};
    if (timestamps_) {
        out.options.timestamps = true;
        out.options.timestamp = clock(now);
        out.options.timestamp_echo = recent_timestamp_;
    }
    if (sack_ && out.payload.empty()) {
        std::uint8_t count = 0;
        if (duplicate_) { out.options.sack[count++] = *duplicate_; }
        if (received_.beyond() != 0) {
            for (const sack_block& block : received_.blocks()) {
                if (count == out.options.sack.size()) { break; }
                out.options.sack[count++] = block;
            }
        }
        out.options.sack_count = count;
        duplicate_.reset();
    }
    acknowledge_ = acknowledging::none;
    acknowledge_at_ = time_point::max();
    last_acknowledged_ = received_.next();
}

inline range* connection::next_range() noexcept {
    if ((tail_due_ | front_due_) != 0) [[unlikely]] {
        if (range* const due = next_due()) { return due; }
    }
    range* const one = queue_.lost_octets() != 0 ? queue_.lost() : queue_.unsent();
    if (one == nullptr || (!force_one_ && holds_back(*one))) { return nullptr; }
    const std::uint32_t in_flight = outstanding();
    const std::uint32_t extent = std::min(one->extent(), congestion_.mss());
    if (!force_one_ && in_flight != 0 && in_flight + extent > congestion_.window()) {
        limited_ = true;
        return nullptr;
    }
    return fit(*one);
}

inline void connection::emit_range(range& one, outgoing& out, time_point now) noexcept {
    if (one.sendings != 0) {
        ++resent_;
        trace(trace_point::resent, one.first.value());
        if (!stamped_) {
            stamped_ = true;
            recovery_stamp_ = clock(now);
        }
    } else {
        trace(trace_point::sent, one.first.value());
        if (timer_ == timer::tail_probe) { restart(timer::none, time_point::max()); }  // RFC 8985 section 7.2
    }
    queue_.sent(one, now);
    congestion_.on_sent(one.extent());
    force_one_ = false;
    last_sent_ = now;
    sent_octets_ += one.length;
    out.sequence = one.first;
    out.payload = one.octets();
    out.token = one.is(range::shares) ? 0 : one.token;
    out.flags = tcp_flag::ack;
    if (one.next == nullptr && one.length != 0) { out.flags |= tcp_flag::psh; }
    if (one.fin) { out.flags |= tcp_flag::fin; }
    fill_header(out, now);
    arm(now);
}

void connection::emit_plain(outgoing& out, sequence_number sequence, time_point now) noexcept {
    out.sequence = sequence;
    out.payload = {};
    out.token = 0;
    out.flags = tcp_flag::ack;
    fill_header(out, now);
    arm(now);
}

bool connection::next_segment(outgoing& out, time_point now) noexcept {
    if ((reject_due_ | reset_due_) != 0) {
        emit_reset(out);
        return true;
    }
    if (!synchronized() || syn_due_) [[unlikely]] {
        if (ended()) { return false; }
        if (syn_due_) {
            emit_syn(out, now);
            return true;
        }
        if (state_ == state::syn_sent) { return false; }
    }
    // What is beyond a gap is told by an ACK of its own: with data it would be no duplicate ACK (RFC 5681 section 2), and have
    // no room for SACK.
    if (owes_duplicate()) {
        emit_plain(out, acceptable_number(), now);
        return true;
    }
    if (synchronized() && state_ != state::time_wait) {
        if (range* const one = next_range()) {
            emit_range(*one, out, now);
            return true;
        }
    }
    if (probe_due_) {
        probe_due_ = false;
        emit_plain(out, queue_.next() - 1U, now);
        return true;
    }
    if (acknowledge_ == acknowledging::now) {
        emit_plain(out, acceptable_number(), now);
        return true;
    }
    return false;
}

}  // namespace fluxnet::proto::tcp
