// SPDX-License-Identifier: BSD-3-Clause
// How a connection begins and ends, and what its user asks of it.
#include "fluxnet/proto/tcp/connection.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace fluxnet::proto::tcp {

connection::connection(memory& of, const connection_options& options, connection_secrets secrets) noexcept
    : options_(options),
      queue_(of),
      received_(of, options.copy_below,
                std::max(options.most_ranges, options.receive_limit / std::max<std::uint32_t>(options.maximum_segment, 1) + 1)),
      // What is written before the peer has answered is cut to what fits beside the timestamps that are asked for.
      congestion_(options.congestion, options.maximum_segment - (options.timestamps ? 12U : 0U)),
      rtt_(options.rtt),
      rack_(secrets.initial + 1),
      initial_send_(secrets.initial),
      segment_(options.maximum_segment),
      timestamp_offset_(secrets.timestamp_offset),
      receive_limit_(options.receive_limit),
      largest_received_(options.default_segment),
      quick_acks_(options.quick_acks) {}

void connection::connect(time_point now) noexcept {
    assert(state_ == state::closed && ending_ == ending::none);
    queue_.begin(initial_send_ + 1);
    last_heard_ = now;
    state_ = state::syn_sent;
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    syn_due_ = true;
}

void connection::accept(const segment& syn, time_point now) noexcept {
    assert(state_ == state::closed && ending_ == ending::none && syn.has(tcp_flag::syn));
    passive_ = true;
    queue_.begin(initial_send_ + 1);
    last_heard_ = now;
    initial_receive_ = syn.sequence;
    received_.begin(initial_receive_ + 1);
    advertised_ = last_acknowledged_ = received_.next();
    adopt_options(syn.options, syn.window);
    window_sequence_ = syn.sequence;
    note_timestamp(syn, now);
    state_ = state::syn_received;
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    syn_due_ = true;
}

void connection::accept_cookie(const segment& ack, const tcp_options& agreed, time_point now) noexcept {
    passive_ = true;
    queue_.begin(ack.acknowledgment);
    last_heard_ = now;
    rack_ = rack_state(ack.acknowledgment);
    initial_receive_ = ack.sequence - 1U;
    window_sequence_ = initial_receive_;  // the window of the ACK, which is scaled, is newer than that of the SYN
    received_.begin(ack.sequence);
    advertised_ = last_acknowledged_ = received_.next();
    adopt_options(agreed, ack.window);
    window_acknowledgment_ = ack.acknowledgment;
    // The SYN-ACK that is not kept has told this window.
    advertised_ += options_.syn_window();
    establish(now);
}

void connection::adopt_options(const tcp_options& options, std::uint16_t window) noexcept {
    const std::uint16_t asked = options.mss != 0 ? options.mss : options_.default_segment;
    // segment_: what the path has room for.
    set_segment(std::min<std::uint32_t>(std::max(asked, options_.least_segment), segment_));
    scaling_ = options_.window_scaling && options.window_scale != tcp_options::no_scale;
    send_scale_ = scaling_ ? std::min(options.window_scale, most_window_scale) : std::uint8_t{0};
    receive_scale_ = scaling_ ? own_scale() : std::uint8_t{0};
    timestamps_ = options_.timestamps && options.timestamps;
    sack_ = options_.sack && options.sack_permitted;
    send_window_ = largest_send_window_ = window;  // never scaled in a SYN (RFC 7323 section 2.2)
    window_edge_ = queue_.first() + window;
}

void connection::limit_segment(std::uint16_t octets) noexcept {
    set_segment(std::min<std::uint32_t>(std::max(octets, options_.least_segment), options_.maximum_segment));
}

bool connection::has_outstanding(sequence_number quoted) const noexcept {
    if (state_ == state::syn_sent || state_ == state::syn_received) { return quoted == initial_send_; }
    return quoted >= queue_.first() && quoted < queue_.next();
}

void connection::set_segment(std::uint32_t octets) noexcept {
    segment_ = octets;
    congestion_.set_mss(octets - (timestamps_ ? 12U : 0U));
}

void connection::establish(time_point now) noexcept {
    if (timestamps_) { set_segment(segment_); }
    state_ = state::established;
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    restart(timer::none, time_point::max());
    unanswered_since_ = {};
    if (syn_lost_) {
        congestion_.on_lost_syn();
        rtt_.after_lost_syn();
    }
    events_.connected = true;
    events_.writable = true;
    if (keep_alive_) { keep_alive_at_ = now + options_.keep_alive_idle; }
    if (shut_) { state_ = state::fin_wait_1; }
}

