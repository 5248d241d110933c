// SPDX-License-Identifier: BSD-3-Clause
// How a connection ends: in order, half, by a reset, and what is left of it.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

void shut(script& s) {
    s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });
}
void close(script& s) {
    s.does([&](tcp::connection& c) { c.close(s.now); });
}
void abort(script& s) {
    s.does([&](tcp::connection& c) { c.abort(s.now); });
}

/// Closes with the peer's FIN and ACK in one segment.
void to_time_wait(script& s) {
    close(s);
    s.out({.flags = flag::ack | flag::fin, .seq = 1, .ack = 1});
    s.in({.flags = flag::ack | flag::fin, .ack = 2});
    s.out({.flags = flag::ack, .seq = 2, .ack = 2});
    REQUIRE(s.c.state() == tcp::state::time_wait);
}

}  // namespace

TEST_CASE("tcp 10: an end that closes first goes through FIN-WAIT and TIME-WAIT (RFC 9293 section 3.6, figure 12)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1, .ack = 1, .data = 0});
        CHECK(s.c.state() == tcp::state::fin_wait_1);
        s.in({.ack = 2});
        CHECK(s.c.state() == tcp::state::fin_wait_2);
        s.silent();
        s.wait(1s);
        s.in({.flags = flag::ack | flag::fin, .ack = 2});
        s.out({.flags = flag::ack, .seq = 2, .ack = 2});
        CHECK(s.c.state() == tcp::state::time_wait);
        s.silent();
        CHECK(s.until_deadline() == s.options.time_wait);
        s.wait(s.options.time_wait);
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::closed);
        CHECK(s.c.take_events().ended);
        s.silent();
    });
}

TEST_CASE("tcp 10: an end that closes second goes through CLOSE-WAIT and LAST-ACK (RFC 9293 section 3.6, figure 12)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::ack | flag::fin});
        s.out({.flags = flag::ack, .ack = 2});
        CHECK(s.c.state() == tcp::state::close_wait);
        CHECK(s.c.take_events().readable);
        CHECK(s.c.peer_finished());
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1, .ack = 2});
        CHECK(s.c.state() == tcp::state::last_ack);
        s.in({.seq = 2, .ack = 1});  // an old ACK does not end it
        s.in({.seq = 2, .ack = 0});  // nor one of what was never sent, which draws a challenge
        s.out({.flags = flag::ack, .seq = 2, .ack = 2});
        CHECK(s.c.state() == tcp::state::last_ack);
        s.in({.seq = 2, .ack = 2});
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::closed);
        s.silent();
    });
}

TEST_CASE("tcp 10: two ends that close at once go through CLOSING (RFC 9293 section 3.6, figure 13)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        s.in({.flags = flag::ack | flag::fin, .ack = 1});
        s.out({.flags = flag::ack, .seq = 2, .ack = 2});
        CHECK(s.c.state() == tcp::state::closing);
        s.in({.seq = 2, .ack = 1});
        CHECK(s.c.state() == tcp::state::closing);
        s.in({.seq = 2, .ack = 2});
        CHECK(s.c.state() == tcp::state::time_wait);
    });
}

TEST_CASE("tcp 10: two ends that close at once with data queued lose none of it, and no FIN (RFC 9293 section 3.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(1000);
        s.out({.data = 1000});
        shut(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1001});
        s.in({.flags = flag::ack | flag::fin, .ack = 1, .data = 500});
        s.out({.flags = flag::ack, .ack = 502});
        CHECK(s.c.state() == tcp::state::closing);
        s.wait_for_output(3s);  // the FIN again, as a probe of the tail
        s.out({.flags = flag::ack | flag::fin, .seq = 1001, .ack = 502});
        s.wait_for_output(3s);
        s.out({.flags = flag::ack, .seq = 1, .data = 1000});
        s.in({.seq = 502, .ack = 1001});
        s.wait_for_output(3s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1001});
        s.in({.seq = 502, .ack = 1002});
        CHECK(s.c.state() == tcp::state::time_wait);
        CHECK(s.read() == 500);
    });
}

