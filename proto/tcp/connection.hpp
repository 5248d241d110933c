// SPDX-License-Identifier: BSD-3-Clause
// `connection`: one TCP connection without I/O. Segments, calls of the user and the time go in; segments, events and the
// next deadline come out.
//
//     connection c(memory, options, {isn, timestamp_offset});
//     c.connect(now);
//     for (tcp::outgoing out; c.next_segment(out, now);) { send(out); }   // after each call: the SYN
//     const bool kept = c.receive(segment, token, now);                    // the SYN and ACK of the peer
//     c.write(octets, now);
//     if (c.deadline() <= now) { c.on_deadline(now); }
//
// Who owns what: the connection owns the ranges and buffers of its queues and gives them back to `memory` when they are
// acknowledged or read, and all of them when it is destroyed. It allocates nothing itself.
//
// Threads: one at a time uses a connection, and those that share its memory.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/connection_info.hpp"
#include "fluxnet/proto/tcp/connection_options.hpp"
#include "fluxnet/proto/tcp/congestion_control.hpp"
#include "fluxnet/proto/tcp/rack.hpp"
#include "fluxnet/proto/tcp/range.hpp"
#include "fluxnet/proto/tcp/receive_queue.hpp"
#include "fluxnet/proto/tcp/rtt_estimator.hpp"
#include "fluxnet/proto/tcp/segment.hpp"
#include "fluxnet/proto/tcp/send_queue.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"
#include "fluxnet/proto/tcp/tail_loss_probe.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace fluxnet::proto::tcp {

/// What makes a connection unlike others that had its addresses and ports.
struct connection_secrets {
    sequence_number initial;             ///< RFC 6528.
    std::uint32_t timestamp_offset = 0;  ///< Added to the clock of its timestamps (RFC 7323 section 5.4).
};

/// A connection: the transmission control block of RFC 9293 section 3.3.1 and what it does.
///
/// After each call that is not const the caller takes the segments that next_segment() gives until it gives none, or as
/// many as it can send now, and asks for the deadline. While data, a SYN or a FIN is unacknowledged there is a deadline.
///
/// Endings: see `ending`. What the user has not read when a connection ends by a reset or a time-out can still be read.
class FLUXNET_EXPORT connection {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using nanoseconds = std::chrono::nanoseconds;

    /// A peer that asks for a larger window scale gets this one (RFC 7323 section 2.3).
    static constexpr std::uint8_t most_window_scale = 14;

    /// Both outlive the connection.
    connection(memory& of, const connection_options& options, connection_secrets secrets) noexcept;
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // How it begins; one of these, once.

    /// Sends a SYN (RFC 9293 section 3.10.1, active OPEN).
    void connect(time_point now) noexcept;
    /// Answers a SYN that has come to a listener (section 3.10.7.2). What the SYN carries besides is left to be sent again.
    void accept(const segment& syn, time_point now) noexcept;
    /// Begins with the ACK that ends a handshake whose SYN and SYN-ACK were not kept: `agreed` are the options that the SYN
    /// had (RFC 4987 section 3.6). The caller has checked the cookie, and hands the ACK to receive() next.
    void accept_cookie(const segment& ack, const tcp_options& agreed, time_point now) noexcept;

    // What the network says.

    /// Takes a segment. `token` is that of the buffer that the payload lies in; true is returned when the connection keeps
    /// it, and then gives it back to the buffer source. Any segment may be given: nothing is assumed about it but that its
    /// ports and addresses are those of the connection.
    [[nodiscard]] bool receive(const segment& received, std::uint64_t token, time_point now) noexcept;

    /// Takes an ICMP message about a segment that this end has sent, whose sequence number the message quotes (RFC 5927).
    void on_unreachable(sequence_number quoted, bool hard, time_point now) noexcept;
    /// The path has room for segments of at most `segment` octets of data (RFC 1191, RFC 8201). The caller has applied the
    /// lower bounds of path MTUs.
    void on_too_big(sequence_number quoted, std::uint16_t segment, time_point now) noexcept;

