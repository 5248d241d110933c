// SPDX-License-Identifier: BSD-3-Clause
// What a connection does when something is lost, and how much it sends besides.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

constexpr std::uint32_t mss = 1460;

/// Where segment number `n`, counted from 0, begins.
constexpr std::uint32_t at_segment(std::uint32_t n) { return 1 + n * mss; }

/// Writes so many full segments, all of which are sent.
void send_segments(script& s, std::uint32_t count) {
    s.write(count * mss);
    CHECK(s.all_out().size() == count);
}

}  // namespace

TEST_CASE("tcp 7: what is not acknowledged is sent again after the timeout, which doubles (RFC 6298 section 5)") {
    at_every_start([](start at) {
        script s(at);
        s.open(plain_peer());
        send_segments(s, 1);
        std::chrono::nanoseconds timeout = 200ms;
        time_point last = s.now;
        for (int i = 0; i != 6; ++i) {
            s.wait_for_output();
            const sent_segment again = s.out({.flags = flag::ack, .seq = 1});
            CHECK(again.at - last == timeout);
            last = again.at;
            timeout *= 2;
        }
        CHECK(s.info().timeouts == 6);
        CHECK(s.info().congestion_window <= mss);
    });
}

TEST_CASE("tcp 7: an ACK of new data begins the timer anew, an old or equal one does not (RFC 6298 section 5.3)") {
    at_every_start([](start at) {
        script s(at);
        s.open(plain_peer());
        send_segments(s, 2);
        s.wait(150ms);
        s.in({.ack = at_segment(1)});
        CHECK(s.until_deadline() >= 200ms);
        s.wait(150ms);
        s.in({.ack = at_segment(1)});
        s.in({.ack = 1});
        s.silent();
        s.wait(100ms);
        s.out({.seq = at_segment(1)});
    });
}

TEST_CASE("tcp 7: once all is acknowledged no timer runs (RFC 6298 section 5.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        send_segments(s, 3);
        s.in({.ack = at_segment(3)});
        CHECK(s.c.deadline() == time_point::max());
        CHECK(s.buffers.lent() == 0);
    });
}

TEST_CASE("tcp 7: what was sent twice gives no round trip without timestamps, and one with them (Karn, RFC 6298 section 3)") {
    for (const bool stamps : {false, true}) {
        script s;
        s.open(stamps ? modern_peer() : plain_peer());
        s.write(1000);
        s.out();
        s.wait_for_output();
        s.out({.seq = 1});
        s.wait(50ms);
        s.in({.ack = 1001});
        CHECK(s.info().smoothed_rtt == (stamps ? 15ms : 10ms));
        CHECK(s.info().retransmission_timeout == (stamps ? 200ms : 400ms));  // the back-off lasts until a sample
        s.write(1000);
        s.wait(10ms);
        s.in({.ack = 2001});
        CHECK(s.info().retransmission_timeout == 200ms);
    }
}

TEST_CASE("tcp 7: the timeout is that of the round trips, with their variation (RFC 6298 section 2)") {
    script s;
    s.open(plain_peer());
    for (std::uint32_t i = 0; i != 40; ++i) {
        s.write(100);
        s.came_out.clear();
        s.wait(400ms - (i % 2) * 1ns);
        s.in({.ack = 1 + 100 * (i + 1)});
    }
    CHECK(s.info().smoothed_rtt > 390ms);
    CHECK(s.info().retransmission_timeout >= 400ms);
    CHECK(s.info().retransmission_timeout < 600ms);
}