TEST_CASE("tcp 10: a half-closed connection still receives, and acknowledges (RFC 9293 section 3.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(100);
        s.out({.data = 100});
        shut(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 101});
        CHECK(s.c.write(std::vector<std::byte>(1), s.now) == 0);
        s.in({.ack = 102});
        CHECK(s.c.state() == tcp::state::fin_wait_2);
        s.wait(10h);  // nobody ends it
        s.in({.ack = 102, .data = 3000});
        s.out({.flags = flag::ack, .ack = 3001});
        CHECK(s.read() == 3000);
        s.in({.flags = flag::ack | flag::fin, .seq = 3001, .ack = 102});
        s.out({.flags = flag::ack, .ack = 3002});
        CHECK(s.c.state() == tcp::state::time_wait);
    });
}

TEST_CASE("tcp 10: in CLOSE-WAIT this end goes on to send (RFC 9293 section 3.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::ack | flag::fin});
        s.out({.ack = 2});
        s.write(3000);
        s.out({.flags = flag::ack, .seq = 1, .ack = 2, .data = 1460});
        s.out({.seq = 1461, .data = 1460});
        s.wait(1s);
        s.came_out.clear();
        s.in({.seq = 2, .ack = 2921});
        s.out({.seq = 2921, .data = 80});
        shut(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 3001});
        s.in({.seq = 2, .ack = 3002});
        CHECK(s.c.ending() == tcp::ending::closed);
    });
}

TEST_CASE("tcp 10: a FIN goes behind all that was written, and with the last of it (RFC 9293 section 3.10.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(30'000);
        shut(s);
        s.came_out.clear();
        std::uint32_t acknowledged = 1;
        for (int i = 0; i != 30 && acknowledged != 30'002; ++i) {
            acknowledged = std::min(acknowledged + 2920U, 30'002U);
            s.in({.ack = acknowledged});
        }
        const std::vector<sent_segment> all = s.all_out();
        REQUIRE_FALSE(all.empty());
        for (const sent_segment& one : all) { CHECK(one.has(flag::fin) == (one.seq + one.octets.size() == 30'001)); }
        CHECK_FALSE(all.back().octets.empty());
        CHECK(s.c.state() == tcp::state::fin_wait_2);
    });
}

TEST_CASE("tcp 10: a lost FIN is sent again until it is acknowledged or the connection gives up (RFC 9293 section 3.8.3)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        for (int i = 0; i != 4; ++i) {
            s.wait_for_output();
            s.out({.flags = flag::ack | flag::fin, .seq = 1, .ack = 1});
        }
        s.wait(600s);
        CHECK(s.c.ending() == tcp::ending::timed_out);
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
    });
}

TEST_CASE("tcp 10: to close with octets unread is to reset (RFC 9293 section 3.6.1, RFC 1122 section 4.2.2.13)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.data = 100});
        s.out({.ack = 101});
        close(s);
        s.out({.flags = flag::rst | flag::ack, .seq = 1, .ack = 101});
        s.silent();
        CHECK(s.c.ending() == tcp::ending::aborted);
        CHECK(s.buffers.lent() == 0);
    });
}

TEST_CASE("tcp 10: data that comes after close() draws a reset (RFC 9293 section 3.6.1, RFC 1122 section 4.2.2.13)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        s.in({.seq = 11, .ack = 2});  // what takes no number is no data, though it tells of some
        CHECK(s.c.state() == tcp::state::fin_wait_2);
        s.in({.ack = 2, .data = 10});
        s.out({.flags = flag::rst | flag::ack, .seq = 2, .ack = 1});
        s.silent();
        CHECK(s.c.ending() == tcp::ending::aborted);
    });
}

TEST_CASE("tcp 10: data that came before close(), and comes again, draws no reset (RFC 9293 section 3.6.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.data = 100});
        s.out({.ack = 101});
        CHECK(s.read() == 100);
        close(s);
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        s.in({.data = 100});
        s.out({.flags = flag::ack, .ack = 101});
        CHECK(s.c.state() == tcp::state::fin_wait_1);
    });
}

TEST_CASE("tcp 10: FIN-WAIT-2 of a connection that was closed ends in time, that of a half-closed one does not (RFC 9293 "
          "section 3.6)") {
    script s;
    s.open();
    close(s);
    s.in({.ack = 2});
    s.came_out.clear();
    CHECK(s.until_deadline() == s.options.fin_wait);
    s.wait(s.options.fin_wait);
    CHECK(s.c.state() == tcp::state::closed);
    script half;
    half.open();
    shut(half);
    half.in({.ack = 2});
    CHECK(half.c.deadline() == time_point::max());
    close(half);
    CHECK(half.until_deadline() == half.options.fin_wait);
}

