// SPDX-License-Identifier: BSD-3-Clause
// What a connection holds: buffers that are lent and given back, and how much of them a peer can make it hold.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace tcp_test;

namespace {

/// Buffers that are all there from the beginning.
class fixed_buffers final : public tcp::buffer_source {
public:
    explicit fixed_buffers(std::size_t count) : octets_(count * size) {
        for (std::size_t i = count; i != 0; --i) { free_.push_back(i); }
    }
    tcp::buffer allocate() noexcept override {
        if (free_.empty()) { return {}; }
        const std::uint64_t token = free_.back();
        free_.pop_back();
        return {octets_.data() + (token - 1) * size, size, token};
    }
    void release(std::uint64_t token) noexcept override { free_.push_back(token); }
    [[nodiscard]] std::size_t left() const noexcept { return free_.size(); }

private:
    static constexpr std::uint32_t size = 2048;
    std::vector<std::byte> octets_;
    std::vector<std::uint64_t> free_;
};

/// One end of a wire that allocates nothing either.
struct fixed_end {
    fixed_end(const tcp::connection_options& options, std::uint32_t initial)
        : c(memory, options, {tcp::sequence_number(initial), 1}) {}

    fixed_buffers buffers{4096};
    tcp::range_pool ranges{8192};
    tcp::memory memory{buffers, ranges};
    tcp::connection c;
};

/// Carries what one end sends to the other, but for each `lost`th segment.
std::uint64_t carry(fixed_end& from, fixed_end& to, time_point now, std::uint64_t& count, std::uint64_t lost) {
    tcp::outgoing out;
    std::uint64_t carried = 0;
    while (from.c.next_segment(out, now)) {
        ++carried;
        if (lost != 0 && ++count % lost == 0) { continue; }
        const tcp::buffer room = to.buffers.allocate();
        if (!out.payload.empty()) { std::memcpy(room.data, out.payload.data(), out.payload.size()); }
        const tcp::segment came{out.sequence, out.acknowledgment, out.flags, out.window, out.options,
                                {room.data, out.payload.size()}};
        if (to.c.state() == tcp::state::closed) {
            to.c.accept(came, now);
            to.buffers.release(room.token);
        } else if (!to.c.receive(came, room.token, now)) {
            to.buffers.release(room.token);
        }
    }
    return carried;
}

}  // namespace

