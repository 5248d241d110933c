// SPDX-License-Identifier: BSD-3-Clause
// What the options of segments do to a connection.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

/// Opens with SYN options as they are on the wire, and returns how large the first segment of a long write is.
std::size_t first_segment(script& s, std::vector<std::uint8_t> raw_options) {
    s.in({.flags = flag::syn, .seq = 0, .options = options_of_segment{}, .raw_options = std::move(raw_options)});
    s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
    s.in({});
    s.write(5000);
    const std::size_t size = s.out({.seq = 1}).octets.size();
    s.came_out.clear();
    return size;
}

}  // namespace

TEST_CASE("tcp 5: a peer that names no maximum segment size gets 536 octets (RFC 9293 section 3.7.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open(options_of_segment{});
        s.write(2000);
        s.out({.seq = 1, .data = 536});
        s.out({.seq = 537, .data = 536});
    });
}

TEST_CASE("tcp 5: the maximum segment size is the peer's, at most the path's and at least a floor (RFC 9293 section 3.7.1)") {
    struct { std::uint16_t asked; std::size_t got; } const table[] = {
        {1, 88}, {48, 88}, {88, 88}, {500, 500}, {1460, 1460}, {8960, 1460}, {65535, 1460}};
    for (const auto& row : table) {
        CAPTURE(row.asked);
        script s;
        s.open(plain_peer(row.asked));
        s.write(3000);
        CHECK(s.out({.seq = 1}).octets.size() == row.got);
    }
}

TEST_CASE("tcp 5: options count: beside timestamps a segment has 12 octets fewer of data (RFC 9293 section 3.7.1, RFC 6691)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.write(3000);
        const sent_segment first = s.out({.seq = 1, .data = 1448});
        CHECK(first.options.timestamps);
        CHECK(first.options.sack_count == 0);
    });
}

TEST_CASE("tcp 5: unknown options are skipped by their length (RFC 9293 section 3.1)") {
    script s;
    CHECK(first_segment(s, {253, 6, 1, 2, 3, 4, 2, 4, 0x03, 0xe8, 1, 0}) == 1000);
}

TEST_CASE("tcp 5: a malformed option ends the options, does no harm, and those before it count (RFC 9293 section 3.1)") {
    const std::vector<std::uint8_t> table[] = {
        {2, 4, 0x03, 0xe8, 253, 0, 1, 1},      // no length
        {2, 4, 0x03, 0xe8, 253, 1, 1, 1},      // shorter than its head
        {2, 4, 0x03, 0xe8, 253, 200, 1, 1},    // longer than the options
        {2, 4, 0x03, 0xe8, 2, 3, 0, 0},        // not the length of its kind
        {2, 4, 0x03, 0xe8, 5, 10, 0, 0},       // SACK, cut off
        {2, 4, 0x03, 0xe8, 1, 1, 1, 253},      // a kind alone at the end
        {2, 4, 0x03, 0xe8, 0, 2, 4, 9},        // behind the end of the list
    };
    for (const auto& raw : table) {
        script s;
        CHECK(first_segment(s, raw) == 1000);
        s.in({.ack = 1001, .data = 10, .raw_options = raw});
        CHECK(s.read() == 10);
        CHECK(s.c.state() == tcp::state::established);
    }
    script s;
    CHECK(first_segment(s, {0, 0, 0, 0}) == 536);
}

TEST_CASE("tcp 5: a maximum segment size or window scale on a segment without SYN means nothing (RFC 9293 section 3.2)") {
    script s;
    s.open(plain_peer());
    s.in({.window = 5000, .raw_options = {2, 4, 0, 100, 1, 3, 3, 7}});
    CHECK(s.info().send_window == 5000);
    s.write(2000);
    s.out({.data = 1460});
}

TEST_CASE("tcp 6: without the peer's window scale the window ends at 65,535 octets (RFC 7323 section 2.2)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        const sent_segment answer = s.out({.flags = flag::syn | flag::ack});
        CHECK(answer.options.window_scale == options_of_segment::no_scale);
        CHECK_FALSE(answer.options.timestamps);
        CHECK(answer.options.sack_permitted);
        s.in({.data = 100});
        CHECK(s.out({.ack = 101}).window == 0xffff);
        CHECK(s.info().receive_window == 65535);
        CHECK(s.info().send_window == 65535);
    });
}

TEST_CASE("tcp 6: both windows are scaled once both SYNs said so, but not in the SYNs (RFC 7323 section 2.2)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .window = 0xffff, .options = modern_peer()});
        CHECK(s.out({.flags = flag::syn | flag::ack}).window == 0xffff);
        CHECK(s.info().send_window == 0xffff);
        s.in({.window = 0x1000, .data = 100});
        CHECK(s.info().send_window == 0x1000U << 7);
        CHECK(s.out({.ack = 101}).window == (256 * 1024 - 100) >> 8);
    });
}