void connection::finish(tcp::ending how) noexcept {
    if (ending_ == ending::none) { ending_ = how; }
    state_ = state::closed;
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    if (queue_.has_octets()) { ended_short_ = true; }
    queue_.clear();
    received_.clear_beyond();
    if (closed_by_user_) { received_.clear(); }
    restart(timer::none, time_point::max());
    acknowledge_at_ = keep_alive_at_ = life_ends_ = time_point::max();
    acknowledge_ = acknowledging::none;
    syn_due_ = probe_due_ = force_one_ = false;
    events_.ended = true;
}

void connection::enter_time_wait(time_point now) noexcept {
    state_ = state::time_wait;
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    queue_.clear();
    restart(timer::none, time_point::max());
    keep_alive_at_ = time_point::max();
    life_ends_ = now + options_.time_wait;
}

std::size_t connection::writable() const noexcept {
    if (ended() || shut_) { return 0; }
    return options_.send_limit - std::min(options_.send_limit, queue_.size());
}

bool connection::write_buffer(const buffer& from, std::uint32_t length, time_point now) noexcept {
    if (ended() || shut_ || length == 0 || writable() < length) { return false; }
    end_pause(now);
    const bool taken = queue_.append_buffer(from, length);
    arm(now);
    return taken;
}

void connection::returned(std::uint32_t octets, time_point /*now*/) noexcept {
    received_.returned(octets);
    if (!ended()) { announce_window(); }
}

void connection::shutdown_write(time_point now) noexcept {
    if (ended() || shut_) { return; }
    shut_ = true;
    switch (state_) {
        case state::established: state_ = state::fin_wait_1; break;
        case state::close_wait: state_ = state::last_ack; break;
        case state::syn_sent:
        case state::syn_received: break;  // the FIN follows once the connection is there (RFC 9293 section 3.10.4)
        default: return;
    }
    trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
    if (!queue_.append_fin()) { return abort(now); }  // no range is left: an end in order cannot be kept
    arm(now);
}

void connection::close(time_point now) noexcept {
    if (closed_by_user_) { return; }
    closed_by_user_ = true;
    if (ended()) {
        received_.clear();
        return;
    }
    if (received_.readable() != 0 || received_.beyond() != 0) { return abort(now); }
    if (state_ == state::syn_sent) { return finish(ending::closed); }  // RFC 9293 section 3.10.4
    shutdown_write(now);
    if (state_ == state::fin_wait_2) { life_ends_ = now + options_.fin_wait; }
}

void connection::abort(time_point /*now*/) noexcept {
    if (ended()) { return; }
    // In SYN-SENT nobody knows of the connection. In TIME-WAIT, CLOSING and LAST-ACK both ends agree that it is over, if the
    // FIN was sent (RFC 9293 section 3.10.5).
    const bool over = state_ == state::time_wait || state_ == state::closing || state_ == state::last_ack;
    reset_due_ = state_ != state::syn_sent && !(over && queue_.unsent() == nullptr);
    reset_sequence_ = acceptable_number();
    closed_by_user_ = true;
    finish(ending::aborted);
}

void connection::set_no_delay(bool on, time_point now) noexcept {
    no_delay_ = on;
    arm(now);
}

void connection::set_keep_alive(bool on, time_point now) noexcept {
    keep_alive_ = on;
    keep_alive_unanswered_ = 0;
    keep_alive_at_ = on && synchronized() ? std::max(now, last_heard_ + options_.keep_alive_idle) : time_point::max();
}

void connection::on_unreachable(sequence_number quoted, bool hard, time_point /*now*/) noexcept {
    // A quoted number that is not in flight was not sent by this end (RFC 5927 section 4.1).
    const bool opening = state_ == state::syn_sent || state_ == state::syn_received;
    if (opening) {
        // Only while it is opened an error is believed, and only the hard ones (RFC 5927 section 5.2, RFC 1122 4.2.3.9).
        if (quoted == initial_send_ && hard) { finish(ending::unreachable); }
        return;
    }
    // Later errors are soft: the connection goes on, and gives up in its time.
}

