// SPDX-License-Identifier: BSD-3-Clause
// What keeps an idle connection, and what messages of routers do to it.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

tcp::sequence_number number(const script& s, std::uint32_t relative) {
    return tcp::sequence_number(s.own_initial + relative);
}
void too_big(script& s, std::uint32_t quoted, std::uint16_t segment) {
    s.does([&](tcp::connection& c) { c.on_too_big(number(s, quoted), segment, s.now); });
}
void unreachable(script& s, std::uint32_t quoted, bool hard) {
    s.does([&](tcp::connection& c) { c.on_unreachable(number(s, quoted), hard, s.now); });
}
void keep_alive(script& s, bool on) {
    s.does([&](tcp::connection& c) { c.set_keep_alive(on, s.now); });
}

}  // namespace

TEST_CASE("tcp 11: an idle connection sends nothing, for ever (RFC 9293 section 3.8.4)") {
    script s;
    s.open();
    s.wait(1000h);
    s.silent();
    CHECK(s.c.state() == tcp::state::established);
    CHECK(s.c.deadline() == time_point::max());
}

TEST_CASE("tcp 11: keep-alive asks after two hours with an old number and no data, and goes on when answered (RFC 9293 "
          "section 3.8.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        keep_alive(s, true);
        for (int i = 0; i != 3; ++i) {
            const time_point heard = s.now;
            s.wait_for_output(3h);
            const sent_segment probe = s.out({.flags = flag::ack, .seq = 0, .ack = 1, .data = 0});
            CHECK(probe.at - heard == 2h);
            s.silent();
            s.wait(10ms);
            s.in({});
            s.silent();
        }
    });
}

TEST_CASE("tcp 11: what is heard puts keep-alive off (RFC 9293 section 3.8.4)") {
    script s;
    s.open();
    keep_alive(s, true);
    s.wait(1h);
    s.in({.data = 10});
    s.came_out.clear();
    s.wait(119min);
    s.silent();
    s.wait(1min);
    s.out({.flags = flag::ack, .seq = 0});
}

TEST_CASE("tcp 11: a peer that answers none of the probes is given up, with a reset (RFC 9293 section 3.8.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        keep_alive(s, true);
        s.wait(2h);
        std::size_t probes = 0;
        while (s.c.state() != tcp::state::closed) {
            for (const sent_segment& one : s.all_out()) {
                CHECK(one.octets.empty());
                probes += one.seq == 0 ? 1U : 0U;
            }
            s.wait(1s);
            REQUIRE(probes <= s.options.keep_alive_probes);
        }
        CHECK(probes == s.options.keep_alive_probes);
        s.out({.flags = flag::rst | flag::ack, .seq = 1});
        CHECK(s.c.ending() == tcp::ending::timed_out);
        CHECK(s.now - pair::begin >= 2h + s.options.keep_alive_probes * s.options.keep_alive_interval);
    });
}

TEST_CASE("tcp 11: keep-alive that is switched off asks no more, and on again counts from what was heard (RFC 9293 section "
          "3.8.4)") {
    script s;
    keep_alive(s, true);  // before it is opened, too
    s.open();
    s.wait(1h);
    keep_alive(s, false);
    s.wait(10h);
    s.silent();
    CHECK(s.c.deadline() == time_point::max());
    keep_alive(s, true);
    s.wait(1ms);
    s.out({.flags = flag::ack, .seq = 0});
}

TEST_CASE("tcp 11: data that is out asks in place of keep-alive (RFC 9293 section 3.8.4)") {
    script s;
    s.open();
    keep_alive(s, true);
    s.wait(2h - 1s);
    s.write(100);
    s.came_out.clear();
    s.wait(20s);
    for (const sent_segment& one : s.all_out()) { CHECK(one.seq == 1); }
}

TEST_CASE("tcp 11: a peer's keep-alive is answered, with an octet of garbage or without (RFC 9293 section 3.8.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.wait(2h);
        s.in({.seq = 0});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
        s.wait(2h);
        s.in({.seq = 0, .data = 1});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
        s.silent();
        CHECK(s.c.readable() == 0);
    });
}