    // What the user says.

    /// Takes octets to be sent and returns how many: fewer when the send limit is reached or no buffer is left. 0 after
    /// shutdown_write() and at the end.
    [[nodiscard]] std::size_t write(std::span<const std::byte> octets, time_point now) noexcept {
        if (ended() || shut_ || octets.empty()) { return 0; }
        end_pause(now);
        const std::size_t taken = queue_.append(octets, congestion_.mss(), options_.send_limit);
        // What arm() does for the first octets in an empty queue; with others a timer runs.
        if (timer_ == timer::none && taken != 0 && synchronized()) { restart(timer::persist, now + rtt_.rto()); }
        return taken;
    }
    /// Takes a buffer whose first `length` octets are to be sent, without copying. False: not taken, as with write().
    [[nodiscard]] bool write_buffer(const buffer& from, std::uint32_t length, time_point now) noexcept;
    /// How many octets write() would take if there were buffers.
    [[nodiscard]] std::size_t writable() const noexcept;
    /// Copies received octets out, and returns how many. Opens the window.
    [[nodiscard]] std::size_t read(std::span<std::byte> into, time_point /*now*/) noexcept {
        const std::size_t taken = received_.read(into);
        if (taken != 0 && !ended()) { announce_window(); }
        return taken;
    }
    /// Lends received octets without copying: see receive_queue::lend(). The window opens when they are returned.
    [[nodiscard]] std::optional<lent_range> lend(std::span<std::byte, 8> into) noexcept { return received_.lend(into); }
    /// Notes that octets that were lent have been given back.
    void returned(std::uint32_t octets, time_point now) noexcept;
    /// Ends this end's direction behind what was written (section 3.6, half-close). Reading goes on.
    void shutdown_write(time_point now) noexcept;
    /// Ends both directions: what was written is still sent. Where received octets were not read, or come later, the peer
    /// is told by a reset (section 3.6.1).
    void close(time_point now) noexcept;
    /// Ends the connection at once, with a reset.
    void abort(time_point now) noexcept;
    /// Sends every segment at once (section 3.7.4: Nagle's algorithm off).
    void set_no_delay(bool on, time_point now) noexcept;
    /// Switches the probes of an idle connection on or off (RFC 9293 section 3.8.4).
    void set_keep_alive(bool on, time_point now) noexcept;

    // What comes out.

    /// Gives the next segment to be sent now; false when there is none. It counts as sent at once.
    [[nodiscard]] bool next_segment(outgoing& out, time_point now) noexcept;
    /// When on_deadline() is due; time_point::max() when nothing waits for time.
    [[nodiscard]] time_point deadline() const noexcept {
        return std::min(std::min(timer_at_, acknowledge_at_), std::min(keep_alive_at_, life_ends_));
    }
    /// Does what is due. May be called early.
    void on_deadline(time_point now) noexcept;
    /// What has happened since the last call.
    [[nodiscard]] events take_events() noexcept { return std::exchange(events_, events{}); }

    /// The state that it is in.
    [[nodiscard]] tcp::state state() const noexcept { return state_; }
    /// How it ended; `none` while it has not.
    [[nodiscard]] tcp::ending ending() const noexcept { return ending_; }
    /// Octets that read() would give.
    [[nodiscard]] std::uint32_t readable() const noexcept { return received_.readable(); }
    /// Whether the peer has ended its direction and everything before was received.
    [[nodiscard]] bool peer_finished() const noexcept { return received_.finished(); }
    /// What it knows now, as a snapshot.
    [[nodiscard]] connection_info info() const noexcept;

    // What the stack needs that a connection belongs to.