TEST_CASE("tcp 6: a window scale above 14 counts as 14 (RFC 7323 section 2.3)") {
    for (const std::uint8_t scale : {std::uint8_t{14}, std::uint8_t{15}, std::uint8_t{254}}) {
        script s;
        options_of_segment peer = sack_peer();
        peer.window_scale = scale;
        s.in({.flags = flag::syn, .seq = 0, .options = peer});
        s.out();
        s.in({.window = 3});
        CHECK(s.info().send_window == 3U << 14);
    }
}

TEST_CASE("tcp 6: the own window scale is at most 14, tells the whole receive limit, and leaves a small one visible (RFC 7323 "
          "section 2.3)") {
    struct { std::uint32_t limit; std::uint8_t wanted; int least; int most; } const table[] = {
        {1U << 30, 8, 14, 14}, {1U << 20, 0, 4, 5}, {65535, 0, 0, 0}, {256 * 1024, 20, 8, 14}, {100, 8, 0, 6}, {2000, 14, 0, 10}};
    for (const auto& row : table) {
        CAPTURE(row.limit);
        tcp::connection_options options;
        options.receive_limit = row.limit;
        options.window_scale = row.wanted;
        script s({}, options);
        s.in({.flags = flag::syn, .seq = 0, .options = modern_peer()});
        const int scale = s.out().options.window_scale;
        CHECK(scale >= row.least);
        CHECK(scale <= row.most);
        s.in({.data = 50});
        s.read();
        s.in({.seq = 51, .data = 40});
        s.came_out.clear();
        CHECK(s.read() == 40);
        s.in({.seq = 91});
        CHECK(s.info().receive_window > 0);
    }
}

TEST_CASE("tcp 6: timestamps are sent once agreed on, and echo the peer's (RFC 7323 section 3)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = modern_peer()});
        const sent_segment answer = s.out();
        CHECK(answer.options.timestamps);
        CHECK(answer.options.timestamp_echo == s.peer_clock());
        s.wait(30ms);
        s.in({});
        s.in({.data = 100});
        const sent_segment ack = s.out({.ack = 101});
        CHECK(ack.options.timestamps);
        CHECK(ack.options.timestamp_echo == s.peer_clock());
        CHECK(ack.options.timestamp == answer.options.timestamp + 30);
    });
}

TEST_CASE("tcp 6: a segment without the timestamps that were agreed on is dropped in silence, but for a reset (RFC 7323 "
          "section 3.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.in({.data = 100, .without_timestamps = true});
        s.silent();
        CHECK(s.c.readable() == 0);
        s.in({.flags = flag::rst, .seq = 1, .without_timestamps = true});
        CHECK(s.c.ending() == tcp::ending::reset);
    });
}

TEST_CASE("tcp 6: timestamps of a peer that has not agreed on them mean nothing (RFC 7323 section 3.2)") {
    script s;
    s.open(sack_peer());
    options_of_segment stamps;
    stamps.timestamps = true;
    stamps.timestamp = 5;
    s.in({.data = 100, .options = stamps});
    CHECK_FALSE(s.out({.ack = 101}).options.timestamps);
    stamps.timestamp = 1;
    s.in({.seq = 101, .data = 100, .options = stamps});
    s.out({.ack = 201});
}

TEST_CASE("tcp 6: a segment with a timestamp older than the last one is answered and dropped (RFC 7323 section 5.3)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.wait(100ms);
        s.in({.data = 100});
        s.out({.ack = 101});
        options_of_segment old;
        old.timestamps = true;
        old.timestamp = s.peer_clock() - 1;
        s.in({.seq = 101, .data = 100, .options = old});
        s.out({.flags = flag::ack, .ack = 101, .data = 0});
        s.in({.flags = flag::ack | flag::fin, .seq = 101, .options = old});
        s.out({.flags = flag::ack, .ack = 101, .data = 0});
        CHECK(s.c.readable() == 100);
        CHECK(s.c.state() == tcp::state::established);
        old.timestamp = s.peer_clock();  // as old as the last one is not older
        s.in({.seq = 101, .data = 100, .options = old});
        CHECK(s.c.readable() == 200);
    });
}

