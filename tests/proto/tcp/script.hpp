// SPDX-License-Identifier: BSD-3-Clause
// `script`: one TCP connection whose peer is the test. `at_every_start`: runs a script with the initial sequence numbers
// that arithmetic goes wrong with.
//
//     at_every_start([](start at) {
//         script s(at);
//         s.open();
//         s.in({.flags = flag::rst, .seq = 2});                       // what the peer sends
//         s.out({.flags = flag::ack, .seq = 1, .ack = 1});            // what the connection must send next
//         s.silent();                                                 // and nothing besides
//     });
//
// Sequence numbers are those of RFC 9293's figures: counted from the initial number of their direction, so a SYN has 0 and
// the first octet has 1. Time is virtual and moves in wait() only. After every step two things are checked: while anything
// is unacknowledged a deadline exists, and a connection does not send without end.
#pragma once

#include "tests/proto/tcp/pair.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tcp_test {

namespace flag = fluxnet::proto::tcp_flag;
using options_of_segment = fluxnet::proto::tcp_options;

/// Initial sequence numbers: the connection's, and its peer's.
struct start {
    std::uint32_t own = 0xffff'fff8;
    std::uint32_t peer = 0x7fff'fff8;
};

/// Runs a script with initial sequence numbers near 0, 2^31 and 2^32 at both ends.
template <class Script>
void at_every_start(Script run) {
    constexpr std::array<std::uint32_t, 3> near{0, 0x7fff'fff8, 0xffff'fff8};
    for (const std::uint32_t own : near) {
        for (const std::uint32_t peer : near) {
            CAPTURE(own);
            CAPTURE(peer);
            run(start{own, peer});
        }
    }
}

/// A segment that the peer sends.
struct line_in {
    std::uint8_t flags = flag::ack;
    std::uint32_t seq = 1;
    std::uint32_t ack = 1;
    std::uint16_t window = 0xffff;
    std::size_t data = 0;                      ///< So many octets of the peer's stream, which begin at `seq`.
    options_of_segment options = {};           ///< Timestamps are added where they were agreed on and are not given.
    std::vector<std::uint8_t> raw_options = {};  ///< Instead of `options`, as they are; a multiple of four.
    bool without_timestamps = false;
};

/// What the next segment has to be. What is not given does not matter. PSH never does.
struct line_out {
    std::optional<std::uint8_t> flags = {};
    std::optional<std::uint32_t> seq = {};
    std::optional<std::uint32_t> ack = {};
    std::optional<std::size_t> data = {};
    std::optional<std::uint16_t> window = {};
};

/// A segment that the connection has sent.
struct sent_segment {
    std::uint8_t flags = 0;
    std::uint32_t seq = 0;
    std::uint32_t ack = 0;
    std::uint16_t window = 0;
    options_of_segment options;
    std::vector<std::byte> octets;
    time_point at;

    [[nodiscard]] bool has(std::uint8_t some) const { return (flags & some) != 0; }
    [[nodiscard]] std::string text() const {
        std::string said;
        constexpr std::array<char, 8> names{'F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'};
        for (std::size_t i = 0; i != names.size(); ++i) {
            if (has(static_cast<std::uint8_t>(1U << i))) { said += names[i]; }
        }
        return said + " seq " + std::to_string(seq) + " ack " + std::to_string(ack) + " data " +
               std::to_string(octets.size()) + " window " + std::to_string(window);
    }
};

/// The options of a peer that can nothing but what RFC 9293 asks for.
inline options_of_segment plain_peer(std::uint16_t mss = 1460) {
    options_of_segment options;
    options.mss = mss;
    return options;
}
/// The same with SACK.
inline options_of_segment sack_peer(std::uint16_t mss = 1460) {
    options_of_segment options = plain_peer(mss);
    options.sack_permitted = true;
    return options;
}
/// The same with all of RFC 7323, as hosts have it today.
inline options_of_segment modern_peer(std::uint16_t mss = 1460) {
    options_of_segment options = sack_peer(mss);
    options.timestamps = true;
    options.window_scale = 7;
    return options;
}

class script {
public:
    static constexpr auto round_trip = 10ms;

    explicit script(start at = {}, tcp::connection_options wanted = {}, std::uint32_t stamp_offset = 77)
        : options(wanted), own_initial(at.own), peer_initial(at.peer),
          c(memory, options, {tcp::sequence_number(at.own), stamp_offset}) {}

    // What happens.