    /// Lets no segment have more than `octets` octets of data, without options: the path is narrower than the link. Before
    /// the connection begins.
    void limit_segment(std::uint16_t octets) noexcept;
    /// Ends a connection in TIME-WAIT as closed, because the caller keeps what is left of it elsewhere.
    void leave_time_wait() noexcept { finish(ending::closed); }
    /// Whether this end has sent a segment with that number which is not acknowledged (RFC 5927 section 4.1).
    [[nodiscard]] bool has_outstanding(sequence_number quoted) const noexcept;
    /// Whether an ACK is due that tells of a gap or a duplicate: each of them counts for the peer, so that they are not to be
    /// merged.
    [[nodiscard]] bool owes_duplicate() const noexcept {
        return acknowledge_ == acknowledging::now && (duplicate_ || received_.has_gap());
    }
    /// Whether there are octets, or a FIN, that the peer has not acknowledged.
    [[nodiscard]] bool has_unacknowledged() const noexcept { return !queue_.empty(); }
    /// Whether it ended with octets that the peer had not acknowledged.
    [[nodiscard]] bool ended_short() const noexcept { return ended_short_; }
    /// Whether next_segment() would surely give nothing: nothing that it looks at is due. Told without looking at windows.
    [[nodiscard]] bool is_quiet() const noexcept {
        const bool due = (tail_due_ | front_due_ | syn_due_ | reset_due_ | probe_due_ | reject_due_) != 0;
        return acknowledge_ != acknowledging::now && queue_.unsent() == nullptr && queue_.lost_octets() == 0 && !due;
    }
    /// The window scale that a connection with these options offers.
    [[nodiscard]] static std::uint8_t offered_scale(const connection_options& options) noexcept;
    /// The clock of timestamps, without a connection's offset.
    [[nodiscard]] static std::uint32_t timestamp_clock(time_point now) noexcept {
        const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
        return static_cast<std::uint32_t>(since);
    }
    /// The number of the next octet to be sent for the first time (SND.NXT).
    [[nodiscard]] sequence_number send_next() const noexcept { return queue_.next(); }
    /// The most octets of data in a segment that is sent now.
    [[nodiscard]] std::uint32_t segment_size() const noexcept { return congestion_.mss(); }
    /// The number of the first octet that the peer has not acknowledged (SND.UNA).
    [[nodiscard]] sequence_number send_first() const noexcept { return queue_.first(); }
    /// The number of the next octet that the peer is to send (RCV.NXT).
    [[nodiscard]] sequence_number receive_next() const noexcept { return received_.next(); }
    /// Whether both ends have agreed on timestamps (RFC 7323).
    [[nodiscard]] bool uses_timestamps() const noexcept { return timestamps_; }
    /// The timestamp of the peer that is echoed (TS.Recent).
    [[nodiscard]] std::uint32_t recent_timestamp() const noexcept { return recent_timestamp_; }
    /// What is added to the clock in the timestamps that are sent.
    [[nodiscard]] std::uint32_t timestamp_offset() const noexcept { return timestamp_offset_; }

    /// Switches the decision trace on; null switches it off. The sink outlives the connection.
    void trace_to(trace_sink* sink) noexcept { trace_ = sink; }

private:
    enum class timer : std::uint8_t { none, retransmit, tail_probe, reordering, persist };
    enum class acknowledging : std::uint8_t { none, delayed, now };
    // `repair`: something is sent again that no congestion has lost.
    enum class recovering : std::uint8_t { no, loss_episode, after_timeout, repair };

    // connection.cpp: beginning, end and the user's calls.
    void adopt_options(const tcp_options& options, std::uint16_t window) noexcept;
    void establish(time_point now) noexcept;
    void finish(tcp::ending how) noexcept;
    void enter_time_wait(time_point now) noexcept;
    void set_segment(std::uint32_t octets) noexcept;
    void end_pause(time_point now) noexcept {
        if (synchronized() && queue_.size() == 0 && last_sent_ != time_point{}) {
            congestion_.on_idle(now - last_sent_, rtt_.rto());
        }
    }