TEST_CASE("tcp 7: on a long, steady path neither the timeout nor a tail probe comes before an acknowledgment that the peer "
          "delays (RFC 6298 section 2.4, RFC 8985 section 7.2)") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), sack_peer(), modern_peer()}) {
            script s(at);
            s.connect();
            s.out({.flags = flag::syn});
            s.wait(300ms);
            s.in({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .options = peer});
            s.came_out.clear();
            std::uint32_t sent = 1;
            for (std::uint32_t i = 0; i != 60; ++i) {
                s.write(1000);
                s.came_out.clear();
                s.wait(300ms);
                sent += 1000;
                s.in({.ack = sent});
            }
            s.write(1000);
            s.out({.seq = sent});
            s.wait(300ms + 190ms);
            s.silent();
            s.in({.ack = sent + 1000});
            CHECK(s.info().resent == 0);
            CHECK(s.info().tail_probes == 0);
        }
    });
}

TEST_CASE("tcp 7: a tail probe that was needless does not widen the reordering window (RFC 8985 section 6.2 step 4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        send_segments(s, 3);
        s.wait(20ms);
        s.out({.seq = at_segment(2), .data = mss});
        s.in({.ack = at_segment(3)});
        s.in({.ack = at_segment(3), .options = s.sacks({{at_segment(2), at_segment(3)}})});  // the probe was a duplicate
        send_segments(s, 4);
        s.wait(10ms);
        s.in({.ack = at_segment(3), .options = s.sacks({{at_segment(4), at_segment(5)}})});
        s.silent();
        CHECK(s.until_deadline() == 2500us);  // a quarter of the least round trip, and no more
    });
}

TEST_CASE("tcp 7: a peer that never acknowledges is given up after R2, at least 100 s (RFC 1122 section 4.2.3.5)") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), sack_peer(), modern_peer()}) {
            script s(at);
            s.open(peer);
            s.write(5000);
            const time_point begun = s.now;
            std::size_t segments = 0;
            while (s.c.state() != tcp::state::closed) {
                s.wait_for_output();
                segments += s.all_out().size();
                REQUIRE(segments < 100);
            }
            CHECK(s.c.ending() == tcp::ending::timed_out);
            CHECK(s.now - begun >= 100s);
            CHECK(s.now - begun < 400s);
            CHECK(s.buffers.lent() == 0);
            CHECK(s.ranges.in_use() == 0);
        }
    });
}

TEST_CASE("tcp 7: a peer that vanishes while its window is closed is given up, too (RFC 1122 section 4.2.2.17)") {
    script s;
    s.open(sack_peer(), 0);
    s.write(1000);
    s.wait(600s);
    CHECK(s.c.ending() == tcp::ending::timed_out);
    CHECK(s.buffers.lent() == 0);
}

TEST_CASE("tcp 7: a lost segment is found by what was sent later, a quarter of a round trip after (RFC 8985 section 6)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        send_segments(s, 4);
        s.wait(10ms);
        s.in({.options = s.sacks({{at_segment(1), at_segment(2)}})});
        s.silent();
        CHECK(s.until_deadline() <= 5ms);
        s.wait(s.until_deadline());
        s.out({.seq = 1, .data = mss});
        s.silent();
        CHECK(s.info().fast_recoveries == 1);
        s.in({.ack = at_segment(4)});
        CHECK(s.info().timeouts == 0);
        CHECK(s.c.deadline() == time_point::max());
    });
}

TEST_CASE("tcp 7: three segments that were SACKed are three, however small, and one is one (RFC 8985 section 6.2 step 4)") {
    at_every_start([](start at) {
        for (const std::uint32_t size : {1U, 100U, mss}) {
            CAPTURE(size);
            script s(at);
            s.open();
            s.does([&](tcp::connection& c) { c.set_no_delay(true, s.now); });
            for (int i = 0; i != 6; ++i) { s.write(size); }
            CHECK(s.all_out().size() == 6);
            s.wait(10ms);
            s.in({.options = s.sacks({{1 + size, 1 + 2 * size}})});
            s.in({.options = s.sacks({{1 + size, 1 + 3 * size}})});
            s.silent();
            s.in({.options = s.sacks({{1 + size, 1 + 4 * size}})});
            s.out({.seq = 1, .data = size});
            s.silent();
            CHECK(s.info().fast_recoveries == 1);
        }
    });
}