    /// Opens actively, a round trip long, up to and with the last ACK.
    void open(const options_of_segment& peer = sack_peer(), std::uint16_t window = 0xffff) {
        connect();
        out({.flags = flag::syn, .seq = 0});
        wait(round_trip);
        in({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .window = window, .options = peer});
        out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
        silent();
        REQUIRE(c.state() == tcp::state::established);
    }
    /// Opens passively, a round trip long.
    void open_passively(const options_of_segment& peer = sack_peer(), std::uint16_t window = 0xffff) {
        in({.flags = flag::syn, .seq = 0, .window = window, .options = peer});
        out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
        wait(round_trip);
        in({.window = window});
        silent();
        REQUIRE(c.state() == tcp::state::established);
    }
    void connect() {
        c.connect(now);
        collect();
    }
    /// The peer sends a segment. A SYN that comes first opens the connection passively.
    void in(const line_in& line) {
        std::vector<std::byte> octets = emit(line);
        const tcp::buffer came = buffers.receive(octets);
        const auto view = fluxnet::proto::tcp_view::parse(std::span<const std::byte>(came.data, came.size), pair::b_address,
                                                          pair::a_address);
        REQUIRE(view.has_value());
        const tcp::segment segment = tcp::segment::of(*view);
        const bool first = c.state() == tcp::state::closed && c.ending() == tcp::ending::none;
        if (first && (line.flags & flag::syn) != 0) {
            timestamps = options.timestamps && segment.options.timestamps;
            c.accept(segment, now);
            buffers.release(came.token);
        } else {
            if (c.state() == tcp::state::syn_sent && (line.flags & flag::syn) != 0) {
                timestamps = options.timestamps && segment.options.timestamps;
            }
            if (!c.receive(segment, came.token, now)) { buffers.release(came.token); }
        }
        collect();
    }
    /// The user writes so many octets of the connection's stream; all of them are taken.
    void write(std::size_t count) {
        const std::vector<std::byte> octets = stream(own_salt, written + 1, count);
        REQUIRE(c.write(octets, now) == count);
        written += static_cast<std::uint32_t>(count);
        collect();
    }
    /// The same in a buffer of its own, which is not copied.
    void write_buffer(std::uint32_t count) {
        const std::vector<std::byte> octets = stream(own_salt, written + 1, count);
        const tcp::buffer made = buffers.receive(octets);
        REQUIRE(c.write_buffer(made, count, now));
        written += count;
        collect();
    }
    /// The user reads up to so many octets, which are those that the peer has sent. Returns how many.
    std::size_t read(std::size_t most = 1 << 20) {
        std::vector<std::byte> octets(most);
        octets.resize(c.read(octets, now));
        CHECK(octets == stream(peer_salt, was_read + 1, octets.size()));
        was_read += static_cast<std::uint32_t>(octets.size());
        collect();
        return octets.size();
    }
    /// Any other call, and what comes of it.
    template <class Call>
    void does(Call call) {
        call(c);
        collect();
    }
    /// Time goes by, and what is due is done in its time.
    void wait(std::chrono::nanoseconds length) {
        const time_point stop = now + length;
        while (c.deadline() <= stop) { tick(); }
        now = stop;
    }
    /// Time goes by until something was sent or nothing is due any more within `at_most`.
    void wait_for_output(std::chrono::nanoseconds at_most = 1h) {
        const time_point stop = now + at_most;
        while (came_out.empty() && c.deadline() <= stop) { tick(); }
    }

    // What has to come of it.

    /// Takes the next segment, which was sent already and is like that.
    sent_segment out(const line_out& line = {}) {
        REQUIRE_MESSAGE(!came_out.empty(), "nothing was sent");
        sent_segment next = std::move(came_out.front());
        came_out.pop_front();
        INFO("sent: ", next.text());
        if (line.flags) { CHECK(int{*line.flags} == (next.flags & ~flag::psh)); }
        if (line.seq) { CHECK(*line.seq == next.seq); }
        if (line.ack) { CHECK(*line.ack == next.ack); }
        if (line.data) { CHECK(*line.data == next.octets.size()); }
        if (line.window) { CHECK(*line.window == next.window); }
        if (!next.octets.empty()) { CHECK(next.octets == stream(own_salt, next.seq, next.octets.size())); }
        return next;
    }
    /// Nothing was sent but what was taken.
    void silent() {
        if (!came_out.empty()) { FAIL_CHECK("sent besides: ", came_out.front().text()); }
        came_out.clear();
    }
    /// Takes all that was sent, whatever it is.
    std::vector<sent_segment> all_out() {
        std::vector<sent_segment> all(came_out.begin(), came_out.end());
        came_out.clear();
        return all;
    }
    [[nodiscard]] std::size_t waiting() const { return came_out.size(); }

