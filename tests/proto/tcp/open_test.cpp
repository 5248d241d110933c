// SPDX-License-Identifier: BSD-3-Clause
// How a connection is opened, and what it says to those who do not mean it.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

TEST_CASE("tcp 1: an active open sends a SYN, acknowledges the answer and is connected (RFC 9293 section 3.5)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        CHECK(s.c.state() == tcp::state::syn_sent);
        const sent_segment syn = s.out({.flags = flag::syn, .seq = 0, .data = 0, .window = 0xffff});
        CHECK(syn.options.mss == 1460);
        CHECK(syn.options.sack_permitted);
        CHECK(syn.options.timestamps);
        CHECK(syn.options.window_scale == 8);
        s.silent();
        s.wait(10ms);
        s.in({.flags = flag::syn | flag::ack, .seq = 0, .options = modern_peer()});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
        s.silent();
        CHECK(s.c.state() == tcp::state::established);
        CHECK(s.c.take_events().connected);
        CHECK(s.info().smoothed_rtt == 10ms);
        CHECK(s.c.deadline() == time_point::max());
    });
}

TEST_CASE("tcp 1: a passive open answers the SYN and is connected by the ACK (RFC 9293 section 3.5)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = modern_peer()});
        CHECK(s.c.state() == tcp::state::syn_received);
        s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .data = 0, .window = 0xffff});
        CHECK_FALSE(s.c.take_events().connected);
        s.wait(10ms);
        s.in({.window = 500});
        s.silent();
        CHECK(s.c.state() == tcp::state::established);
        CHECK(s.c.take_events().connected);
        CHECK(s.info().send_window == 500U << 7);
    });
}

TEST_CASE("tcp 1: the ACK that ends a passive open may carry data and a FIN (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        s.in({.flags = flag::ack | flag::fin, .data = 300});
        s.out({.flags = flag::ack, .seq = 1, .ack = 302});
        CHECK(s.c.state() == tcp::state::close_wait);
        CHECK(s.read() == 300);
    });
}

TEST_CASE("tcp 1: two ends that open at once are connected by each other's SYN and ACK (RFC 9293 section 3.5, figure 7)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn, .seq = 0});
        s.wait(10ms);
        s.in({.flags = flag::syn, .seq = 0, .window = 800, .options = modern_peer()});
        CHECK(s.c.state() == tcp::state::syn_received);
        s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
        s.silent();
        s.wait(10ms);
        s.in({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .window = 900, .options = modern_peer()});
        CHECK(s.c.state() == tcp::state::established);
        CHECK(s.c.take_events().connected);
        CHECK(s.info().send_window == 900);  // the window of a SYN is never scaled (RFC 7323 section 2.2)
        CHECK(s.info().congestion_window > 1448);  // nothing was lost
        CHECK(s.info().retransmission_timeout < 3s);
        s.came_out.clear();
        s.in({.window = 10});
        CHECK(s.info().send_window == 10U << 7);
        s.silent();
    });
}

TEST_CASE("tcp 1: a simultaneous open is also ended by a plain ACK (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn});
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        s.in({});
        CHECK(s.c.state() == tcp::state::established);
        s.silent();
    });
}

TEST_CASE("tcp 1: data beside the SYN and ACK is taken, and its window is not scaled (RFC 9293 section 3.10.7.3)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn});
        s.in({.flags = flag::syn | flag::ack, .seq = 0, .window = 700, .data = 100, .options = modern_peer()});
        s.out({.flags = flag::ack, .seq = 1, .ack = 101});
        CHECK(s.read() == 100);
        CHECK(s.info().send_window == 700);
    });
}

TEST_CASE("tcp 1: an old duplicate SYN is undone by the reset that its answer draws (RFC 9293 section 3.5, figure 8)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack, .ack = 1});
        s.in({.flags = flag::rst, .seq = 1});
        CHECK(s.c.state() == tcp::state::closed);
        CHECK(s.c.ending() == tcp::ending::reset);
        s.silent();
    });
}

TEST_CASE("tcp 1: the SYN of a peer that has restarted draws an ACK, and the peer's reset ends the half-open connection "
          "(RFC 9293 section 3.5.1, figure 9)") {
    at_every_start([](start at) {
        for (const auto& before : {sack_peer(), modern_peer()}) {
            for (const auto& after : {sack_peer(), modern_peer()}) {  // also with other options than it had
                script s(at);
                s.open(before);
                s.in({.flags = flag::syn,
                      .seq = 0x4000'0000,
                      .options = after,
                      .without_timestamps = !after.timestamps});
                s.out({.flags = flag::ack, .seq = 1, .ack = 1});
                s.silent();
                CHECK(s.c.state() == tcp::state::established);
                s.in({.flags = flag::rst, .seq = 1, .without_timestamps = true});
                CHECK(s.c.ending() == tcp::ending::reset);
                s.silent();
            }
        }
    });
}