TEST_CASE("tcp 12: a connection allocates nothing for a segment, lost ones included") {
    for (const bool sack : {true, false}) {
        tcp::connection_options options;
        options.sack = sack;
        fixed_end a(options, 0xffff'ff00);
        fixed_end b(options, 0x7fff'ff00);
        const fluxnet::test::allocation_watch watch;
        time_point now = pair::begin;
        std::uint64_t count = 0;
        std::uint64_t carried = 0;
        std::array<std::byte, 8192> some{};
        a.c.connect(now);
        for (int i = 0; i != 5000; ++i) {
            (void)a.c.write(some, now);
            (void)b.c.write(std::span(some).first(300), now);
            carried += carry(a, b, now, count, i > 10 ? 50 : 0);
            carried += carry(b, a, now, count, i > 10 ? 70 : 0);
            (void)a.c.read(some, now);
            (void)b.c.read(some, now);
            now += 1ms;
            if (a.c.deadline() <= now) { a.c.on_deadline(now); }
            if (b.c.deadline() <= now) { b.c.on_deadline(now); }
        }
        CHECK(watch.allocations() == 0);
        CHECK(carried > 2'000);
        CHECK(a.c.info().resent > 20);
        CHECK(b.c.info().received_octets > 1'000'000);
    }
}

TEST_CASE("tcp 12: what a user writes to a peer that never reads is bounded, and given back at the end") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.send_limit = 50'000;
        script s(at, options);
        s.open(sack_peer(), 0);
        std::size_t taken = 0;
        const std::vector<std::byte> octets(10'000);
        for (int i = 0; i != 20; ++i) { taken += s.c.write(octets, s.now); }
        CHECK(taken == 50'000);
        CHECK(s.c.writable() == 0);
        CHECK(s.buffers.lent() <= 50'000 / 1460 + 1);
        CHECK(s.ranges.in_use() <= 50'000 / 1460 + 1);
        s.does([&](tcp::connection& c) { c.abort(s.now); });
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
    });
}

TEST_CASE("tcp 12: what a peer sends to a user who never reads is bounded by the window (RFC 9293 section 3.8.6)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.receive_limit = 30'000;
        script s(at, options);
        s.open();
        for (std::uint32_t i = 0; i != 100; ++i) { s.in({.seq = 1 + 1460 * i, .data = 1460}); }
        CHECK(s.c.readable() == 30'000);
        CHECK(s.buffers.lent() <= 21);
        CHECK(s.info().receive_window == 0);
        s.came_out.clear();
        CHECK(s.read() == 30'000);
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
        CHECK(s.out().window != 0);
    });
}

TEST_CASE("tcp 12: a peer that sends single octets beyond gaps fills a bounded number of ranges, and then no more") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.most_ranges = 64;
        options.receive_limit = 64 * 1024;
        script s(at, options);
        s.open();
        for (std::uint32_t i = 1; i != 2000; ++i) { s.in({.seq = 1 + 2 * i, .data = 1}); }
        s.came_out.clear();
        CHECK(s.ranges.in_use() == 64);
        CHECK(s.buffers.lent() == 0);  // octets that few need no buffer
        CHECK(s.info().beyond_gap == 64);
        for (std::uint32_t i = 0; i != 8; ++i) { s.in({.seq = 1 + 500 * i, .data = 500}); }
        s.wait(1s);
        CHECK(s.all_out().back().ack == 4001);  // nothing is stuck
        CHECK(s.read() == 4000);
        CHECK(s.ranges.in_use() == 0);
    });
}

TEST_CASE("tcp 12: without ranges or buffers a write takes less, and goes on when there are some") {
    script s;
    s.open();
    s.buffers.limit = 3;
    CHECK(s.c.write(std::vector<std::byte>(10'000), s.now) == 3 * 1460);
    CHECK(s.c.write(std::vector<std::byte>(10'000), s.now) == 0);
    s.buffers.limit = ~std::size_t{0};
    CHECK(s.c.write(std::vector<std::byte>(100), s.now) == 100);
}

TEST_CASE("tcp ownership: octets that are lent keep their buffer and the window small until they are returned") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.receive_limit = 8000;
        options.window_scaling = false;
        script s(at, options);
        s.open();
        s.in({.data = 2000});
        s.in({.seq = 2001, .data = 2000});
        CHECK(s.buffers.lent() == 2);
        std::array<std::byte, 8> little{};
        const auto first = s.c.lend(little);
        REQUIRE(first.has_value());
        CHECK(first->octets.size() == 2000);
        CHECK(first->token != 0);
        CHECK(s.info().lent == 2000);
        CHECK(s.c.readable() == 2000);
        s.was_read = 2000;
        CHECK(s.read() == 2000);
        CHECK(s.buffers.lent() == 1);
        s.came_out.clear();
        s.in({.seq = 4001, .data = 2000});
        CHECK(s.out({.ack = 6001}).window == 4000);  // what was read is free, what is lent is not
        s.in({.seq = 6001, .data = 4000});
        CHECK(s.out({.ack = 10001}).window == 0);
        CHECK(s.read() == 6000);
        CHECK(s.out({.ack = 10001}).window == 6000);
        s.buffers.release(first->token);
        s.does([&](tcp::connection& c) { c.returned(2000, s.now); });
        s.in({.seq = 10001, .data = 500});
        CHECK(s.out({.ack = 10501}).window == 7500);
        CHECK(s.info().lent == 0);
    });
}

TEST_CASE("tcp ownership: that all is returned announces a window that was closed") {
    tcp::connection_options options;
    options.receive_limit = 4000;
    options.window_scaling = false;
    script s({}, options);
    s.open();
    s.in({.data = 4000});
    s.out({.ack = 4001, .window = 0});
    std::array<std::byte, 8> little{};
    const auto lent = s.c.lend(little);
    REQUIRE(lent.has_value());
    s.does([](tcp::connection&) {});
    s.silent();
    s.buffers.release(lent->token);
    s.does([&](tcp::connection& c) { c.returned(4000, s.now); });
    s.out({.flags = flag::ack, .ack = 4001, .window = 4000});
}

TEST_CASE("tcp ownership: few octets are copied together, and very few are lent by value") {
    script s;
    s.open();
    for (std::uint32_t i = 0; i != 10; ++i) { s.in({.seq = 1 + 100 * i, .data = 100}); }
    CHECK(s.buffers.lent() == 1);
    CHECK(s.read() == 1000);
    CHECK(s.buffers.lent() == 0);
    s.in({.seq = 1001, .data = 5});
    CHECK(s.buffers.lent() == 0);
    std::array<std::byte, 8> little{};
    const auto lent = s.c.lend(little);
    REQUIRE(lent.has_value());
    CHECK(lent->token == 0);
    CHECK(lent->octets.data() == little.data());
    CHECK(lent->octets.size() == 5);
    s.c.returned(5, s.now);
}

TEST_CASE("tcp ownership: what is sent stays in its buffer until it is acknowledged, whatever SACK says (RFC 2018 section 8)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        const tcp::buffer own = s.buffers.allocate();
        REQUIRE(s.c.write_buffer(own, 1000, s.now));
        tcp::outgoing out;
        REQUIRE(s.c.next_segment(out, s.now));
        CHECK(out.token == own.token);
        CHECK(out.payload.data() == own.data);
        CHECK(out.payload.size() == 1000);
        s.in({.options = s.sacks({{1, 1001}})});
        s.in({.ack = 501});
        CHECK(s.buffers.lent() == 1);
        s.in({.ack = 1001});
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
    });
}

TEST_CASE("tcp ownership: a segment that has to be cut is copied, and what a device may still read is not moved") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        const tcp::buffer own = s.buffers.allocate();
        REQUIRE(s.c.write_buffer(own, 1400, s.now));
        tcp::outgoing out;
        REQUIRE(s.c.next_segment(out, s.now));
        REQUIRE(out.payload.data() == own.data);
        s.does([&](tcp::connection& c) { c.on_too_big(tcp::sequence_number(at.own + 1), 1000, s.now); });
        const auto sent = s.c.info().in_flight;
        CHECK(sent == 1400);
        CHECK(s.buffers.lent() == 2);
        s.came_out.clear();
        s.in({.ack = 1001});
        CHECK(s.buffers.lent() == 1);  // the copy is gone, the buffer is not
        s.in({.ack = 1401});
        CHECK(s.buffers.lent() == 0);
    });
}

TEST_CASE("tcp ownership: a write of a buffer that is refused leaves it with the user") {
    tcp::connection_options options;
    options.send_limit = 1000;
    script s({}, options);
    s.open();
    const tcp::buffer own = s.buffers.allocate();
    CHECK_FALSE(s.c.write_buffer(own, 1001, s.now));
    s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });
    CHECK_FALSE(s.c.write_buffer(own, 10, s.now));
    CHECK(s.buffers.lent() == 1);
    s.buffers.release(own.token);
}
