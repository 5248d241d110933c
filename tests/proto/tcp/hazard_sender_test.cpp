// SPDX-License-Identifier: BSD-3-Clause
// What has stopped the senders of other stacks for ever, or made them send wrong octets.
#include "tests/proto/tcp/hazard.hpp"
#include "tests/proto/tcp/script.hpp"

#include "tests/xsk/scale.hpp"

using namespace tcp_test;

namespace {

/// Without timestamps segments are easily made by hand.
tcp::connection_options without_timestamps() {
    tcp::connection_options options;
    options.timestamps = false;
    return options;
}

/// An ACK that b might have sent; both ends begin at `start`.
tcp::segment ack_of_b(std::uint32_t acknowledged, std::uint16_t window, std::uint32_t start) {
    tcp::segment made;
    made.sequence = tcp::sequence_number(start + 1);
    made.acknowledgment = tcp::sequence_number(start + 1 + acknowledged);
    made.flags = flag::ack;
    made.window = window;
    return made;
}

}  // namespace

TEST_CASE("hazard 1: a flow goes on at a round trip of 50 us with 2 % of its segments lost") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options options;
        options.congestion = start % 32 == 0 ? tcp::congestion_algorithm::new_reno : tcp::congestion_algorithm::cubic;
        pair wire(1, options, options, start, start);
        wire.a.out.delay = wire.b.out.delay = 25us;
        wire.a.out.loss = wire.b.out.loss = 0.02;
        wire.a.to_write = pattern(fluxnet::test::scaled(100'000'000, 50));
        wire.connect();
        const auto begun = wire.now;
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 600s), wire.describe());
        // A time-out costs 200 ms, and so do 4,000 round trips: few are allowed.
        const auto segments = wire.a.to_write.size() / 1448;
        CHECK(wire.a.c->info().timeouts <= 2 + segments / 1000);
        CHECK((wire.now - begun) / 1ms <= 1000 + static_cast<long>(segments));
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 2: a lost segment is cut to a window that has shrunk below it, though no buffer is left") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, without_timestamps(), without_timestamps(), start, start);
        open(wire);
        const tcp::buffer from = wire.a.buffers.allocate();
        wire.a.to_write = pattern(1400);
        std::copy(wire.a.to_write.begin(), wire.a.to_write.end(), from.data);
        wire.a.written = wire.a.to_write.size();
        wire.a.out.loss = 1;
        REQUIRE(wire.a.c->write_buffer(from, 1400, wire.now));
        wire.flush();
        (void)forge(wire, wire.a, ack_of_b(0, 2, start));  // 512 octets
        CHECK(wire.a.c->info().send_window == 512);
        wire.a.buffers.refusing = true;
        // Whoever sends puts headers before the payload where a token says that there is a buffer of its own.
        wire.run_for(3s);
        wire.a.out.loss = 0;
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 60s), wire.describe());
        CHECK(wire.b.received == wire.a.to_write);
        wire.a.buffers.refusing = false;
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 2: what a device may still read stays as it is while its segment is cut and acknowledged in part") {
    at_every_start([](start at) {
        for (const bool refusing : {false, true}) {
            script s(at);
            s.open(sack_peer(), 2000);
            const auto octets = pattern(1400);
            REQUIRE(s.c.write(octets, s.now) == octets.size());
            tcp::outgoing held;  // whose octets the device has not read yet
            REQUIRE(s.c.next_segment(held, s.now));
            REQUIRE(held.payload.size() == octets.size());
            const auto is_whole = [&] { return std::equal(octets.begin(), octets.end(), held.payload.begin()); };
            s.in({.window = 512});
            s.buffers.refusing = refusing;
            tcp::outgoing again;
            do {  // a tail probe would not fit into the window; the time-out sends what does
                s.now = std::max(s.now, s.c.deadline());
                REQUIRE(s.now < pair::begin + 10s);
                s.c.on_deadline(s.now);
            } while (!s.c.next_segment(again, s.now));
            CHECK(again.payload.size() == 512);
            CHECK(std::equal(again.payload.begin(), again.payload.end(), octets.begin()));
            CHECK(is_whole());
            tcp::segment part;
            part.sequence = tcp::sequence_number(at.peer + 1);
            part.acknowledgment = tcp::sequence_number(at.own + 513);
            part.flags = flag::ack;
            part.window = 300;
            REQUIRE_FALSE(s.c.receive(part, 0, s.now));
            CHECK(is_whole());
            while (s.c.next_segment(again, s.now)) {}
            CHECK(is_whole());
            part.acknowledgment = tcp::sequence_number(at.own + 1401);
            REQUIRE_FALSE(s.c.receive(part, 0, s.now));
            CHECK(s.buffers.lent() == 0);
            CHECK(s.ranges.in_use() == 0);
        }
    });
}

