// SPDX-License-Identifier: BSD-3-Clause
// `stack`: all TCP connections of a host, without I/O: segments, calls of the user and the time go in; segments, events and
// the next deadline come out.
//
//     tcp::stack stack({}, buffers, secrets, now);                        // 32 random octets
//     const auto door = *stack.listen({.port = 80});
//     const auto got = stack.receive(source, destination, segment, token, now);   // the buffer is the stack's if got.kept
//     for (tcp::listener_handle at; stack.next_acceptable(at);) { auto one = stack.accept(at); ... }
//     for (tcp::connection_event what; stack.next_event(what);) { stack.read(what.connection, into, now); ... }
//     for (tcp::stack_segment out; stack.next(out, now);) { send(out); }
//     if (stack.deadline() <= now) { stack.advance(now); }
//
// After each call that is not const the caller takes the segments that next() gives until there are none, or as many as can
// be sent now. A connection that is over is put away when next() has found nothing more to be sent for it.
//
// The stack owns its connections and what they hold; all its memory is allocated when it is made. Its options, the buffer
// source and the segment limits outlive it. Threads: one at a time uses a stack.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/tcp/connection_table.hpp"
#include "fluxnet/proto/tcp/detail/answer_limiter.hpp"
#include "fluxnet/proto/tcp/detail/counted_buffers.hpp"
#include "fluxnet/proto/tcp/detail/hook_list.hpp"
#include "fluxnet/proto/tcp/detail/slot.hpp"
#include "fluxnet/proto/tcp/isn_generator.hpp"
#include "fluxnet/proto/tcp/listener.hpp"
#include "fluxnet/proto/tcp/port_chooser.hpp"
#include "fluxnet/proto/tcp/range.hpp"
#include "fluxnet/proto/tcp/segment.hpp"
#include "fluxnet/proto/tcp/stack_options.hpp"
#include "fluxnet/proto/tcp/syn_cookie.hpp"
#include "fluxnet/proto/tcp/time_wait_table.hpp"
#include "fluxnet/proto/tcp/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto::tcp {

/// Whether somebody has checked the checksum of a segment already: the network card, say.
enum class checksum_state : std::uint8_t { unchecked, right };

/// The connections of one host.
///
/// A connection is found by its name, then among those in TIME-WAIT, then a listener takes it, and what nobody takes is
/// answered by a reset. A connection that enters TIME-WAIT leaves its place at once: the user is told that it has ended, may
/// read what is left, and release() frees the place.
class FLUXNET_EXPORT stack {
    using slot = detail::slot;
    using slot_role = detail::slot_role;

public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Makes a stack. `secrets`: at least 32 random octets, from which the keys of all hashes are derived; they are not
    /// kept. Allocates.
    stack(const stack_options& options, buffer_source& buffers, std::span<const std::byte> secrets, time_point start);
    stack(const stack&) = delete;
    stack& operator=(const stack&) = delete;
    /// Gives all buffers back. No peer is told.
    ~stack();

    /// Says who knows what paths have room for; null: the options tell all.
    void use_limits(segment_limits* limits) noexcept { limits_ = limits; }

    // What the network says.

    /// Takes the payload of an IP packet, whose addresses the caller has looked at as far as IP goes: the destination is
    /// this host's and no broadcast address of its network. `token` is that of the buffer that the octets lie in.
    arrival receive(const ip_address& source, const ip_address& destination, std::span<const std::byte> octets,
                    std::uint64_t token, time_point now, checksum_state checked = checksum_state::unchecked) noexcept;

    /// From now on segments that are for no connection and no listener of the stack's are left to the caller, who knows of
    /// others that they may be for: receive() says so. A reset is due if they are for nobody (RFC 9293 section 3.10.7.1).
    void leave_strangers() noexcept { leaves_strangers_ = true; }
    /// Answers such a segment, the last one that receive() was given, as if it had not been left.
    void answer_stranger(const ip_address& source, const ip_address& destination, std::span<const std::byte> octets,
                         time_point now) noexcept;