TEST_CASE("tcp 7: a lost retransmission is found, too, without a timeout (RFC 8985 section 6)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        send_segments(s, 6);
        s.wait(10ms);
        s.in({.options = s.sacks({{at_segment(1), at_segment(4)}})});
        s.out({.seq = 1});
        s.write(2 * mss);
        s.wait(1ms);
        s.came_out.clear();
        s.wait(9ms);
        s.in({.options = s.sacks({{at_segment(1), at_segment(6)}})});
        s.came_out.clear();
        s.wait(12ms);
        s.in({.options = s.sacks({{at_segment(1), at_segment(8)}})});
        s.wait(4ms);
        bool again = false;
        for (const sent_segment& one : s.all_out()) { again = again || one.seq == 1; }
        CHECK(again);
        CHECK(s.info().timeouts == 0);
    });
}

TEST_CASE("tcp 7: what a timer has asked for is forgotten if the acknowledgment comes before it could be sent") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), sack_peer()}) {
            script s(at);
            s.open(peer);
            send_segments(s, 2);
            s.now = s.c.deadline();
            s.c.on_deadline(s.now);  // the device has no room for the probe, or for what is sent again
            s.in({.ack = at_segment(2), .window = 0});
            s.silent();
            s.write(10);
            s.silent();  // no probe of the closed window before it is time for one
            s.in({.ack = at_segment(2)});
            s.out({.seq = at_segment(2), .data = 10});
            s.in({.ack = at_segment(2) + 10});
            s.write(3 * mss);
            if (peer.sack_permitted) { CHECK(s.until_deadline() < 200ms); }  // no tail probe is out, so there is one to come
            CHECK(s.info().resent == 0);
        }
    });
}

TEST_CASE("tcp 7: the end of a flight that nothing follows is probed before the timeout (RFC 8985 section 7)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        send_segments(s, 3);
        CHECK(s.until_deadline() == 20ms);
        s.wait(20ms);
        s.out({.seq = at_segment(2), .data = mss});
        s.silent();
        CHECK(s.info().tail_probes == 1);
        s.wait(10ms);
        s.in({.options = s.sacks({{at_segment(2), at_segment(3)}})});  // so the others are lost
        s.wait(10ms);
        const std::vector<sent_segment> again = s.all_out();
        REQUIRE_FALSE(again.empty());
        CHECK(again[0].seq == 1);
        CHECK(s.info().timeouts == 0);
    });
}

TEST_CASE("tcp 7: a loss that a tail probe has mended reduces the window as any other, by the flight before the ACK that tells "
          "of it (RFC 8985 section 7.4.2)") {
    at_every_start([](start at) {
        for (const auto& peer : {sack_peer(), modern_peer()}) {
            script s(at);
            s.open(peer);
            const std::uint32_t size = s.info().segment;
            s.write(3 * size);
            CHECK(s.all_out().size() == 3);
            s.wait(10ms);
            s.in({.ack = 1 + 2 * size});
            s.wait_for_output();
            s.out({.seq = 1 + 2 * size, .data = size});
            CHECK(s.info().tail_probes == 1);
            s.wait(10ms);
            s.in({.ack = 1 + 3 * size});  // of which of the two, nobody knows
            CHECK(s.info().congestion_window >= 10 * size);
            s.write(10 * size);
            CHECK(s.all_out().size() == 10);
            s.wait(10ms);
            s.in({.ack = 1 + 13 * size});  // no duplicate was told: one of them was lost
            CHECK(s.info().fast_recoveries == 1);
            CHECK(s.info().slow_start_threshold == 7 * size);
            CHECK(s.info().congestion_window == 7 * size);
        }
    });
}