    // connection_receive.cpp: segment arrives (RFC 9293 section 3.10.7).
    [[nodiscard]] bool receive_in_syn_sent(const segment& received, std::uint64_t token, time_point now) noexcept;
    [[nodiscard]] bool is_usual(const segment& received) const noexcept;
    [[nodiscard]] bool receive_synchronized(const segment& received, std::uint64_t token, time_point now) noexcept;
    [[nodiscard]] bool acceptable(const segment& received) const noexcept;
    [[nodiscard]] bool too_old(const segment& received, time_point now) const noexcept;
    [[nodiscard]] bool take_data(const segment& received, std::uint64_t token, time_point now) noexcept;
    void refuse(const segment& received, std::span<const std::byte> octets) noexcept;
    void follow_buffers(const segment& received, bool refused) noexcept;
    void answer_unacceptable(const segment& received, time_point now) noexcept;
    void challenge(time_point now) noexcept;
    void reset_received() noexcept;
    void reject(const segment& received) noexcept;
    void note_timestamp(const segment& received, time_point now) noexcept;
    void take_fin(time_point now) noexcept;

    // connection_acknowledged.cpp: what an acknowledgment tells, and losses.
    [[nodiscard]] bool take_acknowledgment(const segment& received, time_point now) noexcept;
    [[nodiscard]] bool take_usual_acknowledgment(const segment& received, time_point now) noexcept;
    void take_sacks(const segment& received, delivery& told) noexcept;
    void take_window(const segment& received, bool advanced) noexcept;
    void window_opened(bool advanced) noexcept;
    void measure(const segment& received, const delivery& told, time_point now) noexcept;
    [[nodiscard]] std::uint32_t count_duplicate(const segment& received, sequence_number before,
                                                const delivery& told) noexcept;
    void detect_losses(time_point now) noexcept;
    void enter_recovery(time_point now) noexcept;
    void leave_recovery() noexcept;
    [[nodiscard]] bool was_spurious(const segment& received) const noexcept;
    void take_progress(sequence_number number, delivery& told) noexcept;
    void take_back() noexcept;
    void tell_congestion(const delivery& told, std::uint32_t delivered, std::uint32_t in_flight, time_point now) noexcept;
    void end_tail_probe(const segment& received, sequence_number before, bool window_changed, time_point now) noexcept;
    void note_delivery(const segment& received, const delivery& told, time_point now) noexcept;
    void tell_rack(const segment& received, const delivery& told, time_point now) noexcept;
    void after_fin_acknowledged(time_point now) noexcept;

    // connection_send.cpp: what is sent when.
    [[nodiscard]] range* next_due() noexcept;
    [[nodiscard]] range* next_range() noexcept;
    [[nodiscard]] range* fit(range& one) noexcept;
    [[nodiscard]] range* fit_part(range& one, std::int32_t room) noexcept;
    [[nodiscard]] range* cut(range& one, std::uint32_t octets) noexcept;
    [[nodiscard]] bool holds_back(const range& one) const noexcept;
    void emit_range(range& one, outgoing& out, time_point now) noexcept;
    void emit_syn(outgoing& out, time_point now) noexcept;
    void emit_reset(outgoing& out) noexcept;
    void emit_plain(outgoing& out, sequence_number sequence, time_point now) noexcept;
    void fill_header(outgoing& out, time_point now) noexcept;
    [[nodiscard]] std::uint16_t advertise() noexcept;
    [[nodiscard]] std::uint16_t advertise_less(std::uint32_t free) noexcept;
    [[nodiscard]] std::uint32_t held_in_order() const noexcept { return received_.readable() + received_.lent(); }
    [[nodiscard]] std::uint32_t free_room() const noexcept {
        return receive_limit_ - std::min(receive_limit_, held_in_order());
    }
    /// The right edge of the window that the peer was told last.
    [[nodiscard]] sequence_number last_edge() const noexcept { return lacks_buffers_ ? told_edge_ : advertised_; }
    [[nodiscard]] std::int32_t window_room(const range& one) const noexcept {
        return queue_.first() + send_window_ - one.first;
    }
    [[nodiscard]] bool window_closed() const noexcept {
        const range* const front = queue_.front();
        if (front == nullptr || send_window_ >= front->length + (front->length == 0 ? 1U : 0U)) [[likely]] { return false; }
        // As was_in_window() says.
        return front->where == range::place::unsent || send_window_ == 0 ||
               front->extent() - send_window_ >= std::uint32_t{1} << send_scale_ || front->end() > window_edge_;
    }
    [[nodiscard]] bool was_in_window(const range& one) const noexcept;
    [[nodiscard]] std::uint32_t outstanding() const noexcept;
    [[nodiscard]] sequence_number acceptable_number() const noexcept;
    void announce_window() noexcept {
        const std::uint32_t free = std::min(free_room(), 0xffffU << receive_scale_);  // more cannot be told
        const std::int32_t gain = received_.next() + free - last_edge();
        const std::uint32_t worth = std::min(options_.receive_limit / 2, 2 * largest_received_);
        if (gain >= static_cast<std::int32_t>(worth) && synchronized() && !received_.finished()) {
            acknowledge_ = acknowledging::now;
        }
    }