TEST_CASE("hazard 3: with nothing in flight and less window than a segment the flow goes on when the window update is lost") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options small;
        small.receive_limit = 4000;
        pair wire(1, {}, small, start, start);
        open(wire);
        wire.b.reads = false;
        more(wire, wire.a, 20'000);
        REQUIRE(wire.run([&] { return wire.a.c->info().in_flight == 0 && wire.flying.empty(); }, 10s));
        CHECK(wire.a.c->info().unsent != 0);
        CHECK(wire.a.c->info().send_window < 1460);
        wire.b.out.loss = 1;  // the update
        wire.b.reads = true;
        wire.flush();
        wire.b.out.loss = 0;
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 20s), wire.describe());
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 4: a window that opens again is announced as soon as everything is read") {
    for (const std::uint32_t limit : {100U, 300U, 1000U, 3000U, 256U * 1024}) {
        CAPTURE(limit);
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options;
            options.receive_limit = limit;
            pair wire(1, {}, options, start, start);
            open(wire);
            wire.b.reads = false;
            more(wire, wire.a, 10 * std::size_t{limit});
            wire.run_for(30s);
            CHECK(wire.b.c->readable() >= limit / 2);
            wire.b.reads = true;
            wire.flush();
            wire.run_for(20ms);  // a round trip and a half: no timer has helped
            CHECK(wire.a.c->info().send_window >= limit / 2);
            CHECK(wire.b.received.size() > limit);
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 600s), wire.describe());
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 4: what waited for the window to open is sent at once, the probe that was lost at the closed window too") {
    for (const bool sack : {false, true}) {
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options;
            options.receive_limit = 8192;
            options.sack = sack;
            pair wire(1, options, options, start, start);
            open(wire);
            wire.b.reads = false;
            more(wire, wire.a, 8192 + 1);
            wire.run_for(300s);  // the probes are far apart now
            CHECK(wire.a.c->info().send_window == 0);
            const auto begun = wire.now;
            wire.b.reads = true;
            wire.flush();
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }), wire.describe());
            CHECK((wire.now - begun) / 1ms <= 20);
            // The back-off of the probes says nothing about the path: the next loss is mended in ordinary time.
            wire.a.out.loss = 1;
            more(wire, wire.a, 1);
            wire.run_for(1ms);
            wire.a.out.loss = 0;
            const auto lost_at = wire.now;
            REQUIRE(wire.run([&] { return arrived(wire); }));
            CHECK((wire.now - lost_at) / 1ms <= 1000);
            CHECK(wire.a.c->info().timeouts <= 1);
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 5: probes of a closed window are answered, with a new octet or with an old number") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options options = without_timestamps();
        options.receive_limit = 4096;
        pair wire(1, options, options, start, start);
        open(wire);
        wire.b.reads = false;
        more(wire, wire.a, 4096 + 5000);
        wire.run_for(5s);
        REQUIRE(wire.a.c->info().send_window == 0);
        // Our own form carries an octet that is new, so also a peer answers that ignores plain duplicates.
        wire.b.out.loss = 1;
        bool new_octet = false;
        wire.on_sent = [&](end& from, const fluxnet::proto::tcp_view& sent) {
            if (&from == &wire.a && sent.payload().size() == 1) { new_octet = true; }
        };
        wire.run_for(100s);
        CHECK(new_octet);
        wire.on_sent = nullptr;
        wire.b.out.loss = 0;
        for (int old = 0; old != 2; ++old) {  // without an octet, before or at the edge
            wire.run_for(1s);
            const tcp::sequence_number next(start + 1 + static_cast<std::uint32_t>(wire.b.c->info().received_octets));
            tcp::segment probe;
            probe.sequence = old == 1 ? next - 1U : next;
            probe.acknowledgment = tcp::sequence_number(start + 1);
            probe.flags = flag::ack;
            probe.window = 100;
            const auto answers = forge(wire, wire.b, probe);
            // At the edge it is an acknowledgment like any other, and asks for nothing.
            REQUIRE(answers.size() == static_cast<std::size_t>(old));
            if (old == 1) { CHECK(answers.front().acknowledgment == next); }
        }
        // Not answered for longer than the time after which a peer counts as gone: it has answered since.
        wire.run_for(1000s);
        CHECK(wire.a.c->ending() == tcp::ending::none);
        wire.b.reads = true;
        wire.b.out.loss = 1;
        wire.flush();
        wire.b.out.loss = 0;
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 300s), wire.describe());
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 6: the rest of a burst is sent again after a partial acknowledgment, and acknowledgments do not put that off") {
    for (const bool sack : {false, true}) {
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options = without_timestamps();
            options.sack = sack;
            pair wire(1, options, options, start, start);
            open(wire);
                wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) { return sent.sequence() == start + 1 + 1460; };
            wire.b.out.loss = 1;
            more(wire, wire.a, 2 * 1460);
            CHECK(wire.a.c->info().in_flight == 2 * 1460);
            std::size_t again = 0;
            wire.on_sent = [&](end& from, const fluxnet::proto::tcp_view& sent) {
                if (&from == &wire.a && sent.sequence() == start + 1 + 1460 && !sent.payload().empty()) { ++again; }
            };
            wire.run_for(10ms);
            for (int i = 0; i != 100 && again == 0; ++i) {  // 2 s
                (void)forge(wire, wire.a, ack_of_b(1460, static_cast<std::uint16_t>(1000 + i), start));
                wire.run_for(20ms);
            }
            CHECK(again != 0);
            wire.on_sent = nullptr;
            wire.a.out.drop = nullptr;
            wire.b.out.loss = 0;
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 10s), wire.describe());
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 6: without SACK each partial acknowledgment draws the next lost segment, also when the window moves") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options options;
        options.sack = false;
        pair wire(1, options, options, start, start);
        open(wire);
        more(wire, wire.a, 100'000);  // so that much may be in flight
        REQUIRE(wire.run([&] { return arrived(wire); }, 10s));
        // The reader is slow: with each acknowledgment the window is another.
        wire.b.reads = false;
        int count = 0;
        wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) {
            return !sent.payload().empty() && ++count <= 30 && count % 5 == 0;
        };
        more(wire, wire.a, 45'000);
        const auto begun = wire.now;
        REQUIRE(wire.run([&] { return wire.b.c->readable() == 45'000; }, 60s));
        CHECK(wire.a.c->info().timeouts == 0);
        CHECK((wire.now - begun) / 1ms <= 150);
        wire.b.reads = true;
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 11: octets that are acknowledged before they leave again are not sent, and new ones are not taken for them") {
    for (const bool sack : {false, true}) {
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options = without_timestamps();
            options.sack = sack;
            options.send_limit = 4 * 1460;
            pair wire(1, options, options, start, start);
            open(wire);
                wire.b.out.loss = 1;
            more(wire, wire.a, 4 * 1460);
            wire.a.buffers.limit = wire.a.buffers.lent();
            wire.run_for(20ms);  // all has arrived, and no acknowledgment
            wire.now = std::max(wire.now, wire.a.c->deadline());
            wire.a.c->on_deadline(wire.now);  // something is to be sent again now
            tcp::segment ack = ack_of_b(4 * 1460, 500, start);
            REQUIRE_FALSE(wire.a.c->receive(ack, 0, wire.now));
            CHECK(wire.a.buffers.lent() == 0);
            const auto resent = wire.a.c->info().resent;
            wire.b.out.loss = 0;
            more(wire, wire.a, 4 * 1460);
            CHECK(wire.a.c->info().resent == resent);
            REQUIRE(wire.run([&] { return arrived(wire); }, 10s));
            CHECK(wire.b.received == wire.a.to_write);
            finish_in_order(wire);
        });
    }
}
