// SPDX-License-Identifier: BSD-3-Clause
// Two TCP stacks and a wire between them, in virtual time: `two_stacks`. `slab_buffers`: buffers that are counted.
// `stranger`: makes segments by hand for one of the stacks, and sees what it answers.
//
// Segments travel as octets, with their checksums.
#pragma once

#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp/segment_writer.hpp"
#include "fluxnet/proto/tcp/stack.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace stacks {

namespace proto = fluxnet::proto;
namespace tcp = fluxnet::proto::tcp;
namespace flag = fluxnet::proto::tcp_flag;
using namespace std::chrono_literals;
using time_point = std::chrono::steady_clock::time_point;

inline constexpr auto start = time_point(1'000'000s);

/// Lends buffers of 2,048 octets from one piece of memory. The token is the number of the buffer, from 1.
class slab_buffers final : public tcp::buffer_source {
public:
    static constexpr std::uint32_t size = 2048;

    explicit slab_buffers(std::size_t count) : memory_(count * size), lent_(count + 1) {
        free_.reserve(count);
        for (std::size_t i = count; i != 0; --i) { free_.push_back(i); }
    }
    tcp::buffer allocate() noexcept override {
        if (free_.empty()) { return {}; }
        const std::uint64_t token = free_.back();
        free_.pop_back();
        lent_[token] = true;
        return {memory_.data() + (token - 1) * size, size, token};
    }
    void release(std::uint64_t token) noexcept override {
        if (!lent_.at(token)) { FAIL("a buffer was given back twice"); }  // REQUIRE_MESSAGE allocates, also when it holds
        lent_[token] = false;
        free_.push_back(token);
    }
    [[nodiscard]] std::size_t lent() const noexcept { return lent_.size() - 1 - free_.size(); }

private:
    std::vector<std::byte> memory_;
    std::vector<char> lent_;
    std::vector<std::uint64_t> free_;
};

inline std::array<std::byte, 32> secrets(std::uint64_t seed) {
    std::array<std::byte, 32> made{};
    std::mt19937_64 random(seed);
    for (std::byte& one : made) { one = static_cast<std::byte>(random()); }
    return made;
}

inline tcp::stack_options small_options() {
    tcp::stack_options made;
    made.connections = 64;
    made.ranges = 4096;
    made.time_wait = 64;
    return made;
}

struct host {
    host(proto::ip_address at, const tcp::stack_options& options, std::uint64_t seed, time_point now,
         std::size_t buffer_count = 4096)
        : address(at), buffers(buffer_count), stack(options, buffers, secrets(seed), now) {}

    /// What is left when nothing goes on any more.
    void expect_nothing_left() const {
        CHECK(stack.connections() == 0);
        CHECK(stack.embryonic() == 0);
        CHECK(stack.orphans() == 0);
        CHECK(stack.buffers() == 0);
        CHECK(stack.ranges() == 0);
        CHECK(buffers.lent() == 0);
    }
    /// The last event of each connection; all are taken.
    std::map<std::uint32_t, tcp::connection_event> events() {
        std::map<std::uint32_t, tcp::connection_event> all;
        for (tcp::connection_event one; stack.next_event(one);) { all[one.connection.index] = one; }
        return all;
    }

    proto::ip_address address;
    slab_buffers buffers;
    tcp::stack stack;
    double loss = 0;
    double duplication = 0;
    std::chrono::nanoseconds delay = 1ms;
    std::function<bool(const proto::tcp_view&)> drop;  ///< Whether what it sends is lost.
    std::function<void(host&)> turn;                   ///< Its user: called before it sends.
    std::uint64_t sent = 0;
    std::uint64_t resets_sent = 0;
};

inline const proto::ip_address a_address = proto::ipv4_address(192, 0, 2, 1);
inline const proto::ip_address b_address = proto::ipv4_address(192, 0, 2, 2);