    // connection_timers.cpp
    void arm(time_point now) noexcept {
        // Mostly it runs, or there is nothing to wait for.
        const bool persists = timer_ == timer::persist;
        const bool rests = timer_ == timer::none;
        const bool idle = queue_.next() == queue_.first();
        if (idle ? (queue_.empty() ? rests : persists) : !rests && !persists) { return; }
        arm_timer(now);
    }
    void arm_timer(time_point now) noexcept;
    void restart(timer what, time_point at) noexcept { timer_ = what; timer_at_ = at; }
    void on_retransmit_timeout(time_point now) noexcept;
    void on_tail_probe(time_point now) noexcept;
    void on_persist(time_point now) noexcept;
    void on_keep_alive(time_point now) noexcept;
    [[nodiscard]] bool gives_up(time_point now, nanoseconds after) noexcept;
    void probe_black_hole() noexcept;

    [[nodiscard]] std::uint32_t clock(time_point now) const noexcept { return timestamp_clock(now) + timestamp_offset_; }
    [[nodiscard]] std::uint8_t own_scale() const noexcept { return offered_scale(options_); }
    [[nodiscard]] bool synchronized() const noexcept { return state_ >= tcp::state::established; }
    [[nodiscard]] bool ended() const noexcept { return state_ == tcp::state::closed; }
    [[nodiscard]] sequence_number unacknowledged() const noexcept { return queue_.first(); }
    void trace(trace_point what, std::uint64_t value = 0) noexcept {
        if (trace_ != nullptr) [[unlikely]] { tell_trace(what, value); }
    }
    void tell_trace(trace_point what, std::uint64_t value) noexcept;

    const connection_options& options_;
    send_queue queue_;
    receive_queue received_;
    congestion_control congestion_;
    rtt_estimator rtt_;
    rack_state rack_;
    tail_loss_probe probe_;
    trace_sink* trace_ = nullptr;

    // Times; time_point::max(): none.
    time_point timer_at_ = time_point::max();
    time_point acknowledge_at_ = time_point::max();
    time_point keep_alive_at_ = time_point::max();
    time_point life_ends_ = time_point::max();  // of TIME-WAIT, or of FIN-WAIT-2 when nobody reads any more
    time_point unanswered_since_{};             // since when the timer has expired without an answer; 0: it has not
    time_point last_sent_{};                    // data
    time_point last_heard_{};
    time_point last_challenge_{};
    time_point recent_since_{};  // when recent_timestamp_ was noted

    // The sender (RFC 9293 section 3.3.1). SND.UNA and SND.NXT are those of the queue, but for the SYN.
    sequence_number initial_send_;
    sequence_number window_sequence_;       // SND.WL1
    sequence_number window_acknowledgment_; // SND.WL2
    sequence_number window_edge_;           // the furthest right edge that the peer has told
    sequence_number recovery_point_;        // what was sent when the recovery began
    std::uint32_t send_window_ = 0;
    std::uint32_t largest_send_window_ = 0;
    std::uint32_t acknowledged_octets_ = 0;  // by the peer, the FIN included; from 2^30 on it stays about there
    std::uint32_t segment_;  // the most data a segment may have now, without options
    std::uint32_t recovery_stamp_ = 0;  // the clock when the first segment was sent again; for RFC 4015
    std::uint32_t timestamp_offset_;