TEST_CASE("tcp 7: a probe of the tail carries new data where there is some (RFC 8985 section 7.3)") {
    script s;
    s.open();
    s.write(20 * mss);  // ten of them are the initial window
    CHECK(s.all_out().size() == 10);
    s.wait(20ms);
    s.out({.seq = at_segment(10), .data = mss});
    s.silent();
}

TEST_CASE("tcp 7: without SACK there is no probe of the tail (RFC 8985 section 7.2)") {
    script s;
    s.open(plain_peer());
    send_segments(s, 3);
    s.wait(199ms);
    s.silent();
}

TEST_CASE("tcp 8: the initial window is ten segments, or 14,600 octets (RFC 6928 section 2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(100'000);
        CHECK(s.all_out().size() == 10);
        script small(at);
        small.open(sack_peer(536));
        small.write(100'000);
        CHECK(small.all_out().size() == 10);
    });
}

TEST_CASE("tcp 8: in slow start each acknowledged segment lets two follow (RFC 5681 section 3.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(200'000);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        std::size_t followed = 0;
        for (std::uint32_t i = 1; i != 6; ++i) {
            s.in({.ack = at_segment(2 * i)});
            followed += s.all_out().size();
        }
        CHECK(followed == 20);
    });
}

TEST_CASE("tcp 8: three duplicate ACKs resend the segment, further ones let new data out, and a partial ACK resends the next "
          "(RFC 5681 section 3.2, RFC 6582 section 3.2)") {
    at_every_start([](start at) {
        for (const bool changing_window : {false, true}) {
            script s(at);
            s.open(plain_peer());
            s.write(40 * mss);
            CHECK(s.all_out().size() == 10);
            s.wait(10ms);
            s.in({});
            s.in({});
            CHECK(s.all_out().size() == 2);  // limited transmit (RFC 3042)
            s.in({});
            s.out({.seq = 1, .data = mss});
            for (int i = 0; i != 6; ++i) { s.in({}); }
            const std::vector<sent_segment> more = s.all_out();
            CHECK_FALSE(more.empty());
            for (const sent_segment& one : more) { CHECK(one.seq >= at_segment(12)); }
            s.wait(10ms);
            s.in({.ack = at_segment(3), .window = std::uint16_t(changing_window ? 60'000 : 65'535)});
            s.out({.seq = at_segment(3), .data = mss});
            s.came_out.clear();
            CHECK(s.info().fast_recoveries == 1);
            s.in({.ack = at_segment(18)});
            CHECK(s.info().timeouts == 0);
            CHECK(s.info().congestion_window >= 2 * mss);
            CHECK(s.info().congestion_window <= 10 * mss);
        }
    });
}

TEST_CASE("tcp 8: with SACK, too, the first two duplicate ACKs let a segment out each, and the window stays (RFC 3042, RFC "
          "5681 section 3.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(40 * mss);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        for (std::uint32_t n = 2; n != 4; ++n) {
            s.in({.options = s.sacks({{at_segment(1), at_segment(n)}})});
            s.out({.seq = at_segment(8 + n), .data = mss});
            s.silent();
            CHECK(s.info().congestion_window == 10 * mss);
        }
        // It was late only: now all three count, and the first two have let theirs out.
        s.in({.ack = at_segment(3)});
        CHECK(s.all_out().size() == 4);
        CHECK(s.info().congestion_window == 13 * mss);
        CHECK(s.info().fast_recoveries == 0);
    });
}

