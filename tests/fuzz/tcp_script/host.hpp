// SPDX-License-Identifier: BSD-3-Clause
// `script_host`: a TCP stack, what its user does with it, and what has to hold for it after each step.
//
// Both hosts of a script share one stream_list and one digest, which outlive them.
#pragma once

#include "fluxnet/proto/tcp/stack.hpp"
#include "tests/fuzz/tcp_script/basics.hpp"
#include "tests/fuzz/tcp_script/profile.hpp"
#include "tests/fuzz/tcp_script/stream.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace tcp_script {

class script_host final : tcp::trace_sink {
public:
    script_host(const script_profile& all, unsigned which, std::span<std::byte> memory, stream_list& streams,
                script_digest& sum)
        : profile(all.hosts[which]), buffers(memory), traced_(all.traced), streams_(streams), sum_(sum),
          stack(profile.options, buffers, profile.secrets, script_start + profile.ahead),
          now(script_start + profile.ahead) {
        if (all.narrow) { stack.use_limits(&limits_); }
    }

    // What the user does. `which` is the place of a connection in `held`.

    void connect(const proto::ip_address& peer, std::uint16_t own_port, std::uint16_t port) {
        const auto made = stack.connect(profile.address, {peer, port}, now, {.local_port = own_port, .user = ++users_});
        sum_.add(made ? 0 : 1 + static_cast<std::uint64_t>(made.error()));
        if (made) { hold(*made); }
    }
    void listen(std::uint16_t port, std::uint32_t backlog, std::uint32_t syn_queue) {
        const auto made = stack.listen({.port = port, .backlog = backlog, .syn_queue = syn_queue});
        if (made) { listeners.push_back(*made); }
    }
    void close_listener(std::size_t which) {
        if (listeners.empty()) { return; }
        const auto at = listeners.begin() + static_cast<std::ptrdiff_t>(which % listeners.size());
        stack.close_listener(*at, now);
        listeners.erase(at);
    }
    bool accept() {
        for (const tcp::listener_handle one : listeners) {
            if (const auto came = stack.accept(one)) {
                stack.set_user(*came, ++users_);
                held_connection& made = hold(*came);
                made.first_read = position(*stack.find(*came));
                look_for_source(made, *stack.find(*came));
                return true;
            }
        }
        return false;
    }
    void write(std::size_t which, std::size_t octets) {
        held_connection& one = held[which];
        stream& to = streams_.all[one.writes];
        std::array<std::byte, 4096> some;
        const auto part = std::span(some).first(std::min(octets, some.size()));
        fill_octets(part, key_of(one.name), to.end.value());
        const std::size_t taken = stack.write(one.handle, part, now);
        promise(taken <= part.size() && (taken == 0 || !to.shut), "what is written is taken, unless it was shut");
        to.end += static_cast<std::uint32_t>(taken);
        sum_.add(taken);
    }
    void write_buffer(std::size_t which, std::uint32_t octets) {
        held_connection& one = held[which];
        stream& to = streams_.all[one.writes];
        const tcp::buffer made = buffers.allocate();
        if (made.data == nullptr) { return; }
        const std::uint32_t length = std::min(octets, made.size);
        fill_octets({made.data, length}, key_of(one.name), to.end.value());
        if (stack.write_buffer(one.handle, made, length, now)) {
            promise(!to.shut, "no buffer is taken behind the FIN");
            to.end += length;
        } else {
            buffers.release(made.token);
        }
    }
    std::size_t read(std::size_t which, std::size_t octets) {
        held_connection& one = held[which];
        const tcp::connection& c = *stack.find(one.handle);
        std::array<std::byte, 4096> some;
        const std::size_t readable = c.readable();
        const sequence_number at = position(c);
        const std::size_t taken = stack.read(one.handle, std::span(some).first(std::min(octets, some.size())), now);
        promise(taken == std::min({octets, some.size(), readable}), "what is readable can be read");
        judge(one, std::span(some).first(taken), at);
        sum_.add(taken);
        return taken;
    }
    void lend(std::size_t which) {
        held_connection& one = held[which];
        if (one.loans.size() == 4) { return; }
        const sequence_number at = position(*stack.find(one.handle));
        std::array<std::byte, 8> little{};
        const auto got = stack.lend(one.handle, little);
        if (!got) { return; }
        judge(one, got->octets, at);
        const bool copied = got->octets.data() == little.data();
        promise(copied == (got->token == 0), "octets without a buffer are copied");
        one.loans.push_back({got->octets, got->token, at.value()});
    }
    void give_back(held_connection& one) {
        for (const held_connection::loan& loan : one.loans) {
            if (loan.token != 0) {
                promise(are_octets(loan.octets, key_of(mirrored(one.name)), loan.number), "lent octets stay as they are");
                buffers.release(loan.token);
            }
            stack.returned(one.handle, static_cast<std::uint32_t>(loan.octets.size()), now);
        }
        one.loans.clear();
    }
    void shutdown(std::size_t which) {
        stack.shutdown_write(held[which].handle, now);
        note_shut(which);
    }
    void abort(std::size_t which) {
        stack.abort(held[which].handle, now);
        note_shut(which);
    }
    /// Nothing more is written to a connection.
    void note_shut(std::size_t which) { streams_.all[held[which].writes].shut = true; }
    void release(std::size_t which, tcp::leaving how) {
        const auto one = held.begin() + static_cast<std::ptrdiff_t>(which);
        note_shut(which);
        stack.release(one->handle, how, now);
        give_back(*one);  // the handle names nothing any more: the octets count for nobody
        held.erase(one);
    }