    // The receiver.
    sequence_number initial_receive_;
    sequence_number advertised_;         // the furthest right edge of the window that the peer was told
    sequence_number told_edge_;          // the right edge that it was told last; only while lacks_buffers_
    sequence_number last_acknowledged_;  // Last.ACK.sent (RFC 7323 section 4.3)
    std::uint32_t recent_timestamp_ = 0;
    std::uint32_t receive_limit_;  // options_.receive_limit, or less: what there were buffers for
    sequence_number duplicate_told_;  // the right edge of the D-SACK in the segment at hand; only while told_duplicate_
    std::uint32_t largest_received_;  // the largest segment seen: what counts as a full one
    std::optional<sack_block> duplicate_;          // the D-SACK block that is due (RFC 2883)
    sequence_number rejected_;  // the number of the reset that is due for a segment that was none of ours
    sequence_number reset_sequence_;               // of our own reset

    // Counters.
    std::uint64_t sent_octets_ = 0;
    std::uint64_t received_octets_ = 0;
    std::uint32_t resent_ = 0;
    std::uint32_t timeouts_ = 0;
    std::uint32_t fast_recoveries_ = 0;
    std::uint32_t tail_probes_ = 0;
    std::uint32_t spurious_ = 0;
    std::uint32_t duplicates_received_ = 0;
    std::uint32_t challenges_ = 0;

    tcp::state state_ = tcp::state::closed;
    tcp::ending ending_ = tcp::ending::none;
    timer timer_ = timer::none;
    acknowledging acknowledge_ = acknowledging::none;
    recovering recovering_ = recovering::no;
    events events_{};
    std::uint8_t send_scale_ = 0;
    std::uint8_t receive_scale_ = 0;
    std::uint8_t duplicate_acks_ = 0;
    std::uint8_t quick_acks_;
    std::uint8_t keep_alive_unanswered_ = 0;
    std::uint8_t syns_sent_ = 0;
    std::uint8_t silent_timeouts_ = 0;  // in a row, with nothing acknowledged between them
    // What next_segment() looks at each time: octets, which take fewer instructions than bits.
    bool syn_due_ = false;
    bool reset_due_ = false;
    bool reject_due_ = false;
    bool probe_due_ = false;        // a segment without data that asks for an answer
    bool force_one_ = false;        // one range goes out whatever the windows say
    bool front_due_ = false;        // the octet that probed a closed window goes again, for the window has opened
    bool tail_due_ = false;         // a tail probe is
    // And the rest.
    bool passive_ : 1 = false;
    bool scaling_ : 1 = false;
    bool timestamps_ : 1 = false;
    bool sack_ : 1 = false;
    bool recent_valid_ : 1 = false;
    bool no_delay_ : 1 = false;
    bool keep_alive_ : 1 = false;
    bool closed_by_user_ : 1 = false;   // nobody reads any more
    bool shut_ : 1 = false;             // the user has ended this end's direction
    bool fin_acknowledged_ : 1 = false;
    bool syn_lost_ : 1 = false;         // the timer has sent it again
    bool beside_syn_ : 1 = false;       // the segment at hand came with a SYN: its window is not scaled
    bool stamped_ : 1 = false;          // recovery_stamp_ means something
    // Nothing behind recovery_point_ was acknowledged yet: what was sent again needlessly draws duplicate ACKs, which tell of
    // no loss (RFC 6582 section 3.2 step 2).
    bool repeats_expected_ : 1 = false;
    bool told_duplicate_ : 1 = false;   // the segment at hand has a D-SACK
    bool lacks_buffers_ : 1 = false;    // receive_limit_ is less than that of the options
    bool ended_short_ : 1 = false;      // octets were left when it ended
    bool limited_ : 1 = false;          // the congestion window held data back since the last acknowledgment
};

}  // namespace fluxnet::proto::tcp