TEST_CASE("tcp 8: duplicate ACKs that a recovery has drawn itself begin no other one (RFC 6582 section 3.2 step 2)") {
    at_every_start([](start at) {
        script s(at);
        s.open(plain_peer());
        s.write(40 * mss);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        for (int i = 0; i != 3; ++i) { s.in({}); }
        CHECK(s.info().fast_recoveries == 1);
        s.came_out.clear();
        s.wait(10ms);
        s.in({.ack = at_segment(12)});  // with the two of limited transmit: all that was sent before the recovery
        REQUIRE(s.info().in_flight >= 2 * mss);
        const std::uint32_t resent = s.info().resent;
        for (int i = 0; i != 3; ++i) { s.in({.ack = at_segment(12)}); }
        CHECK(s.info().fast_recoveries == 1);
        CHECK(s.info().resent == resent);
        s.in({.ack = at_segment(13)});
        for (int i = 0; i != 3; ++i) { s.in({.ack = at_segment(13)}); }
        CHECK(s.info().fast_recoveries == 2);  // a loss behind it
    });
}

TEST_CASE("tcp 8: what is no duplicate ACK does not count as one (RFC 5681 section 2)") {
    at_every_start([](start at) {
        script s(at);
        s.open(plain_peer());
        send_segments(s, 6);
        s.in({.data = 10});
        s.in({.seq = 11, .data = 10});
        s.in({.seq = 21, .data = 10});
        s.in({.seq = 31, .window = 60'000});
        s.in({.seq = 31, .window = 50'000});
        s.in({.seq = 31, .window = 40'000});
        CHECK(s.info().fast_recoveries == 0);
        CHECK(s.info().resent == 0);
    });
}

TEST_CASE("tcp 8: with nothing in flight duplicate ACKs mean nothing (RFC 5681 section 2)") {
    for (const auto& peer : {plain_peer(), sack_peer()}) {
        script s;
        s.open(peer);
        for (int i = 0; i != 10; ++i) { s.in({}); }
        s.silent();
        send_segments(s, 1);
        CHECK(s.info().fast_recoveries == 0);
    }
}

TEST_CASE("tcp 8: the window is reduced once for a flight that has lost several segments (RFC 6675 section 5, RFC 9438 section "
          "4.6)") {
    at_every_start([](start at) {
        for (const auto algorithm : {tcp::congestion_algorithm::cubic, tcp::congestion_algorithm::new_reno}) {
            tcp::connection_options options;
            options.congestion = algorithm;
            script s(at, options);
            s.open();
            send_segments(s, 10);
            s.wait(10ms);
            s.in({.options = s.sacks({{at_segment(4), at_segment(5)}, {at_segment(2), at_segment(3)}})});
            s.in({.options = s.sacks({{at_segment(6), at_segment(10)}, {at_segment(4), at_segment(5)}, {at_segment(2), at_segment(3)}})});
            std::vector<bool> seen(10);
            for (int i = 0; i != 10; ++i) {
                for (const sent_segment& one : s.all_out()) { seen[(one.seq - 1) / mss] = true; }
                s.wait(2ms);
            }
            for (const std::size_t n : {0U, 1U, 3U, 5U}) { CHECK(seen[n]); }
            for (const std::size_t n : {2U, 4U, 6U, 9U}) { CHECK_FALSE(seen[n]); }
            s.in({.ack = at_segment(10)});
            CHECK(s.info().fast_recoveries == 1);
            CHECK(s.info().slow_start_threshold == (algorithm == tcp::congestion_algorithm::cubic ? 7U : 5U) * mss);
            CHECK(s.info().congestion_window == s.info().slow_start_threshold);
        }
    });
}

TEST_CASE("tcp 8: losses in two flights, one after the other, reduce the window twice (RFC 5681 section 3.2, RFC 6675 section "
          "5)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(40 * mss);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        std::uint32_t sent = 10;
        std::uint32_t flight = 0;  // what was sent before the recovery
        for (std::uint32_t n = 2; n != 11; ++n) {
            if (s.info().fast_recoveries == 0) { flight = sent; }
            s.in({.options = s.sacks({{at_segment(1), at_segment(n)}})});
            for (const sent_segment& one : s.all_out()) { sent = std::max(sent, (one.seq - 1) / mss + 1); }
        }
        CHECK(s.info().fast_recoveries == 1);
        CHECK(s.info().slow_start_threshold <= 9 * mss);
        REQUIRE(sent >= flight + 4);
        s.wait(10ms);
        // All of the first flight is there, and the first segment of the second is missing.
        s.in({.ack = at_segment(flight), .options = s.sacks({{at_segment(flight + 1), at_segment(sent)}})});
        s.out({.seq = at_segment(flight), .data = mss});
        CHECK(s.info().fast_recoveries == 2);
        CHECK(s.info().slow_start_threshold < 6 * mss);
        s.wait(10ms);
        for (const sent_segment& one : s.all_out()) { sent = std::max(sent, (one.seq - 1) / mss + 1); }
        s.in({.ack = at_segment(sent)});
        CHECK(s.info().timeouts == 0);
        CHECK(s.info().congestion_window <= 7 * mss);
    });
}

TEST_CASE("tcp 8: a segment beyond a gap, and one that fills it, are acknowledged at once (RFC 5681 section 4.2)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.quick_acks = 0;
        for (const auto& peer : {plain_peer(), sack_peer()}) {
            script s(at, options);
            s.open(peer);
            s.in({.seq = 101, .data = 100});
            s.out({.flags = flag::ack, .ack = 1, .data = 0});
            s.in({.seq = 201, .data = 100});
            s.out({.flags = flag::ack, .ack = 1});
            s.in({.seq = 1, .data = 50});
            s.out({.flags = flag::ack, .ack = 51});
            s.in({.seq = 51, .data = 50});
            s.out({.flags = flag::ack, .ack = 301});
            s.silent();
        }
    });
}

TEST_CASE("tcp 8: the duplicate ACK that tells of a gap carries no data, with SACK or without (RFC 5681 section 2)") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), sack_peer()}) {
            script s(at);
            s.open(peer);
            s.write(20 * mss);
            CHECK(s.all_out().size() == 10);
            for (std::uint32_t i = 0; i != 3; ++i) {  // each acknowledges a segment, so that another one may leave
                s.in({.seq = 101 + 100 * i, .ack = at_segment(i + 1), .data = 100});
                s.out({.flags = flag::ack, .ack = 1, .data = 0});
                for (const sent_segment& one : s.all_out()) { CHECK(one.octets.size() == mss); }
            }
        }
    });
}