TEST_CASE("tcp 1: an end that opens again is told by an ACK of the old connection and resets it (RFC 9293 figure 9)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn});
        s.in({.seq = 3000, .ack = 1000});
        s.out({.flags = flag::rst, .seq = 1000, .data = 0});
        s.silent();
        CHECK(s.c.state() == tcp::state::syn_sent);
        s.wait(1s);
        s.out({.flags = flag::syn, .seq = 0});  // it goes on
    });
}

TEST_CASE("tcp 1: a SYN is sent again after 1, 3, 7 s and so on, for at least three minutes (RFC 6298 section 2, RFC 1122 "
          "section 4.2.3.5)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        const time_point first = s.out({.flags = flag::syn}).at;
        std::chrono::seconds gone{0};
        for (std::chrono::seconds step{1}; step != 64s; step *= 2) {
            gone += step;
            s.wait_for_output();
            const sent_segment again = s.out({.flags = flag::syn, .seq = 0});
            CHECK(again.at - first == gone);
            CHECK(again.options.mss == 1460);
        }
        CHECK(s.c.state() == tcp::state::syn_sent);
        while (s.c.state() != tcp::state::closed) {
            s.wait_for_output();
            s.came_out.clear();
        }
        CHECK(s.now - first >= 180s);
        CHECK(s.c.ending() == tcp::ending::timed_out);
        CHECK(s.c.take_events().ended);
        CHECK(s.c.deadline() == time_point::max());
    });
}

TEST_CASE("tcp 1: after a lost SYN the window is one segment and the timeout 3 s (RFC 5681 section 3.1, RFC 6298 section "
          "5.7)") {
    script s;
    s.connect();
    s.out({.flags = flag::syn});
    s.wait(1s);
    s.out({.flags = flag::syn});
    s.in({.flags = flag::syn | flag::ack, .seq = 0, .options = sack_peer()});
    s.out({.flags = flag::ack});
    CHECK(s.info().congestion_window == 1460);
    CHECK(s.info().retransmission_timeout == 3s);
    CHECK(s.info().smoothed_rtt == 0s);  // nobody knows which SYN was answered
}

TEST_CASE("tcp 1: a SYN that comes again is answered again (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        for (int i = 0; i != 3; ++i) {
            s.in({.flags = flag::syn, .seq = 0, .options = modern_peer()});
            const sent_segment answer = s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
            CHECK(answer.options.window_scale == 8);
            s.silent();
            s.wait(100ms);
        }
        s.in({});
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 1: SYNs that come again do not keep a connection half-open for ever (RFC 9293 section 3.8.3)") {
    script s;
    for (int i = 0; i != 2000 && s.c.ending() == tcp::ending::none; ++i) {
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.wait(500ms);
        s.came_out.clear();
    }
    CHECK(s.c.state() == tcp::state::closed);
    CHECK(s.c.ending() == tcp::ending::timed_out);
}

TEST_CASE("tcp 1: a lost SYN and ACK is sent again, and the connection gives up (RFC 9293 section 3.8.3)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        s.wait(1s);
        s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
        s.wait(2s);
        s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1});
        s.wait(400s);
        CHECK(s.c.ending() == tcp::ending::timed_out);
    });
}

TEST_CASE("tcp 1: what is written before the handshake is over goes out right behind it (RFC 9293 section 3.10.2)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn});
        s.write(2000);
        s.silent();
        s.in({.flags = flag::syn | flag::ack, .seq = 0, .options = modern_peer()});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 1448});
        s.in({.ack = 1449});
        s.out({.flags = flag::ack, .seq = 1449, .data = 552});
    });
}

TEST_CASE("tcp 1: a SYN and ACK that comes again, for our ACK was lost, is acknowledged again (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer());
        s.wait(1s);
        s.in({.flags = flag::syn | flag::ack, .seq = 0, .options = modern_peer()});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1, .data = 0});
        s.silent();
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 1: a handshake that a cookie has kept goes on with the ACK, wherever its numbers are (RFC 4987 section 3.6)") {
    at_every_start([](start at) {
        script s(at);
        tcp::segment ack;
        ack.sequence = tcp::sequence_number(at.peer + 1);
        ack.acknowledgment = tcp::sequence_number(at.own + 1);
        ack.flags = flag::ack;
        ack.window = 100;
        s.c.accept_cookie(ack, modern_peer(), s.now);
        s.timestamps = true;
        CHECK(s.c.state() == tcp::state::established);
        s.in({.window = 100, .data = 10});
        CHECK(s.info().send_window == 100U << 7);
        s.out({.flags = flag::ack, .seq = 1, .ack = 11});
        s.write(100);
        s.out({.flags = flag::ack, .seq = 1, .data = 100});
        s.in({.seq = 11, .ack = 101, .window = 50});
        CHECK(s.info().send_window == 50U << 7);
        CHECK(s.info().in_flight == 0);
    });
}

