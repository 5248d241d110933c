// SPDX-License-Identifier: BSD-3-Clause
// What a connection does with a segment that arrives (RFC 9293 section 3.10.7), in the order of its checks.
#include "fluxnet/proto/tcp/connection.hpp"

#include <algorithm>

namespace fluxnet::proto::tcp {

namespace {

constexpr auto timestamp_life = std::chrono::hours(24 * 24);  // RFC 7323 section 5.5

}  // namespace

/// Whether a segment is like nearly all of them: the next one of an established connection, within the window, with nothing to
/// be said against it by the checks of receive_synchronized().
inline bool connection::is_usual(const segment& received) const noexcept {
    constexpr std::uint8_t telling = tcp_flag::syn | tcp_flag::fin | tcp_flag::rst | tcp_flag::ack;
    if (state_ != state::established || (received.flags & telling) != tcp_flag::ack) { return false; }
    if (received.sequence != received_.next()) { return false; }
    if (advertised_ - received.sequence < static_cast<std::int32_t>(received.payload.size())) { return false; }
    if (!timestamps_) { return true; }
    return received.options.timestamps && recent_valid_ &&
           static_cast<std::int32_t>(received.options.timestamp - recent_timestamp_) >= 0;
}

void connection::note_timestamp(const segment& received, time_point now) noexcept {
    if (!received.options.timestamps || received.sequence > last_acknowledged_) { return; }  // RFC 7323 section 4.3
    if (recent_valid_ && static_cast<std::int32_t>(received.options.timestamp - recent_timestamp_) < 0) {
        if (now - recent_since_ < timestamp_life) { return; }
    }
    recent_timestamp_ = received.options.timestamp;
    recent_since_ = now;
    recent_valid_ = true;
}

inline bool connection::take_data(const segment& received, std::uint64_t token, time_point now) noexcept {
    std::span<const std::byte> octets = received.payload;
    if (octets.empty()) { return false; }
    const auto room = static_cast<std::size_t>(std::max(0, advertised_ - received.sequence));
    octets = octets.first(std::min(octets.size(), room));
    const sequence_number before = received_.next();
    if (received.no_room) [[unlikely]] {
        refuse(received, octets);
        return false;
    }
    const receive_queue::outcome told = received_.insert(received.sequence, octets, token);
    if (told.duplicate) {
        ++duplicates_received_;
        if (sack_) { duplicate_ = told.duplicate; }
    }
    const auto length = static_cast<std::uint32_t>(received.payload.size());
    if (length > largest_received_) { largest_received_ = std::min<std::uint32_t>(length, options_.maximum_segment); }
    if ((told.refused | lacks_buffers_) != 0) [[unlikely]] { follow_buffers(received, told.refused); }
    if (told.advanced) {
        received_octets_ += static_cast<std::uint32_t>(received_.next() - before);
        events_.readable = true;
    }
    // Every second full segment is acknowledged at once (RFC 9293 section 3.8.6.3). With a small window each is: a segment
    // that waits for a second one would be missing from it for a round trip.
    const std::uint32_t enough = std::min(2 * largest_received_, options_.receive_limit / 16);
    const bool much = static_cast<std::uint32_t>(received_.next() - last_acknowledged_) >= enough;
    if ((told.duplicate.has_value() | told.beyond_gap | told.refused | much | (quick_acks_ != 0)) != 0) {
        if (quick_acks_ != 0) { --quick_acks_; }
        acknowledge_ = acknowledging::now;
    } else if (told.advanced && acknowledge_ == acknowledging::none) {
        acknowledge_ = acknowledging::delayed;
        acknowledge_at_ = now + options_.delayed_ack;
    }
    return told.kept;
}

void connection::refuse(const segment& received, std::span<const std::byte> octets) noexcept {
    // What is there already is told as a duplicate; the rest has to come again.
    const auto known = static_cast<std::size_t>(std::max(0, received_.next() - received.sequence));
    const receive_queue::outcome told = received_.insert(received.sequence, octets.first(std::min(octets.size(), known)), 0);
    if (told.duplicate) {
        ++duplicates_received_;
        if (sack_) { duplicate_ = told.duplicate; }
    }
    follow_buffers(received, true);
    acknowledge_ = acknowledging::now;
}

void connection::follow_buffers(const segment& received, bool refused) noexcept {
    if (refused) {
        trace(trace_point::refused_octets, received.sequence.value());
        // Octets in order found no room: what is held is what there is room for, and the window is closed until some of it
        // has been read. A peer probes a closed window for as long as that takes; into an open one that is silent it would
        // send again, ever more rarely, and end the connection at last. Beyond a gap the window says nothing: the octets of
        // the gap, for which there is room, would be kept out.
        if (received.sequence > received_.next()) { return; }
        if (!lacks_buffers_) { told_edge_ = advertised_; }
        receive_limit_ = std::min(receive_limit_, held_in_order() + received_.beyond());
    } else if (received_.next() > last_acknowledged_ && held_in_order() <= received.payload.size()) {
        // The user keeps up, and there was room: two segments more for each one.
        receive_limit_ = std::min(receive_limit_ + 2 * largest_received_, options_.receive_limit);
        acknowledge_ = acknowledging::now;
    }
    lacks_buffers_ = receive_limit_ != options_.receive_limit;
}

bool connection::receive(const segment& received, std::uint64_t token, time_point now) noexcept {
    bool kept = false;
    if (is_usual(received)) [[likely]] {
        last_heard_ = now;
        keep_alive_unanswered_ = 0;
        if (take_acknowledgment(received, now)) {
            note_timestamp(received, now);
            kept = take_data(received, token, now);
            if (received_.finished()) [[unlikely]] { take_fin(now); }  // the FIN came before what it ends
        }
        arm(now);
        return kept;
    }
    switch (state_) {
        case state::closed: return false;
        case state::syn_sent: kept = receive_in_syn_sent(received, token, now); break;
        case state::syn_received:
            if (received.has(tcp_flag::syn) && received.sequence == initial_receive_ && !received.has(tcp_flag::rst)) {
                // The SYN again: our answer was lost. Or, where both ends have opened, the SYN with its ACK (figure 7):
                // the SYN is known, and the rest of the segment counts.
                if (!received.has(tcp_flag::ack)) {
                    if (!received.payload.empty() || syns_sent_ != 0) { syn_due_ = true; }
                    break;
                }
                segment rest = received;
                rest.flags = static_cast<std::uint8_t>(rest.flags & ~tcp_flag::syn);
                rest.sequence += 1;
                acknowledge_ = acknowledging::now;
                beside_syn_ = true;
                kept = receive_synchronized(rest, token, now);
                beside_syn_ = false;
                break;
            }
            [[fallthrough]];
        default: kept = receive_synchronized(received, token, now);
    }
    arm(now);
    return kept;
}

bool connection::receive_in_syn_sent(const segment& received, std::uint64_t token, time_point now) noexcept {
    if (received.has(tcp_flag::ack) && (syns_sent_ == 0 || received.acknowledgment != initial_send_ + 1)) {
        trace(trace_point::bad_acknowledgment, received.acknowledgment.value());
        if (!received.has(tcp_flag::rst)) { reject(received); }
        return false;
    }
    if (received.has(tcp_flag::rst)) {
        if (received.has(tcp_flag::ack)) { finish(ending::refused); }
        return false;
    }
    if (!received.has(tcp_flag::syn)) { return false; }

    last_heard_ = now;
    initial_receive_ = received.sequence;
    received_.begin(initial_receive_ + 1);
    advertised_ = received_.next() + options_.syn_window();  // what our SYN has told
    last_acknowledged_ = received_.next();
    adopt_options(received.options, received.window);
    window_sequence_ = received.sequence;
    window_acknowledgment_ = received.acknowledgment;
    note_timestamp(received, now);
    if (!received.has(tcp_flag::ack)) {  // both ends have opened at once (section 3.5)
        state_ = state::syn_received;
        trace(trace_point::state_changed, static_cast<std::uint64_t>(state_));
        syn_due_ = true;
        return false;
    }
    if (syns_sent_ == 1) { rtt_.sample(now - last_sent_, now); }
    syn_due_ = false;
    establish(now);
    acknowledge_ = acknowledging::now;
    if (received.extent() == 1) { return false; }
    segment rest = received;  // data or a FIN beside the SYN
    rest.flags = static_cast<std::uint8_t>(rest.flags & ~tcp_flag::syn);
    rest.sequence += 1;
    beside_syn_ = true;
    const bool kept = receive_synchronized(rest, token, now);
    beside_syn_ = false;
    return kept;
}

bool connection::receive_synchronized(const segment& received, std::uint64_t token, time_point now) noexcept {
    if (timestamps_ && !received.has(tcp_flag::rst)) {
        // Once agreed on, every segment has timestamps (RFC 7323 section 3.2); one that is older than what was seen was
        // delayed for a whole turn of the sequence numbers, or is a duplicate (section 5). A SYN without them is no segment of
        // this connection, and its sender has to hear so (RFC 5961 section 4.2).
        if (!received.options.timestamps && !received.has(tcp_flag::syn)) {
            trace(trace_point::unacceptable, received.sequence.value());
            return false;
        }
        if (received.options.timestamps && too_old(received, now)) {
            trace(trace_point::old_timestamp, received.options.timestamp);
            answer_unacceptable(received, now);
            return false;
        }
    }
    if (!acceptable(received)) {
        // A full window still lets ACKs through (section 3.10.7.4): those of a peer that probes it, say. And a segment that
        // repeats the last of what was received, because our ACK was lost, tells what its sender has received since.
        const bool full = advertised_ == received_.next() && received.sequence == received_.next();
        const bool repeats = received.sequence + received.extent() == received_.next() && received.extent() != 0;
        if ((full || repeats) && received.has(tcp_flag::ack) && !received.has(tcp_flag::rst | tcp_flag::syn) &&
            state_ != state::syn_received) {
            last_heard_ = now;
            keep_alive_unanswered_ = 0;
            (void)take_acknowledgment(received, now);
        }
        if (!ended()) { answer_unacceptable(received, now); }
        return false;
    }
    if (received.has(tcp_flag::rst)) {
        if (received.sequence == received_.next()) {
            reset_received();
        } else {
            challenge(now);  // RFC 5961 section 3.2
        }
        return false;
    }
    if (received.has(tcp_flag::syn)) {
        challenge(now);  // RFC 5961 section 4.2
        return false;
    }
    if (!received.has(tcp_flag::ack)) { return false; }
    last_heard_ = now;
    keep_alive_unanswered_ = 0;
    if (state_ == state::syn_received) {
        if (syns_sent_ == 0 || received.acknowledgment != queue_.next()) {  // nothing but the SYN was sent, if that
            reject(received);
            return false;
        }
        if (syns_sent_ == 1) { rtt_.sample(now - last_sent_, now); }
        syn_due_ = false;
        establish(now);
        window_sequence_ = received.sequence - 1U;  // so that this segment's window, which is scaled, is taken
    }
    if (!take_acknowledgment(received, now)) { return false; }
    note_timestamp(received, now);  // not from a segment whose ACK is nonsense: a forged one would make all others old
    if (ended() || state_ == state::time_wait) { return false; }

    const bool open = state_ == state::established || state_ == state::fin_wait_1 || state_ == state::fin_wait_2;
    if (!open) { return false; }  // the peer has ended its direction: nothing follows
    const sequence_number end = received.sequence + static_cast<std::uint32_t>(received.payload.size());
    if (closed_by_user_ && end > received_.next() && received.extent() != 0) {
        // Nobody will read it, and the peer should know (section 3.6.1).
        reset_due_ = true;
        reset_sequence_ = acceptable_number();
        finish(ending::aborted);
        return false;
    }
    const bool kept = take_data(received, token, now);
    if (received.has(tcp_flag::fin) && end <= advertised_ && end >= received_.next() && !received_.has_fin()) {
        // With octets missing before it, it is remembered; with some of its own octets refused, it comes again.
        if (received_.next() == end || received_.beyond() != 0 || received.payload.empty()) { received_.finish(end); }
        acknowledge_ = acknowledging::now;
    }
    if (received_.finished()) { take_fin(now); }
    return kept;
}

bool connection::acceptable(const segment& received) const noexcept {
    const sequence_number next = received_.next();
    // Of a reset the number alone counts (RFC 5961 section 3.2).
    const std::uint32_t extent = received.has(tcp_flag::rst) ? 0 : received.extent();
    if (extent == 0) {
        // An ACK from a peer that has filled the window has the number behind it, and counts. A reset must be within.
        const bool at_edge = received.sequence == advertised_ && !received.has(tcp_flag::rst);
        return received.sequence == next || at_edge || (received.sequence >= next && received.sequence < advertised_);
    }
    if (advertised_ <= next) { return false; }
    const sequence_number last = received.sequence + (extent - 1);
    return (received.sequence >= next && received.sequence < advertised_) || (last >= next && last < advertised_) ||
           (received.sequence < next && last >= advertised_);
}

bool connection::too_old(const segment& received, time_point now) const noexcept {
    return recent_valid_ && static_cast<std::int32_t>(received.options.timestamp - recent_timestamp_) < 0 &&
           now - recent_since_ < timestamp_life;
}

void connection::answer_unacceptable(const segment& received, time_point now) noexcept {
    trace(trace_point::unacceptable, received.sequence.value());
    if (received.has(tcp_flag::rst)) { return; }
    if (received.extent() == 0 || received.has(tcp_flag::syn)) {
        // Only so many: two ends that answer each other's answers would never stop, and a SYN is answered in this way
        // wherever it is (RFC 5961 section 4.2).
        challenge(now);
        return;
    }
    if (received.sequence < received_.next()) {
        ++duplicates_received_;
        if (sack_ && !received.payload.empty()) {
            const sequence_number end = received.sequence + static_cast<std::uint32_t>(received.payload.size());
            const sequence_number known = end < received_.next() ? end : received_.next();
            duplicate_ = sack_block{received.sequence.value(), known.value()};
        }
    }
    if (state_ == state::time_wait && received.has(tcp_flag::fin)) { life_ends_ = now + options_.time_wait; }
    acknowledge_ = acknowledging::now;
}

void connection::challenge(time_point now) noexcept {
    if (last_challenge_ != time_point{} && now - last_challenge_ < options_.challenge_interval) { return; }
    last_challenge_ = now;
    ++challenges_;
    trace(trace_point::challenged);
    acknowledge_ = acknowledging::now;
}

void connection::reset_received() noexcept {
    switch (state_) {
        case state::time_wait: return;  // RFC 1337: it must not be ended by an old reset
        case state::closing:
        case state::last_ack:  // both have agreed to end, unless there is data that the peer had to take before
            return finish(queue_.size() > 1 ? ending::reset : ending::closed);
        case state::syn_received:
            if (!passive_) { return finish(ending::refused); }
            [[fallthrough]];
        default: finish(ending::reset);
    }
}

void connection::reject(const segment& received) noexcept {
    reject_due_ = true;
    rejected_ = received.acknowledgment;
}

void connection::take_fin(time_point now) noexcept {
    switch (state_) {
        case state::established: state_ = state::close_wait; break;
        case state::fin_wait_1:
            // An ACK of our FIN would have led to FIN-WAIT-2 already.
            state_ = state::closing;
            break;
        case state::fin_wait_2: enter_time_wait(now); break;
        default: return;
    }
    if (state_ != state::time_wait) { trace(trace_point::state_changed, static_cast<std::uint64_t>(state_)); }
    acknowledge_ = acknowledging::now;
    events_.readable = true;
}

}  // namespace fluxnet::proto::tcp
