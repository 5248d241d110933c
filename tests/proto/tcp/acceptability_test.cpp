// SPDX-License-Identifier: BSD-3-Clause
// Which segments a connection takes, and what it says to those that it does not take.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

namespace {

/// A receiver whose window is small and ends where it is told, without copying and quick ACKs.
tcp::connection_options small_window(std::uint32_t limit) {
    tcp::connection_options options;
    options.receive_limit = limit;
    options.window_scaling = false;
    options.challenge_interval = 0s;
    return options;
}

}  // namespace

TEST_CASE("tcp 3: a segment counts if it begins or ends in the window, else it draws an ACK (RFC 9293 section 3.10.7.4)") {
    // The window is [1, 4001).
    struct { std::uint32_t seq; std::size_t data; std::uint32_t taken; std::uint32_t beyond; } const table[] = {
        {1, 1000, 1000, 0},          // at its edge
        {1, 4000, 4000, 0},          // all of it
        {1, 5000, 4000, 0},          // and more
        {0xffff'ff9d, 200, 100, 0},  // begins before it
        {0xffff'ff9d, 5000, 4000, 0},  // encloses it
        {0xffff'ff9d, 100, 0, 0},    // ends before it
        {4000, 100, 0, 1},           // its last octet
        {4001, 100, 0, 0},           // behind it
        {0x8000'0001, 100, 0, 0},    // the other side of the circle
        {2, 10, 0, 10},
    };
    for (const auto& row : table) {
        CAPTURE(row.seq);
        CAPTURE(row.data);
        at_every_start([&](start at) {
            script s(at, small_window(4000));
            s.open();
            s.in({.seq = row.seq, .data = row.data});
            s.out({.flags = flag::ack, .seq = 1, .ack = 1 + row.taken, .data = 0});
            s.silent();
            CHECK(s.info().readable == row.taken);
            CHECK(s.info().beyond_gap == row.beyond);
            if (row.seq == 1) { CHECK(s.read() == row.taken); }
        });
    }
}

TEST_CASE("tcp 3: a closed window takes no octet, and answers each (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at, small_window(1000));
        s.open();
        s.in({.data = 1000});
        s.out({.ack = 1001, .window = 0});
        for (const std::size_t size : {1U, 500U}) {
            s.in({.seq = 1001, .data = size});
            s.out({.flags = flag::ack, .seq = 1, .ack = 1001, .data = 0, .window = 0});
        }
        s.in({.flags = flag::ack | flag::fin, .seq = 1001});
        s.out({.flags = flag::ack, .ack = 1001, .window = 0});
        s.in({.seq = 1000});  // a probe of other stacks: an old number and no data
        s.out({.flags = flag::ack, .ack = 1001, .window = 0});
        s.silent();
        CHECK(s.info().readable == 1000);
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 3: a closed window lets ACKs and resets through (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at, small_window(1000));
        s.open();
        s.write(100);
        s.out({.data = 100});
        s.in({.data = 1000});
        s.out({.ack = 1001, .window = 0});
        s.in({.seq = 1001, .ack = 51, .window = 1234});  // without data
        CHECK(s.info().in_flight == 50);
        CHECK(s.info().send_window == 1234);
        s.in({.seq = 1001, .ack = 101, .data = 10});  // with some: its ACK counts, its data does not
        CHECK(s.info().in_flight == 0);
        CHECK(s.info().readable == 1000);
        s.in({.flags = flag::rst, .seq = 1001});
        CHECK(s.c.ending() == tcp::ending::reset);
    });
}

TEST_CASE("tcp 3: overlapping segments give each octet once, and the first that brought it counts (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.seq = 501, .data = 500});
        s.in({.seq = 301, .data = 400});
        s.in({.seq = 901, .data = 600});
        s.in({.seq = 2001, .data = 300});
        CHECK(s.info().beyond_gap == 1500);
        s.in({.seq = 1, .data = 2100});
        CHECK(s.all_out().back().ack == 2301);
        CHECK(s.info().beyond_gap == 0);
        CHECK(s.read() == 2300);
    });
}

TEST_CASE("tcp 3: a FIN beyond a gap waits for what is missing (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::ack | flag::fin, .seq = 1001, .data = 500});
        s.out({.flags = flag::ack, .ack = 1});
        CHECK(s.c.state() == tcp::state::established);
        CHECK_FALSE(s.c.peer_finished());
        s.in({.seq = 1, .data = 1000});
        s.out({.flags = flag::ack, .ack = 1502});
        CHECK(s.c.state() == tcp::state::close_wait);
        CHECK(s.c.peer_finished());
        CHECK(s.read() == 1500);
    });
}

TEST_CASE("tcp 3: a bare FIN beyond a gap waits, too (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::ack | flag::fin, .seq = 101});
        s.out({.flags = flag::ack, .ack = 1});
        s.in({.seq = 1, .data = 100});
        s.out({.flags = flag::ack, .ack = 102});
        CHECK(s.c.state() == tcp::state::close_wait);
    });
}