class two_stacks {
public:
    explicit two_stacks(const tcp::stack_options& options = small_options(), time_point begin = start,
                        std::size_t buffer_count = 4096, proto::ip_address first = a_address,
                        proto::ip_address second = b_address)
        : now(begin), a(first, options, 1, begin, buffer_count), b(second, options, 2, begin, buffer_count) {}

    tcp::connection_handle connect(std::uint16_t port = 80, std::uint64_t user = 0) {
        const auto made = a.stack.connect(a.address, {b.address, port}, now, {.user = user});
        REQUIRE(made.has_value());
        return *made;
    }

    /// Lets the users do what they want, and sends what there is to be sent.
    void flush() {
        for (host* one : {&a, &b}) {
            if (one->turn) { one->turn(*one); }
            std::size_t burst = 0;
            for (tcp::stack_segment out; one->stack.next(out, now);) {
                transmit(*one, out);
                REQUIRE_MESSAGE(++burst < 1'000'000, "a stack sends without end");
            }
        }
    }

    /// Does the next thing that happens; false when nothing will.
    bool step(time_point latest = time_point::max()) {
        time_point next = time_point::max();
        for (const host* one : {&a, &b}) { next = std::min(next, one->stack.deadline().value_or(next)); }
        const bool arrival = !flying.empty() && flying.top().at <= next;
        if (arrival) { next = flying.top().at; }
        if (next == time_point::max() || next > latest) { return false; }
        now = std::max(now, next);
        if (arrival) {
            const flight came = flying.top();
            flying.pop();
            deliver(*came.to, came.octets);
        } else {
            a.stack.advance(now);
            b.stack.advance(now);
        }
        flush();
        return true;
    }
    void run_for(std::chrono::nanoseconds length) {
        const time_point stop = now + length;
        flush();
        while (step(stop)) {}
        now = stop;
    }
    template <class Until>
    bool run(Until until, std::chrono::nanoseconds at_most = 3600s) {
        const time_point stop = now + at_most;
        flush();
        while (!until()) {
            if (!step(stop)) { return until(); }
        }
        return true;
    }

    void deliver(host& to, const std::vector<std::byte>& octets) {
        const tcp::buffer into = to.buffers.allocate();
        if (into.data == nullptr) { return; }  // as a card without buffers drops it
        std::copy(octets.begin(), octets.end(), into.data);
        host& from = &to == &a ? b : a;
        const auto got = to.stack.receive(from.address, to.address, {into.data, octets.size()}, into.token, now);
        if (got.answer_now) {
            for (tcp::stack_segment out; to.stack.next_immediate(out, now);) { transmit(to, out); }
        }
        if (!got.kept) { to.buffers.release(into.token); }
    }

    void transmit(host& from, const tcp::stack_segment& out) {
        ++from.sent;
        std::vector<std::byte> octets(tcp::header_length(out.segment) + out.segment.payload.size());
        const std::size_t header = tcp::emit_header(octets, out.name, out.segment);
        std::copy(out.segment.payload.begin(), out.segment.payload.end(),
                  octets.begin() + static_cast<std::ptrdiff_t>(header));
        const auto view = proto::tcp_view::unchecked(octets);
        if ((view.flags() & flag::rst) != 0) { ++from.resets_sent; }
        if (on_sent) { on_sent(from, view); }
        if (from.drop && from.drop(view)) { return; }
        if (hit(from.loss)) { return; }
        const int copies = hit(from.duplication) ? 2 : 1;
        for (int i = 0; i != copies; ++i) { flying.push({now + from.delay, ++order, &from == &a ? &b : &a, octets}); }
    }

    struct flight {
        time_point at;
        std::uint64_t order;
        host* to;
        std::vector<std::byte> octets;

        friend bool operator<(const flight& left, const flight& right) {  // the top of a queue is the greatest
            return std::pair(left.at, left.order) > std::pair(right.at, right.order);
        }
    };

    time_point now;
    host a;
    host b;
    std::priority_queue<flight> flying;
    std::uint64_t order = 0;
    std::mt19937_64 chance{7};
    std::function<void(host&, const proto::tcp_view&)> on_sent;

private:
    bool hit(double share) { return share > 0 && std::uniform_real_distribution<>(0, 1)(chance) < share; }
};

