// SPDX-License-Identifier: BSD-3-Clause
// When a connection sends data and acknowledgments, as far as the peer's window and good manners decide it.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

tcp::connection_options slow_acks() {
    tcp::connection_options options;
    options.quick_acks = 0;
    return options;
}

}  // namespace

TEST_CASE("tcp 9: an acknowledgment waits for company, but less than half a second (RFC 9293 section 3.8.6.3)") {
    at_every_start([](start at) {
        script s(at, slow_acks());
        s.open();
        s.in({.data = 100});
        s.silent();
        CHECK(s.until_deadline() <= 500ms);
        s.wait(s.until_deadline());
        s.out({.flags = flag::ack, .seq = 1, .ack = 101, .data = 0});
        s.silent();
        CHECK(s.c.deadline() == time_point::max());
    });
}

TEST_CASE("tcp 9: data takes a waiting acknowledgment with it (RFC 9293 section 3.8.6.3)") {
    at_every_start([](start at) {
        script s(at, slow_acks());
        s.open();
        s.in({.data = 100});
        s.write(50);
        s.out({.flags = flag::ack, .seq = 1, .ack = 101, .data = 50});
        s.in({.seq = 101, .ack = 51});
        s.wait(1s);
        s.silent();
    });
}

TEST_CASE("tcp 9: at least every second full segment is acknowledged at once (RFC 9293 section 3.8.6.3)") {
    at_every_start([](start at) {
        script s(at, slow_acks());
        s.open();
        std::uint32_t next = 1;
        for (int i = 0; i != 20; ++i) {
            s.in({.seq = next, .data = 1460});
            next += 1460;
        }
        std::uint32_t before = 1;
        for (const sent_segment& one : s.all_out()) {
            CHECK(one.ack - before <= 2 * 1460);
            before = one.ack;
        }
        CHECK(next - before <= 1460);
    });
}

TEST_CASE("tcp 9: the first segments are acknowledged at once") {
    script s;
    s.open();
    for (std::uint32_t i = 0; i != s.options.quick_acks; ++i) {
        s.in({.seq = 1 + i, .data = 1});
        s.out({.flags = flag::ack, .ack = 2 + i});
    }
    s.in({.seq = 1U + s.options.quick_acks, .data = 1});
    s.silent();
}

TEST_CASE("tcp 9: less than a segment waits while anything is unacknowledged (Nagle, RFC 9293 section 3.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(10);
        s.out({.seq = 1, .data = 10});
        for (int i = 0; i != 20; ++i) { s.write(10); }
        s.silent();
        s.in({.ack = 11});
        s.out({.seq = 11, .data = 200});
        s.write(1459);
        s.silent();
        s.write(1);
        s.out({.seq = 211, .data = 1460});
    });
}

TEST_CASE("tcp 9: less than a segment waits in however many buffers it was written (Nagle, RFC 9293 section 3.7.4)") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), sack_peer()}) {
            script s(at);
            s.open(peer);
            s.write_buffer(100);
            s.out({.seq = 1, .data = 100});
            for (int i = 0; i != 14; ++i) { s.write_buffer(100); }
            s.silent();
            s.in({.ack = 101});
            s.out({.seq = 101, .data = 100});  // what has been acknowledged lets what waits follow
            CHECK(s.info().unsent == 1300);
            s.silent();
            s.write_buffer(159);
            s.silent();
            s.write_buffer(1);  // a segment's worth
            s.out({.seq = 201, .data = 100});
            s.silent();
            s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });  // nothing comes to fill it up any more
            CHECK(s.info().unsent == 0);
        }
    });
}

TEST_CASE("tcp 9: with Nagle's algorithm switched off everything goes at once (RFC 9293 section 3.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.does([&](tcp::connection& c) { c.set_no_delay(true, s.now); });
        for (std::uint32_t i = 0; i != 5; ++i) {
            s.write(10);
            CHECK(s.out({.seq = 1 + 10 * i, .data = 10}).has(flag::psh));
        }
        script held(at);  // what waits already goes when it is switched off
        held.open();
        held.write(10);
        held.write(10);
        held.out({.seq = 1, .data = 10});
        held.silent();
        held.does([&](tcp::connection& c) { c.set_no_delay(true, held.now); });
        held.out({.seq = 11, .data = 10});
    });
}