TEST_CASE("tcp 2: what belongs to no connection is answered by a reset that its sender accepts (RFC 9293 section 3.10.7.1)") {
    tcp::segment came;
    came.sequence = tcp::sequence_number(0xffff'fff0);
    came.acknowledgment = tcp::sequence_number(77);
    came.flags = flag::ack;
    const tcp::outgoing to_ack = tcp::reset_for(came);
    CHECK(to_ack.flags == flag::rst);
    CHECK(to_ack.sequence.value() == 77);

    const std::vector<std::byte> octets(20);
    came.flags = flag::syn | flag::fin;
    came.payload = octets;
    const tcp::outgoing to_syn = tcp::reset_for(came);
    CHECK(to_syn.flags == (flag::rst | flag::ack));
    CHECK(to_syn.sequence.value() == 0);
    CHECK(to_syn.acknowledgment.value() == 0xffff'fff0U + 22U);
}

TEST_CASE("tcp 2: a connection that has ended takes and sends nothing (RFC 9293 section 3.10.7.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.in({.flags = flag::rst, .seq = 1});
        s.in({.data = 100});
        s.in({.flags = flag::syn, .seq = 5000});
        s.in({.flags = flag::rst | flag::ack});
        s.silent();
        CHECK(s.c.deadline() == time_point::max());
        CHECK(s.buffers.lent() == 0);
    });
}

TEST_CASE("tcp 2: in SYN-SENT an ACK of something else draws a reset with its number, and nothing more (RFC 9293 section "
          "3.10.7.3)") {
    at_every_start([](start at) {
        script s(at);
        s.connect();
        s.out({.flags = flag::syn});
        for (const std::uint32_t wrong : {0U, 2U, 0x8000'0001U}) {
            s.in({.seq = 0, .ack = wrong});
            s.out({.flags = flag::rst, .seq = wrong, .data = 0});
            s.in({.flags = flag::syn | flag::ack, .seq = 0, .ack = wrong, .options = sack_peer()});
            s.out({.flags = flag::rst, .seq = wrong});
            s.in({.flags = flag::rst | flag::ack, .seq = 0, .ack = wrong});
            s.silent();
            CHECK(s.c.state() == tcp::state::syn_sent);
        }
        s.in({.flags = flag::rst, .seq = 0});  // without an ACK anybody could have sent it
        s.in({.seq = 0, .ack = 1});            // the right ACK without a SYN
        s.in({.flags = flag::fin, .seq = 0});
        s.in({.flags = 0, .seq = 0, .data = 10});
        s.silent();
        CHECK(s.c.state() == tcp::state::syn_sent);
        s.in({.flags = flag::rst | flag::ack, .seq = 0, .ack = 1});
        CHECK(s.c.ending() == tcp::ending::refused);
        s.silent();
    });
}

TEST_CASE("tcp 2: in SYN-RECEIVED an ACK of something else draws a reset with its number (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        for (const std::uint32_t wrong : {0U, 2U, 0x8000'0001U}) {
            s.in({.ack = wrong});
            s.out({.flags = flag::rst, .seq = wrong});
            s.silent();
            CHECK(s.c.state() == tcp::state::syn_received);
        }
        s.in({});
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 2: an ACK of a SYN that was not sent yet draws a reset, and the SYN follows (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        tcp::segment syn;
        syn.sequence = tcp::sequence_number(at.peer);
        syn.flags = flag::syn;
        syn.window = 0xffff;
        syn.options = sack_peer();
        s.c.accept(syn, s.now);  // nothing is sent meanwhile
        s.in({});
        CHECK(s.c.state() == tcp::state::syn_received);
        s.out({.flags = flag::rst, .seq = 1});
        s.out({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .window = 0xffff});
        s.silent();
        s.in({});
        CHECK(s.c.state() == tcp::state::established);
    });
}

TEST_CASE("tcp 2: in SYN-RECEIVED what is out of the window draws an ACK behind the SYN (RFC 9293 section 3.10.7.4)") {
    at_every_start([](start at) {
        script s(at);
        s.in({.flags = flag::syn, .seq = 0, .options = sack_peer()});
        s.out({.flags = flag::syn | flag::ack});
        s.in({.seq = 0x1000'0000, .data = 10});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1});
        s.in({.seq = 0x1000'0000});
        s.out({.flags = flag::ack, .seq = 1, .ack = 1});
        s.silent();
        CHECK(s.c.state() == tcp::state::syn_received);
        s.in({.flags = flag::rst, .seq = 0x1000'0000});
        s.silent();
        CHECK(s.c.state() == tcp::state::syn_received);
    });
}