TEST_CASE("tcp 8: after an idle time the window is the initial one again (RFC 5681 section 4.1)") {
    script s;
    s.open();
    std::uint32_t sent = 0;
    for (int i = 0; i != 4; ++i) {
        s.write(30 * mss);
        for (int j = 0; j != 40 && s.info().unsent + s.info().in_flight != 0; ++j) {
            s.wait(10ms);
            for (const sent_segment& one : s.all_out()) { sent = std::max(sent, one.seq + static_cast<std::uint32_t>(one.octets.size())); }
            s.in({.ack = sent});
        }
    }
    CHECK(s.info().congestion_window > 20 * mss);
    s.wait(10s);
    s.write(30 * mss);
    CHECK(s.all_out().size() == 10);
}

TEST_CASE("tcp 8: a timeout that the echoed timestamp shows to be needless is taken back (RFC 3522, RFC 4015)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.write(8 * 1448);
        CHECK(s.all_out().size() == 8);
        const std::uint32_t first = s.heard_stamp;
        const auto before = s.info().congestion_window;
        s.wait(300ms);
        CHECK(s.info().timeouts == 1);
        s.came_out.clear();
        options_of_segment late;
        late.timestamps = true;
        late.timestamp = s.peer_clock();
        late.timestamp_echo = first;
        s.in({.ack = 1 + 2 * 1448, .options = late});
        CHECK(s.info().spurious == 1);
        CHECK(s.info().congestion_window >= before);
        late.timestamp_echo = first;
        s.in({.ack = 1 + 8 * 1448, .options = late});
        CHECK(s.c.deadline() == time_point::max());
    });
}