    /// Takes an ICMP error about a segment that this host has sent: the quoted name, as this host sees it, and sequence
    /// number. True when the segment is on its way: others are not to be believed (RFC 5927 section 4.1). `hard`: nothing
    /// will ever reach the peer (RFC 1122 section 4.2.3.9).
    bool on_icmp_error(const four_tuple& name, sequence_number quoted, bool hard, time_point now) noexcept;
    /// Takes the MTU of a path's narrowest part, from an ICMP error. An MTU below 552 octets over IPv4 or 1,280 over IPv6
    /// counts as that. Returns the same as on_icmp_error().
    bool on_packet_too_big(const four_tuple& name, sequence_number quoted, std::uint32_t mtu, time_point now) noexcept;

    // What goes out.

    /// Gives the next segment that is to be sent; false when there is none. Connections take turns, one segment each. The
    /// payload stays in place until the next call for its connection; the connection keeps it until it is acknowledged.
    [[nodiscard]] bool next(stack_segment& out, time_point now) noexcept {
        return may_have_next() && next_of_some(out, now);
    }
    /// Whether next() may have something to give.
    [[nodiscard]] bool may_have_next() const noexcept { return answer_count_ != 0 || !ready_.empty(); }
    /// Gives the acknowledgment that the last segment received needs at once, because it told a gap or a duplicate (RFC 5681
    /// section 4.2): peers count these, so that the caller takes it before it hands the next segment in.
    [[nodiscard]] bool next_immediate(stack_segment& out, time_point now) noexcept;

    /// Has the connections count in deadline() for which next() has more to give: nothing can be sent for now. A step for each
    /// of them.
    void arm_ready() noexcept;

    /// When advance() is due; nothing when no connection waits for time. Connections for which next() has more to give do
    /// not count, but see arm_ready().
    [[nodiscard]] std::optional<time_point> deadline() const noexcept;
    /// Does what is due. May be called early.
    void advance(time_point now) noexcept {
        if (wheel_.begin(now)) { advance_wheel(now); }
        if (time_wait_.size() != 0) { time_wait_.expire(now); }
        if (!orphans_.empty()) { end_orphans(now); }
    }

    // Listeners.

    /// Begins to take connections to a port; the error tells why it cannot.
    [[nodiscard]] stack_result<listener_handle> listen(const listen_options& wanted) noexcept;
    /// Closes a listener, and resets what was not accepted.
    void close_listener(listener_handle which, time_point now) noexcept;
    /// Gives a connection that waits, the first one first; nothing when none does.
    [[nodiscard]] std::optional<connection_handle> accept(listener_handle from) noexcept;
    /// Gives a listener at which a connection has arrived since it was last given.
    [[nodiscard]] bool next_acceptable(listener_handle& at) noexcept {
        return !acceptable_.empty() && take_acceptable(at);
    }

    // Connections.

    /// Opens a connection. The event `connected` or `ended` tells what became of it.
    [[nodiscard]] stack_result<connection_handle> connect(const ip_address& local, const ip_endpoint& remote, time_point now,
                                                          const connect_options& wanted = {}) noexcept;
    /// Parts from a connection: the handle names nothing any more.
    void release(connection_handle which, leaving how, time_point now) noexcept;
    /// Gives the next connection to which something has happened; false when there is none. Only connections with events
    /// cost anything.
    [[nodiscard]] bool next_event(connection_event& what) noexcept {
        slot* const one = news_.front();
        if (one == nullptr) { return false; }
        news_.remove(*one);
        what = {handle_of(*one), one->user, one->pending};
        one->pending = {};
        return true;
    }
    /// Whether next_event() or next_acceptable() has something to give.
    [[nodiscard]] bool has_news() const noexcept { return !news_.empty() || !acceptable_.empty(); }
    /// Sets what events of a connection give back.
    void set_user(connection_handle which, std::uint64_t user) noexcept;

    // As those of `connection`. With a handle that names nothing they do nothing.