TEST_CASE("tcp 11: while it is opened a hard error that quotes the SYN ends the connection, and no other (RFC 5927 section 5, "
          "RFC 1122 section 4.2.3.9)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.came_out.clear();
        unreachable(s, 0, false);
        unreachable(s, 1, true);
        unreachable(s, 0xffff'ffff, true);
        CHECK(s.c.state() == tcp::state::syn_sent);
        unreachable(s, 0, true);
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::unreachable);
        CHECK(s.c.take_events().ended);
        CHECK(s.c.deadline() == time_point::max());
        s.silent();
    });
}

TEST_CASE("tcp 11: once it is open no error ends the connection (RFC 5927 section 5.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(3000);
        s.came_out.clear();
        for (const std::uint32_t quoted : {0U, 1U, 1461U, 2920U, 2921U}) {
            unreachable(s, quoted, true);
            unreachable(s, quoted, false);
        }
        s.silent();
        CHECK(s.c.state() == tcp::state::established);
        s.in({.ack = 2921});
        s.out({.seq = 2921, .data = 80});
    });
}

TEST_CASE("tcp 11: a smaller path MTU is believed if it quotes what is in flight, which goes again in smaller segments, at "
          "once and without congestion (RFC 1191 section 6.4, RFC 5927 section 7)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(5 * 1460);
        CHECK(s.all_out().size() == 5);
        const auto window = s.info().congestion_window;
        too_big(s, 0, 1000);  // acknowledged
        too_big(s, 5 * 1460 + 1, 1000);  // never sent
        too_big(s, 0x8000'0000, 1000);
        too_big(s, 1, 1460);  // no smaller
        too_big(s, 1, 9000);
        s.silent();
        CHECK(s.info().segment == 1460);
        too_big(s, 1, 1000);
        CHECK(s.info().segment == 1000);
        std::uint32_t got = 1;
        for (int i = 0; i != 10; ++i) {
            for (const sent_segment& one : s.all_out()) {
                CHECK(one.octets.size() <= 1000);
                CHECK(one.seq == got);
                got += static_cast<std::uint32_t>(one.octets.size());
            }
            s.in({.ack = got});
        }
        CHECK(got == 5 * 1460 + 1);
        CHECK(s.info().timeouts == 0);
        CHECK(s.info().fast_recoveries == 0);
        CHECK(s.info().congestion_window >= window);
        CHECK(s.info().slow_start_threshold >= window);
    });
}

TEST_CASE("tcp 11: no message makes segments smaller than the floor (RFC 1191 section 3, CVE-2019-11479)") {
    at_every_start([](start at) {
        for (const std::uint16_t asked : std::array<std::uint16_t, 4>{0, 1, 28, 87}) {
            script s(at);
            s.open();
            s.write(1460);
            s.came_out.clear();
            too_big(s, 1, asked);
            CHECK(s.info().segment == s.options.least_segment);
            CHECK(s.out({.seq = 1}).octets.size() == s.options.least_segment);
        }
    });
}

TEST_CASE("tcp 11: segments that vanish without a message are sent again smaller, as far as 536 octets (RFC 2923 section 2.1, "
          "RFC 4821 section 7.7)") {
    at_every_start([](start at) {
        for (const auto& peer : {plain_peer(), modern_peer()}) {
            script s(at);
            s.open(peer);
            s.write(10'000);
            s.came_out.clear();
            std::uint32_t got = 1;
            for (int i = 0; i != 200 && got != 10'001; ++i) {
                s.wait_for_output();
                bool some = false;
                for (const sent_segment& one : s.all_out()) {
                    const auto size = static_cast<std::uint32_t>(one.octets.size());
                    if (size > 600 || one.seq > got) { continue; }  // the path has no room for larger ones
                    got = std::max(got, one.seq + size);
                    some = true;
                }
                if (some) { s.in({.ack = got}); }
            }
            CHECK(got == 10'001);
            CHECK(s.now - pair::begin < 10s);
            CHECK(s.info().segment <= 536);
        }
    });
}

TEST_CASE("tcp 11: small segments that vanish do not make segments smaller (RFC 4821 section 7.7)") {
    script s;
    s.open();
    s.write(400);
    for (int i = 0; i != 5; ++i) {
        s.wait_for_output();
        s.came_out.clear();
    }
    CHECK(s.info().segment == 1460);
}