void connection::on_too_big(sequence_number quoted, std::uint16_t segment, time_point now) noexcept {
    if (ended() || quoted < unacknowledged() || quoted >= queue_.next()) { return; }
    const std::uint32_t smaller = std::max<std::uint32_t>(segment, options_.least_segment);
    if (smaller >= segment_) { return; }
    set_segment(smaller);
    trace(trace_point::segment_shrunk, segment_);
    // What was too big never arrived, and no congestion has lost it (RFC 1191 section 6.4): sent again at once.
    for (range* one = queue_.oldest(); one != nullptr;) {
        range* const later = one->later;
        if (one->length > congestion_.mss()) { queue_.lose(*one); }
        one = later;
    }
    if (queue_.lost() != nullptr) {
        force_one_ = true;
        if (recovering_ == recovering::no) {
            recovering_ = recovering::repair;
            recovery_point_ = queue_.next();
        }
    }
    arm(now);
}

std::uint8_t connection::offered_scale(const connection_options& options) noexcept {
    // With it the whole receive limit can be told, and its eighth is not rounded to nothing.
    const auto needed = static_cast<int>(std::bit_width(options.receive_limit >> 16U));
    const int sensible = std::max(0, static_cast<int>(std::bit_width(options.receive_limit)) - 3);
    return static_cast<std::uint8_t>(std::min({int{most_window_scale}, std::max<int>(options.window_scale, needed), sensible}));
}

connection_info connection::info() const noexcept {
    connection_info told;
    told.state = state_;
    told.ending = ending_;
    told.congestion_window = congestion_.window();
    told.slow_start_threshold = congestion_.slow_start_threshold();
    told.smoothed_rtt = rtt_.srtt();
    told.rtt_variation = rtt_.variation();
    told.least_rtt = rtt_.minimum();
    told.retransmission_timeout = rtt_.rto();
    told.segment = congestion_.mss();
    told.in_flight = queue_.in_flight();
    told.lost = queue_.lost_octets();
    told.sacked = queue_.sacked_octets();
    told.unsent = queue_.unsent_octets();
    told.send_window = send_window_;
    told.lacks_buffers = lacks_buffers_;
    told.receive_window = static_cast<std::uint32_t>(std::max(0, last_edge() - received_.next()));
    told.readable = received_.readable();
    told.beyond_gap = received_.beyond();
    told.lent = received_.lent();
    told.sent_octets = sent_octets_;
    told.received_octets = received_octets_;
    told.resent = resent_;
    told.timeouts = timeouts_;
    told.fast_recoveries = fast_recoveries_;
    told.tail_probes = tail_probes_;
    told.spurious = spurious_;
    told.duplicates_received = duplicates_received_;
    told.challenges = challenges_;
    told.sack = sack_;
    told.timestamps = timestamps_;
    told.window_scaling = scaling_;
    return told;
}

void connection::tell_trace(trace_point what, std::uint64_t value) noexcept {
    trace_->told({what, value, queue_.first(), queue_.next(), queue_.in_flight(), congestion_.window()});
}

std::string_view name(state what) noexcept {
    using enum state;
    switch (what) {
        case closed: return "CLOSED";
        case syn_sent: return "SYN-SENT";
        case syn_received: return "SYN-RECEIVED";
        case established: return "ESTABLISHED";
        case fin_wait_1: return "FIN-WAIT-1";
        case fin_wait_2: return "FIN-WAIT-2";
        case close_wait: return "CLOSE-WAIT";
        case closing: return "CLOSING";
        case last_ack: return "LAST-ACK";
        case time_wait: return "TIME-WAIT";
    }
    return "unknown";
}

std::string_view name(ending what) noexcept {
    using enum ending;
    switch (what) {
        case none: return "none";
        case closed: return "closed";
        case reset: return "reset";
        case refused: return "refused";
        case timed_out: return "timed_out";
        case unreachable: return "unreachable";
        case aborted: return "aborted";
    }
    return "unknown";
}

std::string_view name(trace_point what) noexcept {
    using enum trace_point;
    switch (what) {
        case state_changed: return "state_changed";
        case sent: return "sent";
        case resent: return "resent";
        case acknowledged: return "acknowledged";
        case lost: return "lost";
        case recovery_began: return "recovery_began";
        case recovery_ended: return "recovery_ended";
        case timeout: return "timeout";
        case tail_probe: return "tail_probe";
        case spurious: return "spurious";
        case window_closed: return "window_closed";
        case window_probe: return "window_probe";
        case unacceptable: return "unacceptable";
        case old_timestamp: return "old_timestamp";
        case bad_acknowledgment: return "bad_acknowledgment";
        case challenged: return "challenged";
        case refused_octets: return "refused_octets";
        case segment_shrunk: return "segment_shrunk";
    }
    return "unknown";
}

}  // namespace fluxnet::proto::tcp