TEST_CASE("tcp 3: a FIN whose octets do not all fit comes again (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at, small_window(1000));
        s.open();
        s.in({.flags = flag::ack | flag::fin, .data = 1500});
        s.out({.flags = flag::ack, .ack = 1001, .window = 0});
        CHECK(s.c.state() == tcp::state::established);
        CHECK(s.read() == 1000);
        s.out({.flags = flag::ack, .ack = 1001, .window = 1000});
        s.in({.flags = flag::ack | flag::fin, .seq = 1001, .data = 500});
        s.out({.flags = flag::ack, .ack = 1502});
        CHECK(s.read() == 500);
    });
}

TEST_CASE("tcp 3: octets for which there is no room are not acknowledged, and the peer is told at once (RFC 9293 section "
          "3.10.7.4)") {
    tcp::connection_options options;
    options.quick_acks = 0;
    script s({}, options);
    s.open();
    std::vector<tcp::range*> taken;
    std::uint32_t kept = 0;
    while (tcp::range* const one = s.ranges.take(kept)) { taken.push_back(one); }
    s.in({.data = 1000});
    s.out({.flags = flag::ack, .ack = 1, .data = 0});
    CHECK(s.buffers.lent() == 0);
    for (tcp::range* const one : taken) { s.ranges.give(*one, kept); }
    s.in({.data = 1000});
    CHECK(s.read() == 1000);
}

TEST_CASE("tcp 3: a segment without ACK is dropped (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = 0, .data = 100});
        s.in({.flags = flag::fin, .data = 100});
        s.in({.flags = flag::psh | flag::urg, .data = 100});
        s.silent();
        CHECK(s.info().readable == 0);
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 3: data behind the peer's FIN changes nothing (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::ack | flag::fin, .data = 100});
        s.out({.ack = 102});
        s.in({.seq = 102, .data = 100});
        s.in({.flags = flag::ack | flag::fin, .seq = 102, .data = 100});
        CHECK(s.info().readable == 100);
        CHECK(s.c.state() == tcp::state::close_wait);
        s.came_out.clear();
        s.in({.flags = flag::ack | flag::fin, .seq = 1, .data = 100});  // the old one again
        s.out({.flags = flag::ack, .ack = 102});
    });
}

TEST_CASE("tcp 4: a reset at the edge of the window ends the connection, and what was received can be read (RFC 5961 section "
          "3.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.data = 100});
        s.out({.ack = 101});
        s.write(5000);
        s.came_out.clear();
        s.in({.flags = flag::rst, .seq = 101});
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::reset);
        CHECK(s.c.take_events().ended);
        CHECK(s.c.deadline() == time_point::max());
        s.silent();
        CHECK(s.read() == 100);
        CHECK(s.c.write(std::vector<std::byte>(1), s.now) == 0);
        CHECK(s.buffers.lent() == 0);
    });
}

TEST_CASE("tcp 4: a reset in the window but not at its edge draws a challenge ACK (RFC 5961 section 3.2)") {
    at_every_start([](start at) {
        for (const std::uint32_t seq : {2U, 3U, 1000U, 65535U}) {
            script s(at);
            s.open();
            s.in({.flags = flag::rst, .seq = seq});
            s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
            s.silent();
            CHECK(s.c.state() == tcp::state::established);
            CHECK(s.info().challenges == 1);
        }
    });
}

TEST_CASE("tcp 4: a reset out of the window is dropped in silence, with data or without (RFC 5961 section 3.2)") {
    at_every_start([](start at) {
        for (const std::uint32_t seq : {0U, 65536U, 65537U, 0x8000'0001U, 0xffff'0000U}) {
            for (const std::size_t data : {0U, 1000U}) {
                script s(at);
                s.open();
                s.in({.flags = flag::rst | flag::ack, .seq = seq, .data = data});
                s.silent();
                CHECK(s.c.state() == tcp::state::established);
            }
        }
    });
}

TEST_CASE("tcp 4: a SYN draws a challenge ACK, wherever its number is (RFC 5961 section 4.2)") {
    at_every_start([](start at) {
        for (const std::uint32_t seq : {0U, 1U, 2U, 65536U, 0x8000'0001U, 0xffff'0000U}) {
            for (const auto& peer : {sack_peer(), modern_peer()}) {
                // The SYN may be that of somebody else, who does not know what was agreed on.
                for (const auto& syn : {sack_peer(), modern_peer()}) {
                    CAPTURE(seq);
                    CAPTURE(peer.timestamps);
                    CAPTURE(syn.timestamps);
                    script s(at);
                    s.open(peer);
                    s.in({.flags = flag::syn, .seq = seq, .options = syn, .without_timestamps = !syn.timestamps});
                    s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
                    s.silent();
                    CHECK(s.c.state() == tcp::state::established);
                    CHECK(s.info().challenges == 1);
                }
            }
        }
    });
}