    // What has to hold.

    /// Takes the events, and checks everything that one host alone can tell.
    void check() {
        for (tcp::listener_handle at; stack.next_acceptable(at);) {
            const bool open = std::find(listeners.begin(), listeners.end(), at) != listeners.end();
            promise(open, "a listener that has news is open");
        }
        for (tcp::connection_event what; stack.next_event(what);) { take(what); }
        check_room();
        for (held_connection& one : held) { check(one); }
    }

    /// How many segments may be sent while time stands still: what waits, again and again, and an answer to each that comes.
    [[nodiscard]] std::size_t segments_due() const {
        std::size_t due = 16 + 4 * stack.connections();
        for (const held_connection& one : held) {
            const tcp::connection_info info = stack.find(one.handle)->info();
            due += 4 + (info.in_flight + info.lost + info.unsent) / std::max<std::uint32_t>(info.segment, 1);
        }
        // Of connections that the user does not hold only the buffers are known.
        if (stack.orphans() != 0) { due += stack.buffers() * 24; }
        return due;
    }

    /// Goes to a time of the script's clock.
    void set_time(time_point at) { now = at + profile.ahead; }
    /// When advance() is due, by the script's clock.
    [[nodiscard]] std::optional<time_point> deadline() const {
        const auto at = stack.deadline();
        return at ? std::optional(*at - profile.ahead) : std::nullopt;
    }

    /// The right edge of the window that a peer was told that has such a name for its connection; nothing where that is
    /// uncertain.
    [[nodiscard]] std::optional<sequence_number> edge_for(const tcp::four_tuple& peers) const {
        const tcp::four_tuple name = mirrored(peers);
        const auto is_it = [&](const held_connection& one) { return one.name == name; };
        const auto found = std::find_if(held.begin(), held.end(), is_it);
        if (found == held.end() || source_of(*found) == nullptr) { return std::nullopt; }
        const tcp::connection& c = *stack.find(found->handle);
        const tcp::connection_info info = c.info();
        if (c.state() < tcp::state::established || info.lacks_buffers) { return std::nullopt; }
        return c.receive_next() + info.receive_window;
    }
    /// A number that changes when a connection comes further.
    [[nodiscard]] std::uint64_t progress() const {
        script_digest far;
        for (const held_connection& one : held) {
            const tcp::connection& c = *stack.find(one.handle);
            const tcp::connection_info info = c.info();
            far.add(std::uint64_t{c.receive_next().value()} << 32 | c.send_next().value());
            far.add(std::uint64_t{info.in_flight + info.lost + info.sacked} << 8 | static_cast<std::uint64_t>(info.state));
        }
        return far.value();
    }

    /// Where both ends of a connection say that it was closed in order, this one has read all that was written.
    void expect_all_read(const held_connection& one, const script_host& peer) const {
        const stream* const from = source_of(one);
        if (from == nullptr || one.ending != tcp::ending::closed) { return; }
        for (const held_connection& other : peer.held) {
            if (&streams_.all[other.writes] != from || other.ending != tcp::ending::closed) { continue; }
            const tcp::connection& c = *stack.find(one.handle);
            promise(c.readable() == 0 && c.receive_next() - 1U == from->end, "what was closed in order was read to its end");
        }
    }