TEST_CASE("tcp 6: after 24 days without a segment an older timestamp is good again (RFC 7323 section 5.5)") {
    for (const int days : {23, 25}) {
        CAPTURE(days);
        script s;
        s.open(modern_peer());
        s.wait(days * 24h);
        options_of_segment turned;
        turned.timestamps = true;
        turned.timestamp = s.peer_clock_offset - 5;
        s.in({.data = 100, .options = turned});
        const bool good = days > 24;
        CHECK(s.c.readable() == (good ? 100U : 0U));
        const sent_segment answer = s.out({.ack = good ? 101U : 1U});
        CHECK((answer.options.timestamp_echo == turned.timestamp) == good);
    }
}

TEST_CASE("tcp 6: only a segment at the left edge tells which timestamp is echoed (RFC 7323 section 4.3)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.quick_acks = 0;
        script s(at, options);
        s.open(modern_peer());
        s.in({.data = 100});
        const std::uint32_t first = s.peer_clock();
        s.wait(10ms);
        s.in({.seq = 101, .data = 100});  // its ACK is delayed: the earlier one counts (section 4.3 (A))
        s.wait(50ms);
        CHECK(s.out({.ack = 201}).options.timestamp_echo == first);
        s.in({.seq = 301, .data = 100});  // beyond a gap
        CHECK(s.out({.ack = 201}).options.timestamp_echo == first);
        s.wait(10ms);
        s.in({.seq = 201, .data = 100});  // fills it (section 4.3 (C))
        CHECK(s.out({.ack = 401}).options.timestamp_echo == s.peer_clock());
    });
}

TEST_CASE("tcp 6: an ACK of what was never sent leaves no timestamp behind (RFC 5961 section 5.2)") {
    script s;
    s.open(modern_peer());
    options_of_segment forged;
    forged.timestamps = true;
    forged.timestamp = s.peer_clock() + 1'000'000;
    s.in({.ack = 50'000, .options = forged});
    s.came_out.clear();
    s.in({.data = 100});
    CHECK(s.c.readable() == 100);
}

TEST_CASE("tcp 6: what is beyond a gap is told by SACK, the newest block first, and goes once the gap is filled (RFC 2018 "
          "section 4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer());
        const auto block = [&](std::uint32_t left, std::uint32_t right) {
            return fluxnet::proto::sack_block{at.peer + left, at.peer + right};
        };
        s.in({.seq = 1001, .data = 500});
        sent_segment ack = s.out({.ack = 1, .data = 0});
        REQUIRE(ack.options.sack_count == 1);
        CHECK(ack.options.sack[0] == block(1001, 1501));
        s.in({.seq = 3001, .data = 500});
        ack = s.out({.ack = 1});
        REQUIRE(ack.options.sack_count == 2);
        CHECK(ack.options.sack[0] == block(3001, 3501));
        CHECK(ack.options.sack[1] == block(1001, 1501));
        s.in({.seq = 1501, .data = 500});
        ack = s.out({.ack = 1});
        REQUIRE(ack.options.sack_count == 2);
        CHECK(ack.options.sack[0] == block(1001, 2001));
        s.in({.seq = 1, .data = 1000});
        ack = s.out({.ack = 2001});
        REQUIRE(ack.options.sack_count == 1);
        CHECK(ack.options.sack[0] == block(3001, 3501));
        s.in({.seq = 2001, .data = 1000});
        CHECK(s.out({.ack = 3501}).options.sack_count == 0);
        CHECK(s.read() == 3500);
    });
}

TEST_CASE("tcp 6: without SACK agreed on no block is sent, and none is believed (RFC 2018 section 2)") {
    script s;
    s.open(plain_peer());
    s.in({.seq = 1001, .data = 500});
    CHECK(s.out({.ack = 1}).options.sack_count == 0);
    s.write(1000);
    s.came_out.clear();
    s.in({.ack = 1, .options = s.sacks({{1, 1001}})});
    CHECK(s.info().sacked == 0);
}

TEST_CASE("tcp 6: octets that come twice are told in the first block (RFC 2883 section 4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer());
        s.in({.data = 1000});
        s.out({.ack = 1001});
        s.in({.seq = 501, .data = 500});
        sent_segment ack = s.out({.ack = 1001, .data = 0});
        REQUIRE(ack.options.sack_count == 1);
        CHECK(ack.options.sack[0] == fluxnet::proto::sack_block{at.peer + 501, at.peer + 1001});
        s.in({.seq = 2001, .data = 500});
        CHECK(s.out({.ack = 1001}).options.sack_count == 1);
        s.in({.seq = 2001, .data = 500});
        ack = s.out({.ack = 1001});
        REQUIRE(ack.options.sack_count == 2);
        CHECK(ack.options.sack[0] == ack.options.sack[1]);
    });
}