TEST_CASE("tcp 9: a part of a segment goes out only if it is half of the largest window, or after a while (RFC 9293 section "
          "3.8.6.2.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 10'000);
        s.in({.window = 500});
        s.write(1460);
        s.silent();
        s.wait(100ms);
        s.silent();
        s.wait_for_output(2s);
        const sent_segment part = s.out({.seq = 1, .data = 500});
        CHECK(part.at - pair::begin < 1s);
        s.silent();
        script half(at);
        half.open(sack_peer(), 900);
        half.write(1460);
        half.out({.seq = 1, .data = 900});
    });
}

TEST_CASE("tcp 9: the window that is told opens by a segment or half of the buffer, not by little (RFC 9293 section 3.8.6.2.2)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.receive_limit = 10'000;
        options.window_scaling = false;
        script s(at, options);
        s.open();
        s.in({.data = 10'000});
        s.out({.ack = 10'001, .window = 0});
        for (int i = 0; i != 14; ++i) {
            CHECK(s.read(100) == 100);
            s.silent();
        }
        s.in({.seq = 10'001, .data = 1});
        s.out({.ack = 10'001, .window = 0});
        CHECK(s.read(60) == 60);
        s.in({.seq = 10'001, .data = 1});
        CHECK(s.out({}).window == 1460);
    });
}

TEST_CASE("tcp 9: the right edge that was told never moves back, however little was read (RFC 9293 section 3.8.6)") {
    at_every_start([](start at) {
        for (const auto& peer : {sack_peer(), modern_peer()}) {
            tcp::connection_options options;
            options.receive_limit = 20'000;
            script s(at, options);
            s.in({.flags = flag::syn, .seq = 0, .options = peer});
            const auto scale = s.out().options.window_scale;
            const unsigned shift = scale == options_of_segment::no_scale ? 0 : scale;
            REQUIRE((shift != 0) == peer.timestamps);
            s.in({});
            std::uint32_t seq = 1;
            std::uint32_t edge = 1 + 20'000;
            for (const std::size_t size : {100U, 1448U, 1U, 333U, 1448U, 1448U, 77U}) {
                s.in({.seq = seq, .data = size});
                seq += static_cast<std::uint32_t>(size);
                for (const sent_segment& one : s.all_out()) {
                    // A scaled one is told rounded down, and behind that is taken what was told before (RFC 7323 section 2.4).
                    const std::uint32_t told = one.ack + (std::uint32_t{one.window} << shift);
                    CHECK(told + (1U << shift) > edge);
                    CHECK(s.info().receive_window >= edge - one.ack);
                    edge = std::max(edge, told);
                }
                s.read(size / 3);
            }
            const std::uint32_t left = edge - seq;
            s.in({.seq = seq, .data = left});
            CHECK(s.out().ack == edge);
        }
    });
}

TEST_CASE("tcp 9: a window that is told rounded down has not moved back (RFC 7323 section 2.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer(1292), 1000);  // 1,280 octets beside the timestamps
        s.in({.window = 100});            // times 128
        s.write(12'800);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        s.in({.ack = 11'601, .window = 9});  // 1,200 octets are left, of which 9 units are told
        // So the window is not closed, and what is missing is a segment that was lost.
        s.wait_for_output();
        s.out({.seq = 11'601, .data = 1200});
        CHECK(s.info().tail_probes == 1);
        s.in({.ack = 11'601, .window = 8});  // and that is a window that has become smaller
        s.wait_for_output();
        s.out({.seq = 11'601, .data = 1024});
        CHECK(s.info().timeouts == 0);
    });
}

TEST_CASE("tcp 9: a window that opens again is announced (RFC 9293 section 3.8.6.2.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        std::uint32_t seq = 1;
        while (s.info().receive_window >= 1460) {
            s.in({.seq = seq, .data = 1460});
            seq += 1460;
        }
        s.in({.seq = seq, .data = s.info().receive_window});
        s.came_out.clear();
        CHECK(s.info().receive_window == 0);
        CHECK(s.c.readable() > s.options.receive_limit - 1460);
        s.read();
        s.out({.flags = flag::ack, .window = 0xffff});
        s.silent();
    });
}

TEST_CASE("tcp 9: a closed window is probed, with longer and longer waits, for ever while the peer answers (RFC 9293 section "
          "3.8.6.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 0);
        s.write(5000);
        s.silent();
        time_point last = s.now;
        std::chrono::nanoseconds wait{0};
        for (int i = 0; i != 60; ++i) {
            s.wait_for_output();
            const sent_segment probe = s.out({.flags = flag::ack, .seq = 1, .data = 1});
            s.silent();
            CHECK(probe.at - last >= wait);
            CHECK(probe.at - last <= s.options.rtt.max_rto);
            wait = std::min<std::chrono::nanoseconds>(probe.at - last, 60s);
            last = probe.at;
            s.wait(10ms);
            s.in({.ack = 1, .window = 0});
            s.silent();
        }
        CHECK(s.c.state() == tcp::state::established);
        CHECK(s.now - pair::begin > 1h);
        CHECK(s.info().congestion_window >= 10 * 1460);  // nothing says that the path is bad
    });
}

TEST_CASE("tcp 9: once the probed window opens, data flows at once, the probed octet with it (RFC 9293 section 3.8.6.1)") {
    at_every_start([](start at) {
        for (const std::size_t size : {1U, 100U, 5000U}) {
            for (const auto& peer : {plain_peer(), sack_peer(), modern_peer()}) {
                CAPTURE(size);
                script s(at);
                s.open(peer, 0);
                s.write(size);
                for (int i = 0; i != 8; ++i) {
                    s.wait_for_output();
                    s.out({.seq = 1, .data = 1});
                    s.in({.ack = 1, .window = 0});
                }
                s.in({.ack = 1, .window = 8000});
                // The peer has refused the octet of the probe: it goes first, and everything behind it follows as it is
                // acknowledged.
                s.out({.seq = 1, .data = 1});
                std::uint32_t got = 2;
                for (const sent_segment& one : s.all_out()) {
                    CHECK(one.seq == got);
                    got += static_cast<std::uint32_t>(one.octets.size());
                }
                s.in({.ack = got, .window = 8000});
                for (const sent_segment& one : s.all_out()) { got += static_cast<std::uint32_t>(one.octets.size()); }
                s.in({.ack = got, .window = 8000});
                for (const sent_segment& one : s.all_out()) { got += static_cast<std::uint32_t>(one.octets.size()); }
                CHECK(got == 1 + size);
                s.in({.ack = got, .window = 8000});
                CHECK(s.info().retransmission_timeout <= 1s);
                CHECK(s.info().timeouts == 0);
                CHECK(s.info().congestion_window >= 10 * 1448);
            }
        }
    });
}

TEST_CASE("tcp 9: a probe that is accepted lets the rest follow (RFC 9293 section 3.8.6.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 0);
        s.write(3000);
        s.wait_for_output();
        s.out({.seq = 1, .data = 1});
        s.in({.ack = 2, .window = 4000});
        s.out({.seq = 2, .data = 1459});
    });
}

TEST_CASE("tcp 9: a FIN alone probes a closed window (RFC 9293 section 3.8.6.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 0);
        s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });
        s.wait_for_output();
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        s.in({.ack = 1, .window = 0});
        s.in({.ack = 1, .window = 500});
        s.out({.flags = flag::ack | flag::fin, .seq = 1});
        s.in({.ack = 2, .window = 500});
        CHECK(s.c.state() == tcp::state::fin_wait_2);
    });
}

TEST_CASE("tcp 9: a window whose update is lost is found by a probe, whatever the peer ignores (RFC 9293 section 3.8.6.1)") {
    at_every_start([](start at) {
        for (const bool takes : {false, true}) {
            script s(at);
            s.open(sack_peer(), 1000);
            s.write(1100);
            s.wait_for_output();
            CHECK(s.out({.seq = 1}).octets.size() == 1000);
            s.in({.ack = 1001, .window = 0});
            s.silent();
            // Here the peer opens its window again, and nobody hears of it. It ignores what has an old number alone.
            s.wait_for_output();
            const sent_segment probe = s.out({.seq = 1001});
            CHECK(probe.octets.size() == 1);
            s.in({.ack = takes ? 1002U : 1001U, .window = 5000});
            std::uint32_t end = 1;
            for (int i = 0; i != 3; ++i) {
                for (const sent_segment& one : s.all_out()) { end = one.seq + static_cast<std::uint32_t>(one.octets.size()); }
                if (end > 1) { s.in({.ack = end, .window = 5000}); }
            }
            CHECK(end == 1101);
            CHECK(s.info().in_flight == 0);
        }
    });
}

TEST_CASE("tcp 9: a window that shrinks below what is in flight stops new data, and old data is sent as far as it fits (RFC "
          "9293 section 3.8.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 10'000);
        s.write(20'000);
        CHECK(s.all_out().size() == 6);  // 8,760, and what is left of the window is too little to be sent
        s.in({.ack = 1461, .window = 2000});
        s.silent();
        CHECK(s.c.state() == tcp::state::established);
        for (int i = 0; i != 3; ++i) {
            s.wait_for_output();
            for (const sent_segment& one : s.all_out()) {
                CHECK(one.seq >= 1461);
                CHECK(one.seq + one.octets.size() <= 1461 + 8760);
            }
        }
        s.in({.ack = 1461, .window = 100});  // less than the segment at the front
        s.wait_for_output();
        s.out({.seq = 1461, .data = 100});
        s.in({.ack = 1561, .window = 0});
        s.wait_for_output();
        s.out({.seq = 1561, .data = 1});
        s.came_out.clear();
        s.in({.ack = 1561, .window = 30'000});
        std::uint32_t got = 1561;
        for (int i = 0; i != 60 && got != 20'001; ++i) {
            if (s.waiting() == 0) { s.wait_for_output(); }
            for (const sent_segment& one : s.all_out()) {
                if (one.seq <= got) { got = std::max(got, static_cast<std::uint32_t>(one.seq + one.octets.size())); }
            }
            s.in({.ack = got, .window = 30'000});
        }
        CHECK(got == 20'001);
    });
}

TEST_CASE("tcp 9: with its window shrunk the peer still takes our ACKs (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 0);
        s.write(100);
        s.wait_for_output();
        s.out({.seq = 1, .data = 1});
        s.in({.window = 0});
        s.in({.window = 0, .data = 100});
        s.out({.flags = flag::ack, .seq = 1, .ack = 101, .data = 0});  // not 2: the peer has refused octet 1
    });
}

TEST_CASE("tcp 9: never more than the peer's window is in flight (RFC 9293 section 3.8.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer(), 100);
        s.in({.window = 40});  // times 128: 5,120
        s.write(50'000);
        std::uint32_t acknowledged = 1;
        for (int i = 0; i != 20; ++i) {
            for (const sent_segment& one : s.all_out()) { CHECK(one.seq + one.octets.size() <= acknowledged + 5120); }
            acknowledged += 1000;
            s.in({.ack = acknowledged, .window = 40});
        }
    });
}

TEST_CASE("tcp 10: a FIN takes room in the window, too (RFC 9293 section 3.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 1000);
        s.write(1000);
        s.came_out.clear();
        s.in({.ack = 1001, .window = 1000});
        s.does([&](tcp::connection& c) { c.set_no_delay(true, s.now); });
        const std::vector<std::byte> octets(1000);
        REQUIRE(s.c.write(octets, s.now) == 1000);
        s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });
        REQUIRE(s.came_out.size() == 1);
        CHECK_FALSE(s.came_out.front().has(flag::fin));
        CHECK(s.came_out.front().octets.size() == 1000);
        s.came_out.clear();
        s.in({.ack = 2001, .window = 0});
        s.silent();
        s.in({.ack = 2001, .window = 1});
        s.out({.flags = flag::ack | flag::fin, .seq = 2001, .data = 0});
        s.in({.ack = 2002});
        CHECK(s.c.state() == tcp::state::fin_wait_2);
        CHECK(s.ranges.in_use() == 0);
    });
}