    void expect_nothing_left() const {
        promise(stack.connections() == 0 && stack.embryonic() == 0 && stack.orphans() == 0, "no connection is left");
        promise(stack.waiting() == 0 && stack.listeners() == 0, "nothing waits");
        promise(stack.buffers() == 0 && buffers.out() == 0 && !buffers.broken, "no buffer is left");
        promise(stack.ranges() == 0, "no range is left");
        promise(!stack.deadline() && !stack.has_news(), "nothing is due");
        const tcp::stack_counters& count = stack.count();
        const std::uint64_t drops = std::accumulate(count.dropped.begin(), count.dropped.end(), std::uint64_t{0});
        promise(count.segments == count.delivered + count.time_wait + count.opened + count.cookies_sent + drops,
                "each segment counts once");
    }

    const host_profile profile;
    script_buffers buffers;

private:
    void told(const tcp::trace_entry& entry) noexcept override {
        sum_.add(static_cast<std::uint64_t>(entry.what) << 32 ^ entry.value ^ entry.congestion_window);
    }

    narrow_paths limits_;
    bool traced_;
    stream_list& streams_;
    script_digest& sum_;
    std::uint64_t users_ = 0;

public:
    tcp::stack stack;
    time_point now;  ///< By its own clock.
    std::vector<held_connection> held;
    std::vector<tcp::listener_handle> listeners;
    bool withholds = false;  ///< Nothing can be sent, as where a device's queue is full.

private:
    /// The number of the first octet that waits to be read.
    [[nodiscard]] static sequence_number position(const tcp::connection& c) {
        return c.receive_next() - (c.readable() + (c.peer_finished() ? 1U : 0U));
    }

    held_connection& hold(tcp::connection_handle handle) {
        held_connection one;
        one.handle = handle;
        one.name = stack.name_of(handle).value();
        one.writes = streams_.all.size();
        if (traced_) { stack.trace_to(handle, this); }
        const tcp::connection& c = *stack.find(handle);
        // An initial number moves on with the clock. Where more was written than that under the same name, and nobody has
        // waited, what is under way still may be taken for the new connection's.
        for (const stream& old : streams_.all) {
            if (old.name == one.name && c.send_next() <= old.end + 1) { streams_.uncertain = true; }
        }
        // Nobody has written yet. A FIN is no part of what is written.
        streams_.all.push_back({one.name, c.send_next(), c.send_next(), false});
        return held.emplace_back(std::move(one));
    }

    void judge(const held_connection& one, std::span<const std::byte> octets, sequence_number at) const {
        promise(are_octets(octets, key_of(mirrored(one.name)), at.value()), "octets are read as they were written");
        if (octets.empty()) { return; }
        if (const stream* const from = source_of(one)) {
            promise(at + static_cast<std::uint32_t>(octets.size()) <= from->end, "nothing is read that was not written");
        }
    }

    /// The stream that a connection reads; null when its peer is no host of this script, or has heard something forged, or
    /// has not been accepted yet.
    [[nodiscard]] const stream* source_of(const held_connection& one) const {
        if (streams_.uncertain || !one.reads) { return nullptr; }
        return &streams_.all[*one.reads];
    }
    void look_for_source(held_connection& one, const tcp::connection& c) const {
        if (!one.first_read && c.state() >= tcp::state::established) { one.first_read = position(c); }
        if (!one.first_read || streams_.uncertain) { return; }
        const tcp::four_tuple name = mirrored(one.name);
        const auto is_it = [&](const stream& from) { return from.first == *one.first_read && from.name == name; };
        const auto found = std::find_if(streams_.all.begin(), streams_.all.end(), is_it);
        if (found != streams_.all.end()) { one.reads = static_cast<std::size_t>(found - streams_.all.begin()); }
    }

    void take(const tcp::connection_event& what) {
        const auto is_it = [&](const held_connection& one) { return one.handle == what.connection; };
        const auto found = std::find_if(held.begin(), held.end(), is_it);
        promise(found != held.end(), "an event is of a connection that the user holds");
        promise(what.what.any(), "an event tells something");
        found->news.connected |= what.what.connected;
        found->news.readable |= what.what.readable;
        found->news.writable |= what.what.writable;
        found->news.ended |= what.what.ended;
        sum_.add(what.user * 16 + (what.what.connected ? 1U : 0U) + (what.what.readable ? 2U : 0U) +
                 (what.what.writable ? 4U : 0U) + (what.what.ended ? 8U : 0U));
    }