TEST_CASE("tcp 4: an ACK of what was never sent, or of long ago, draws a challenge ACK, and its data is dropped (RFC 5961 "
          "section 5.2)") {
    at_every_start([](start at) {
        struct { std::uint32_t ack; bool good; } const table[] = {
            {1001, true}, {1002, false}, {501, true}, {1, true}, {0, false}, {1001U - 65535U, false}, {0x8000'0000, false}};
        for (const auto& row : table) {
            CAPTURE(row.ack);
            script s(at);
            s.open();
            s.write(1000);
            s.out({.data = 1000});
            s.in({.ack = 1001});
            s.in({.ack = row.ack, .data = 100});
            const sent_segment answer = s.out({.flags = flag::ack, .seq = 1001, .data = 0});
            CHECK(answer.ack == (row.good ? 101 : 1));
            CHECK(s.info().challenges == (row.good ? 0 : 1));
            CHECK(s.info().readable == (row.good ? 100 : 0));
        }
    });
}

TEST_CASE("tcp 4: an ACK from a window ago is old, one from before that draws a challenge ACK (RFC 5961 section 5.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        while (s.written < 70'000) {
            s.write(1000);
            s.out({.data = 1000});
            s.in({.ack = s.written + 1});
        }
        s.in({.ack = s.written + 1 - 65'535, .data = 100});
        s.out({.ack = 101});
        s.in({.seq = 101, .ack = s.written - 65'535, .data = 100});
        s.out({.ack = 101});
        CHECK(s.info().challenges == 1);
    });
}

TEST_CASE("tcp 3: a segment that repeats the last of what was received is answered, and its ACK counts (RFC 9293 section "
          "3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.data = 100});
        s.out({.ack = 101});
        s.write(1000);
        s.out({.data = 1000});
        s.in({.seq = 1, .ack = 1001, .data = 50});  // not the last of it
        s.out({.flags = flag::ack, .seq = 1001, .ack = 101});
        CHECK(s.info().in_flight == 1000);
        s.in({.seq = 51, .ack = 1001, .data = 50});
        s.out({.flags = flag::ack, .seq = 1001, .ack = 101});
        CHECK(s.info().in_flight == 0);
        s.in({.flags = flag::fin | flag::ack, .seq = 101, .ack = 1001});
        s.out({.ack = 102});
        s.does([&](tcp::connection& c) { c.shutdown_write(s.now); });
        s.out({.flags = flag::fin | flag::ack, .seq = 1001});
        s.in({.flags = flag::fin | flag::ack, .seq = 101, .ack = 1002});
        s.silent();
        CHECK(s.c.ending() == tcp::ending::closed);
    });
}

TEST_CASE("tcp 4: an old ACK changes neither the window nor what is in flight (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(3000);
        s.came_out.clear();
        s.in({.ack = 1461, .window = 5000});
        s.in({.ack = 1, .window = 100});
        CHECK(s.info().send_window == 5000);
        CHECK(s.info().in_flight == 1460);
        s.in({.seq = 101, .ack = 1461, .window = 4000});  // a newer segment with the same ACK
        CHECK(s.info().send_window == 4000);
        s.in({.seq = 51, .ack = 1461, .window = 3000});  // an older one
        CHECK(s.info().send_window == 4000);
    });
}

TEST_CASE("tcp 4: what acknowledges more tells the newest window, also where it fills a gap (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 3000);
        s.write(8000);
        CHECK(s.info().in_flight == 2920);
        s.came_out.clear();
        s.in({.seq = 1001, .ack = 1, .window = 3000, .data = 1000});  // beyond a gap
        s.in({.seq = 1, .ack = 1461, .window = 1540, .data = 1000});  // sent again: the edge of the window is where it was
        CHECK(s.info().send_window == 1540);
        for (const sent_segment& one : s.all_out()) { CHECK(one.seq + one.octets.size() <= 3001); }
        s.in({.seq = 2001, .ack = 1461, .window = 3000});  // and what follows is newer
        CHECK(s.info().send_window == 3000);
    });
}

TEST_CASE("tcp 4: a flood draws one challenge ACK in each interval (RFC 5961 section 7)") {
    at_every_start([](start at) {
        for (const auto& peer : {sack_peer(), modern_peer()}) {
            script s(at);
            s.open(peer);
            const auto flood = [&](const line_in& line) {
                s.wait(1s);
                s.came_out.clear();
                for (int i = 0; i != 200; ++i) {
                    s.in(line);
                    s.wait(1ms);
                }
                CHECK(s.all_out().size() == 1);
                CHECK(s.c.state() == tcp::state::established);
            };
            flood({.flags = flag::rst, .seq = 100});
            flood({.flags = flag::syn, .seq = 100});
            flood({.flags = flag::syn, .seq = 0x4000'0000});
            flood({.flags = flag::syn, .seq = 0x4000'0000, .without_timestamps = true});
            flood({.flags = flag::syn | flag::ack, .seq = 0});
            flood({.flags = flag::syn | flag::ack, .seq = 0, .without_timestamps = true});
            flood({.ack = 100'000});
            flood({.seq = 0x4000'0000});
            s.wait(1s);
            s.came_out.clear();
            for (int i = 0; i != 2000; ++i) {
                s.in({.flags = flag::rst, .seq = 100});
                s.wait(1ms);
            }
            CHECK(s.all_out().size() == 4);
        }
    });
}