    /// Takes octets to be sent, and returns how many.
    [[nodiscard]] std::size_t write(connection_handle to, std::span<const std::byte> octets, time_point now) noexcept;
    /// Takes a buffer whose first `length` octets are to be sent, without copying; false when it was not taken.
    [[nodiscard]] bool write_buffer(connection_handle to, const buffer& from, std::uint32_t length, time_point now) noexcept;
    /// Copies received octets out, and returns how many. Opens the window.
    [[nodiscard]] std::size_t read(connection_handle from, std::span<std::byte> into, time_point now) noexcept;
    /// Lends received octets without copying; the window opens when they are returned.
    [[nodiscard]] std::optional<lent_range> lend(connection_handle from, std::span<std::byte, 8> into) noexcept;
    /// Notes that octets that were lent have been given back.
    void returned(connection_handle to, std::uint32_t octets, time_point now) noexcept;
    /// Ends this end's direction behind what was written. Reading goes on.
    void shutdown_write(connection_handle which, time_point now) noexcept;
    /// Ends the connection at once, with a reset.
    void abort(connection_handle which, time_point now) noexcept;
    /// Ends all connections at once, with resets: also those that wait to be accepted. Of those that the user has released in
    /// order, the ones stay that have sent all that was written.
    void abort_all(time_point now) noexcept;
    /// The same, but of those that the user has released all stay.
    void abort_unreleased(time_point now) noexcept;
    /// Sends every segment at once, or not: Nagle's algorithm.
    void set_no_delay(connection_handle which, bool on, time_point now) noexcept;
    /// Switches the probes of an idle connection on or off.
    void set_keep_alive(connection_handle which, bool on, time_point now) noexcept;
    /// Switches the decision trace on; null switches it off. The sink outlives the connection.
    void trace_to(connection_handle which, trace_sink* sink) noexcept;
    /// The connection itself, for what it tells; null when the handle names nothing.
    [[nodiscard]] const connection* find(connection_handle which) const noexcept;
    /// The addresses and ports of a connection; nothing when the handle names none.
    [[nodiscard]] std::optional<four_tuple> name_of(connection_handle which) const noexcept;

    // What it tells.

    /// What it has counted since it was made.
    [[nodiscard]] const stack_counters& count() const noexcept { return counters_; }
    /// Connections that take a place: all but those in TIME-WAIT.
    [[nodiscard]] std::size_t connections() const noexcept { return options_.connections - free_.size(); }
    /// Connections whose handshake a listener waits for.
    [[nodiscard]] std::size_t embryonic() const noexcept { return embryonic_.size(); }
    /// Connections that the user has released and that are not over yet.
    [[nodiscard]] std::size_t orphans() const noexcept { return orphans_.size(); }
    /// Whether such a connection has something that its peer has not acknowledged yet.
    [[nodiscard]] bool has_unsettled_orphans() const noexcept;
    /// Whether any connection has: looks at all of them.
    [[nodiscard]] bool has_unacknowledged() const noexcept;
    /// Connections in TIME-WAIT.
    [[nodiscard]] std::size_t waiting() const noexcept { return time_wait_.size(); }
    /// Listeners that are open.
    [[nodiscard]] std::size_t listeners() const noexcept { return listeners_.size(); }
    /// Buffers that its connections hold.
    [[nodiscard]] std::size_t buffers() const noexcept { return buffers_.total(); }
    /// Ranges that its connections hold.
    [[nodiscard]] std::size_t ranges() const noexcept { return ranges_.in_use(); }
    /// What it has allocated, in octets, and how much of that each connection takes: one that is idle takes nothing else.
    [[nodiscard]] std::size_t memory_octets() const noexcept;
    [[nodiscard]] std::size_t octets_per_connection() const noexcept;

private:
    struct secret_keys;

    stack(const stack_options& options, buffer_source& buffers, const secret_keys& keys, time_point start);