TEST_CASE("tcp 10: abort() resets at the next number, and nothing is answered then (RFC 9293 section 3.10.5)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(3000);
        s.came_out.clear();
        s.in({.data = 50});
        s.came_out.clear();
        abort(s);
        s.out({.flags = flag::rst | flag::ack, .seq = 2921, .ack = 51, .data = 0});
        s.silent();
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::aborted);
        CHECK(s.c.deadline() == time_point::max());
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
    });
}

TEST_CASE("tcp 10: abort() while the window is closed resets within what the peer accepts (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.window = 0});
        s.write(1000);
        s.wait_for_output();
        s.out({.seq = 1, .data = 1});  // a probe, which the peer refuses
        s.in({.window = 0});
        abort(s);
        s.out({.flags = flag::rst | flag::ack, .seq = 1});
    });
}

TEST_CASE("tcp 10: abort() says nothing in SYN-SENT, and where the FIN is out and the peer's is in (RFC 9293 section 3.10.5)") {
    script opening;
    opening.connect();
    opening.came_out.clear();
    abort(opening);
    opening.silent();
    CHECK(opening.c.ending() == tcp::ending::aborted);

    script last;
    last.open();
    last.in({.flags = flag::ack | flag::fin});
    close(last);
    last.came_out.clear();
    REQUIRE(last.c.state() == tcp::state::last_ack);
    abort(last);
    last.silent();
    CHECK(last.c.state() == tcp::state::closed);

    script more;  // with data that was never sent: the peer has to know
    more.open();
    more.in({.flags = flag::ack | flag::fin, .window = 500});
    more.write(2000);
    close(more);
    more.came_out.clear();
    REQUIRE(more.c.state() == tcp::state::last_ack);
    abort(more);
    CHECK(more.out().has(flag::rst));

    script waiting;
    waiting.open();
    to_time_wait(waiting);
    abort(waiting);
    waiting.silent();
    CHECK(waiting.c.state() == tcp::state::closed);
}

TEST_CASE("tcp 10: a reset in LAST-ACK and CLOSING ends in order if nothing but the FIN was on the way (RFC 9293 section "
          "3.10.7.4)") {
    for (const bool data : {false, true}) {
        script s;
        s.open();
        s.in({.flags = flag::ack | flag::fin});
        if (data) { s.write(100); }
        close(s);
        s.in({.flags = flag::rst, .seq = 2});
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == (data ? tcp::ending::reset : tcp::ending::closed));
    }
}

TEST_CASE("tcp 10: TIME-WAIT acknowledges the peer's FIN again and begins anew (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        to_time_wait(s);
        s.wait(s.options.time_wait / 2);
        s.in({.flags = flag::ack | flag::fin, .ack = 2});
        s.out({.flags = flag::ack, .seq = 2, .ack = 2});
        CHECK(s.until_deadline() == s.options.time_wait);
        s.wait(s.options.time_wait);
        CHECK(s.c.state() == tcp::state::closed);
    });
}

TEST_CASE("tcp 10: TIME-WAIT is not ended by an old reset (RFC 1337), and old data does not prolong it") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        to_time_wait(s);
        s.wait(10s);
        s.in({.flags = flag::rst, .seq = 2, .ack = 2});
        s.in({.seq = 0xffff'fff0, .ack = 2, .data = 10});
        CHECK(s.c.state() == tcp::state::time_wait);
        CHECK(s.until_deadline() == s.options.time_wait - 10s);
    });
}

TEST_CASE("tcp 10: close() in SYN-SENT ends at once, in SYN-RECEIVED in order (RFC 9293 section 3.10.4)") {
    script sent;
    sent.connect();
    sent.came_out.clear();
    close(sent);
    sent.silent();
    CHECK(sent.c.ending() == tcp::ending::closed);

    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        close(s);
        s.silent();
        s.in({});
        s.out({.flags = flag::ack | flag::fin, .seq = 1, .ack = 1});
        CHECK(s.c.state() == tcp::state::fin_wait_1);
        s.in({.flags = flag::ack | flag::fin, .ack = 2});
        CHECK(s.c.state() == tcp::state::time_wait);
    });
}