    [[nodiscard]] tcp::connection_info info() const { return c.info(); }
    /// How long until the next deadline.
    [[nodiscard]] std::chrono::nanoseconds until_deadline() const { return c.deadline() - now; }
    /// The peer's clock of timestamps.
    [[nodiscard]] std::uint32_t peer_clock() const {
        return static_cast<std::uint32_t>((now - pair::begin) / 1ms) + peer_clock_offset;
    }
    /// SACK blocks, in the numbers of the connection's stream.
    [[nodiscard]] options_of_segment sacks(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> blocks) const {
        options_of_segment told;
        for (const auto& [left, right] : blocks) {
            told.sack[told.sack_count++] = {own_initial + left, own_initial + right};
        }
        return told;
    }

    heap_buffers buffers;
    tcp::range_pool ranges{20'000};
    tcp::memory memory{buffers, ranges};
    tcp::connection_options options;
    std::uint32_t own_initial;
    std::uint32_t peer_initial;
    time_point now = pair::begin;
    bool timestamps = false;  ///< Agreed on.
    std::uint32_t peer_clock_offset = 0xffff'fff0;
    std::uint32_t heard_stamp = 0;  ///< The connection's timestamp that was heard last.
    std::uint32_t written = 0;
    std::uint32_t was_read = 0;
    std::deque<sent_segment> came_out;
    tcp::connection c;  // the last: it gives back to what comes before

private:
    static constexpr std::uint32_t own_salt = 1;
    static constexpr std::uint32_t peer_salt = 2;

    /// Octets of a stream, which tell their place.
    static std::vector<std::byte> stream(std::uint32_t salt, std::uint32_t from, std::size_t count) {
        std::vector<std::byte> octets(count);
        for (std::byte& one : octets) { one = static_cast<std::byte>((from++ * 2654435761U + salt * 40503U) >> 24); }
        return octets;
    }

    [[nodiscard]] std::vector<std::byte> emit(const line_in& line) const {
        fluxnet::proto::tcp_repr repr;
        repr.source_port = 80;
        repr.destination_port = 1000;
        repr.sequence = peer_initial + line.seq;
        repr.acknowledgment = (line.flags & flag::ack) != 0 ? own_initial + line.ack : 0;
        repr.flags = line.flags;
        repr.window = line.window;
        repr.options = line.options;
        const bool stamped = timestamps || (line.flags & flag::syn) != 0;
        if (timestamps && !line.options.timestamps && !line.without_timestamps) { repr.options.timestamps = true; }
        if (stamped && repr.options.timestamps && repr.options.timestamp == 0) {
            repr.options.timestamp = peer_clock();
            repr.options.timestamp_echo = (line.flags & flag::ack) != 0 ? heard_stamp : 0;
        }
        if (!line.raw_options.empty()) { repr.options = {}; }
        repr.payload_length = line.data;
        const std::size_t header = repr.header_length() + line.raw_options.size();
        std::vector<std::byte> octets(header + line.data);
        auto view = repr.emit(octets);
        if (!line.raw_options.empty()) {
            view = fluxnet::proto::mutable_tcp_view::unchecked(octets);
            view.set_header_length(header);
            for (std::size_t i = 0; i != line.raw_options.size(); ++i) {
                octets[fluxnet::proto::tcp_header_length + i] = static_cast<std::byte>(line.raw_options[i]);
            }
        }
        const std::vector<std::byte> data = stream(peer_salt, line.seq + ((line.flags & flag::syn) != 0 ? 1U : 0U), line.data);
        std::copy(data.begin(), data.end(), octets.begin() + static_cast<std::ptrdiff_t>(header));
        view.fill_checksum(pair::b_address, pair::a_address);
        return octets;
    }

    void tick() {
        if (c.deadline() > now) {
            now = c.deadline();
            idle_ticks_ = 0;
        }
        REQUIRE_MESSAGE(++idle_ticks_ < 100, "a deadline is due again and again");
        c.on_deadline(now);
        collect();
    }

    void collect() {
        tcp::outgoing next;
        std::size_t burst = 0;
        while (c.next_segment(next, now)) {
            REQUIRE_MESSAGE(++burst < 10'000, "a connection sends without end");
            if (next.options.timestamps) { heard_stamp = next.options.timestamp; }
            came_out.push_back({next.flags, next.sequence.value() - own_initial,
                                (next.flags & flag::ack) != 0 ? next.acknowledgment.value() - peer_initial : 0, next.window,
                                next.options, {next.payload.begin(), next.payload.end()}, now});
        }
        const tcp::connection_info info = c.info();
        const bool over = info.state == tcp::state::closed || info.state == tcp::state::time_wait;
        const bool opening = info.state == tcp::state::syn_sent || info.state == tcp::state::syn_received;
        const bool waits = opening || info.in_flight != 0 || info.lost != 0 || info.sacked != 0 || info.unsent != 0;
        if (waits && !over) { REQUIRE_MESSAGE(c.deadline() != time_point::max(), "data waits and no deadline exists"); }
    }

    int idle_ticks_ = 0;
};

}  // namespace tcp_test