    // stack.cpp
    [[nodiscard]] slot* held(connection_handle which) const noexcept {
        if (which.index >= options_.connections) { return nullptr; }
        slot& one = slots_[which.index];
        return one.role == slot_role::held && one.generation == which.generation ? &one : nullptr;
    }
    [[nodiscard]] connection_handle handle_of(const slot& one) const noexcept {
        return {index_of(one), one.generation};
    }
    /// Finds the place of a connection by its name; null when there is none.
    [[nodiscard]] slot* place_of(const four_tuple& name) const noexcept {
        const auto found =
            table_.find(name, [this](std::uint32_t at) noexcept -> const four_tuple& { return slots_[at].name; });
        return found ? &slots_[*found] : nullptr;
    }
    [[nodiscard]] std::uint32_t index_of(const slot& one) const noexcept {
        return static_cast<std::uint32_t>(&one - slots_.get());
    }
    [[nodiscard]] slot* open(const four_tuple& name, sequence_number initial, slot_role role) noexcept;
    void put_away(slot& one) noexcept;
    /// When no place is free, ends what counts for less than a new connection: the oldest handshake, or else the oldest orphan,
    /// whose peer is told by a reset.
    void make_room(time_point now) noexcept;
    void settle(slot& one) noexcept;
    /// Lets a connection send. Its deadline is looked at when it has nothing more to send.
    void get_ready(slot& one) noexcept {
        if (!ready_.holds(one)) { ready_.push_back(one); }
    }
    void arm(slot& one) noexcept;
    void note(slot& one, const events& news) noexcept;
    void drained(slot& one, time_point now) noexcept;
    [[nodiscard]] bool next_of_some(stack_segment& out, time_point now) noexcept;
    [[nodiscard]] bool take_answer(stack_segment& out) noexcept;
    [[nodiscard]] bool take_acceptable(listener_handle& at) noexcept;
    void advance_wheel(time_point now) noexcept;
    void end_orphans(time_point now) noexcept;
    void orphan(slot& one, time_point now) noexcept;
    void note_progress(slot& one, time_point now) noexcept;
    void abort(slot& one, time_point now) noexcept;
    [[nodiscard]] std::uint32_t timestamp_offset(const four_tuple& name) const noexcept;
    [[nodiscard]] const connection_options& options_for(const four_tuple& name) const noexcept {
        return name.is_v4() ? options_.v4 : options_.v6;
    }

    // stack_receive.cpp
    [[nodiscard]] static bool is_one_host(const ip_address& address) noexcept;
    arrival deliver(slot& one, segment& came, std::uint64_t token, time_point now) noexcept;
    arrival receive_unknown(const four_tuple& name, segment& came, std::uint64_t token, time_point now) noexcept;
    arrival refuse(const four_tuple& name, const segment& came, bool listens, time_point now) noexcept;
    void receive_waiting(const four_tuple& name, const segment& came, const time_wait_table::answer& told,
                         time_point now) noexcept;
    [[nodiscard]] bool admit(listener& at, const four_tuple& name, const segment& syn, sequence_number initial,
                             bool may_use_cookie, time_point now) noexcept;
    void send_cookie(const four_tuple& name, const segment& syn, time_point now) noexcept;
    [[nodiscard]] std::optional<arrival> take_cookie(listener& at, const four_tuple& name, segment& came,
                                                     std::uint64_t token, time_point now) noexcept;
    void turn_away(const four_tuple& name, const segment& came, time_point now) noexcept;
    void reset(const four_tuple& name, const segment& came, time_point now) noexcept;
    void answer(const four_tuple& name, const outgoing& out) noexcept;
    void drop(reason why) noexcept { ++counters_.dropped[static_cast<std::size_t>(why)]; }

    stack_options options_;
    detail::counted_buffers buffers_;
    range_pool ranges_;
    memory memory_;
    timer_wheel wheel_;
    connection_table table_;
    time_wait_table time_wait_;
    listener_table listeners_;
    isn_generator numbers_;
    port_chooser ports_;
    syn_cookie cookies_;             // for SYNs without timestamps
    syn_cookie cookies_with_times_;  // for SYNs with timestamps: so an ACK tells which of them it answers
    proto::detail::hash_key offset_key_;
    detail::answer_limiter resets_;
    detail::answer_limiter challenges_;
    segment_limits* limits_ = nullptr;

    std::unique_ptr<slot[]> slots_;
    detail::hook_list<slot, &slot::queue> free_;
    detail::hook_list<slot, &slot::queue> embryonic_;  // in the order in which they came
    detail::hook_list<slot, &slot::queue> orphans_;    // in the order of their progress_at
    detail::hook_list<slot, &slot::ready> ready_;
    detail::hook_list<slot, &slot::news> news_;
    detail::hook_list<listener, &listener::news> acceptable_;
    slot* touched_ = nullptr;  // what the last segment received was for

    std::vector<stack_segment> answers_;  // a ring: what belongs to no connection and waits to be sent
    std::size_t first_answer_ = 0;
    std::size_t answer_count_ = 0;
    bool answered_last_ = false;  // the last segment that next() gave was one of them
    std::optional<time_point> last_cookie_at_;
    bool leaves_strangers_ = false;
    stack_counters counters_;
};

}  // namespace fluxnet::proto::tcp