    void check_room() const {
        std::size_t lent = 0;
        for (const held_connection& one : held) {
            for (const held_connection::loan& loan : one.loans) { lent += loan.token != 0 ? 1 : 0; }
        }
        promise(!buffers.broken, "a buffer is given back once");
        promise(stack.buffers() + lent == buffers.out(), "the stack has the buffers that it was lent");
        promise(stack.buffers() <= profile.options.buffers, "the stack has no more buffers than it may");
        promise(stack.ranges() <= profile.options.ranges, "the stack has no more ranges than there are");
        promise(stack.connections() <= profile.options.connections, "the stack has no more connections than it may");
        promise(stack.connections() >= held.size(), "what the user holds is there");
        promise(stack.embryonic() <= profile.options.connections, "handshakes take places");
        promise(stack.orphans() <= profile.options.orphans, "the stack has no more orphans than it may");
        promise(stack.waiting() <= profile.options.time_wait, "no more connections are in TIME-WAIT than may be");
        if ((stack.embryonic() != 0 || stack.orphans() != 0) && !withholds) {
            promise(stack.deadline().has_value(), "a connection that nobody holds has a deadline");
        }
    }

    void check(held_connection& one) {
        const tcp::connection* const c = stack.find(one.handle);
        promise(c != nullptr, "a handle names its connection until it is released");
        const tcp::connection_info info = c->info();
        check_time(*c, info);
        promise(info.readable + info.lent + info.beyond_gap <= profile.options.v4.receive_limit,
                "no more is received than may be");
        promise(info.in_flight + info.lost + info.sacked + info.unsent <= profile.options.v4.send_limit + 1,
                "no more waits than may");
        const bool over = info.state == tcp::state::closed;
        promise(!over || one.news.ended, "an end is told");
        promise(info.received_octets == one.received || one.news.readable, "what has come is told");
        const std::size_t writable = c->writable();
        promise(one.writable != 0 || writable == 0 || one.news.writable, "that there is room again is told");
        if (!one.reads) { look_for_source(one, *c); }
        check_end(one, *c);
        if (info.state >= tcp::state::established) {
            const sequence_number edge = c->receive_next() + info.receive_window;
            promise(!one.edge || edge >= *one.edge || info.lacks_buffers, "a window that the peer was told is not taken back");
            one.edge = edge;
            const bool all_read = info.readable + info.lent + info.beyond_gap == 0;
            promise(!all_read || info.receive_window != 0 || c->peer_finished() || withholds || info.lacks_buffers,
                    "a window that opens is told");
        }
        one.received = info.received_octets;
        one.writable = info.state < tcp::state::established ? 1 : writable;
        one.ending = info.ending;
        one.news.readable = one.news.writable = false;
        sum_.add(static_cast<std::uint64_t>(info.state) << 8 | static_cast<std::uint64_t>(info.ending));
    }

    void check_time(const tcp::connection& c, const tcp::connection_info& info) const {
        const bool over = info.state == tcp::state::closed;
        const bool opening = info.state == tcp::state::syn_sent || info.state == tcp::state::syn_received;
        if (over || withholds) { return; }
        promise(info.state != tcp::state::time_wait, "what is in TIME-WAIT has left its place");
        if (opening || info.in_flight + info.lost + info.sacked + info.unsent != 0) {
            promise(c.deadline() != time_point::max(), "while anything is unacknowledged there is a deadline");
        }
        if (c.deadline() == time_point::max()) { return; }
        const auto first = stack.deadline();
promise(first && *first <= std::max(c.deadline(), now) + 5us, "the stack's deadline is the first of all");
    }

    void check_end(const held_connection& one, const tcp::connection& c) const {
        if (c.state() == tcp::state::closed) { return; }
        const stream* const from = source_of(one);
        if (from == nullptr) { return; }
        if (c.peer_finished()) {
            promise(from->shut && c.receive_next() - 1U == from->end, "a stream ends behind what was written");
        } else {
            promise(c.receive_next() <= from->end, "nothing is acknowledged that was not written");
        }
    }
};

}  // namespace tcp_script