/// A host that says what the test wants.
class stranger {
public:
    stranger(host& to, time_point& now, proto::ip_address own = a_address, std::uint16_t own_port = 1000,
             std::uint16_t their_port = 80)
        : to_(to), now_(now), address(own), port(own_port), to_port(their_port) {}

    /// Hands a segment in. The ports and the payload's length of `what` are filled in.
    tcp::arrival say(proto::tcp_repr what, std::span<const std::byte> payload = {}) {
        what.source_port = port;
        what.destination_port = to_port;
        what.payload_length = payload.size();
        const tcp::buffer into = to_.buffers.allocate();
        REQUIRE(into.data != nullptr);
        auto view = what.emit({into.data, into.size});
        std::copy(payload.begin(), payload.end(), view.payload().begin());
        view.fill_checksum(address, to_.address);
        const auto got = to_.stack.receive(address, to_.address, view.bytes(), into.token, now_);
        if (!got.kept) { to_.buffers.release(into.token); }
        return got;
    }
    /// What the stack has to say now, to whomever.
    std::vector<tcp::stack_segment> heard() {
        std::vector<tcp::stack_segment> all;
        for (tcp::stack_segment out; to_.stack.next(out, now_);) { all.push_back(out); }
        return all;
    }
    /// The only thing that it has to say.
    tcp::outgoing answer() {
        const auto all = heard();
        REQUIRE(all.size() == 1);
        CHECK(all[0].name == tcp::four_tuple(to_.address, to_port, address, port));
        return all[0].segment;
    }
    void expect_silence() { CHECK(heard().empty()); }

    static proto::tcp_options syn_options(bool timestamps = true, std::uint32_t timestamp = 1) {
        proto::tcp_options made;
        made.mss = 1460;
        made.window_scale = 7;
        made.sack_permitted = true;
        made.timestamps = timestamps;
        made.timestamp = timestamps ? timestamp : 0;
        return made;
    }
    static proto::tcp_options times(std::uint32_t timestamp, std::uint32_t echo) {
        proto::tcp_options made;
        made.timestamps = true;
        made.timestamp = timestamp;
        made.timestamp_echo = echo;
        return made;
    }

private:
    host& to_;
    time_point& now_;

public:
    proto::ip_address address;
    std::uint16_t port;
    std::uint16_t to_port;
};

inline proto::tcp_repr plain(std::uint32_t sequence, std::uint32_t acknowledgment, std::uint8_t flags,
                             proto::tcp_options options = {}) {
    proto::tcp_repr made;
    made.sequence = sequence;
    made.acknowledgment = acknowledgment;
    made.flags = flags;
    made.window = 0xffff;
    made.options = options;
    return made;
}

/// Accepts whatever comes to a listener, sends back what it reads, and closes when the peer has.
struct echo_user {
    tcp::listener_handle door;
    std::uint64_t echoed = 0;

    void operator()(host& at, time_point now) {
        for (tcp::listener_handle which; at.stack.next_acceptable(which);) {
            while (at.stack.accept(which)) {}
        }
        for (tcp::connection_event what; at.stack.next_event(what);) {
            std::array<std::byte, 4096> some;
            while (const std::size_t n = at.stack.read(what.connection, some, now)) {
                echoed += at.stack.write(what.connection, std::span(some).first(n), now);
            }
            const tcp::connection* const c = at.stack.find(what.connection);
            if (what.what.ended || c->peer_finished()) { at.stack.release(what.connection, tcp::leaving::in_order, now); }
        }
    }
};

inline std::vector<std::byte> octets(std::size_t count, std::uint64_t seed = 1) {
    std::vector<std::byte> made(count);
    std::mt19937_64 random(seed);
    for (std::byte& one : made) { one = static_cast<std::byte>(random()); }
    return made;
}

}  // namespace stacks
