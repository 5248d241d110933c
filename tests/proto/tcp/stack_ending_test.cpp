// SPDX-License-Identifier: BSD-3-Clause
// How connections of a stack end: TIME-WAIT, resets, and those that nobody holds any more.
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace stacks {
namespace {

tcp::stack_options quick_options() {  // without delays that a test would wait for
    tcp::stack_options made = small_options();
    made.v4.delayed_ack = 1ms;
    return made;
}

/// A connection from the stack's own port to a stranger's, opened by the stranger's SYN-ACK.
tcp::connection_handle open_to(host& at, stranger& peer, time_point now, std::uint32_t number, tcp::outgoing& syn) {
    const auto made = at.stack.connect(at.address, {peer.address, peer.port}, now);
    REQUIRE(made.has_value());
    peer.to_port = at.stack.name_of(*made)->local_port();
    syn = peer.answer();
    CHECK(syn.flags == flag::syn);
    proto::tcp_options options = stranger::syn_options(true, 100);
    options.timestamp_echo = syn.options.timestamp;
    peer.say(plain(number, syn.sequence.value() + 1, flag::syn | flag::ack, options));
    CHECK(peer.answer().flags == flag::ack);
    return *made;
}

}  // namespace

TEST_CASE("tcp 10: a connection leaves its place for TIME-WAIT at once, and what it has received can still be read") {
    time_point now = start;
    host b(b_address, quick_options(), 2, now);
    stranger peer(b, now, a_address, 80);
    tcp::outgoing syn;
    const auto one = open_to(b, peer, now, 0xffff'fff0, syn);
    b.stack.shutdown_write(one, now);
    const auto fin = peer.answer();
    CHECK((fin.flags & flag::fin) != 0);
    const std::uint32_t next = fin.sequence.value() + 1;
    peer.say(plain(0xffff'fff1, next, flag::ack | flag::fin, stranger::times(101, fin.options.timestamp)), octets(100, 3));
    const auto last = peer.answer();
    CHECK(last.acknowledgment.value() == 0xffff'fff1 + 101U);
    CHECK(b.stack.waiting() == 1);
    CHECK(b.stack.connections() == 1);  // the user's, for what is left to be read
    CHECK(b.events().at(one.index).what.ended);
    CHECK(b.stack.find(one)->ending() == tcp::ending::closed);

    // The FIN again is acknowledged again, from the table.
    now += 1s;
    peer.say(plain(0xffff'fff1, next, flag::ack | flag::fin, stranger::times(101, fin.options.timestamp)), octets(100, 3));
    const auto again = peer.answer();
    CHECK(again.sequence == last.sequence);
    CHECK(again.acknowledgment == last.acknowledgment);
    CHECK(again.options.timestamp == last.options.timestamp + 1000);

    std::array<std::byte, 200> into;
    CHECK(b.stack.read(one, into, now) == 100);
    b.stack.release(one, tcp::leaving::in_order, now);
    peer.expect_silence();
    b.expect_nothing_left();
    CHECK(b.stack.waiting() == 1);
    REQUIRE(b.stack.deadline().has_value());
    now += 62s;
    b.stack.advance(now);
    CHECK(b.stack.waiting() == 0);
    CHECK_FALSE(b.stack.deadline().has_value());
}

TEST_CASE(
    "tcp 10: in TIME-WAIT an older SYN is answered by an ACK, and one with a later timestamp opens, beyond the old numbers "
    "(RFC 6191)") {
    time_point now = start;
    host b(b_address, quick_options(), 2, now);
    REQUIRE(b.stack.listen({.port = 80}).has_value());
    stranger peer(b, now);
    const std::uint32_t number = 0xffff'ffff;
    peer.say(plain(number, 0, flag::syn, stranger::syn_options(true, 100)));
    const auto first = peer.answer();
    const std::uint32_t next = first.sequence.value() + 1;
    peer.say(plain(number + 1, next, flag::ack, stranger::times(101, first.options.timestamp)));
    tcp::listener_handle door;
    REQUIRE(b.stack.next_acceptable(door));
    b.stack.release(*b.stack.accept(door), tcp::leaving::in_order, now);
    (void)peer.answer();
    peer.say(plain(number + 1, next + 1, flag::ack | flag::fin, stranger::times(102, first.options.timestamp)));
    const auto last = peer.answer();
    CHECK(b.stack.waiting() == 1);

    now += 10ms;
    peer.say(plain(number + 100, 0, flag::syn, stranger::syn_options(true, 99)));
    const auto challenge = peer.answer();
    CHECK(challenge.flags == flag::ack);
    CHECK(challenge.acknowledgment == last.acknowledgment);
    CHECK(b.stack.waiting() == 1);

    peer.say(plain(number - 5000, 0, flag::syn, stranger::syn_options(true, 103)));
    const auto second = peer.answer();
    CHECK(second.flags == (flag::syn | flag::ack));
    CHECK(second.sequence > last.sequence);
    CHECK(static_cast<std::int32_t>(second.options.timestamp - last.options.timestamp) >= 0);
    CHECK(b.stack.waiting() == 0);
    CHECK(b.stack.embryonic() == 1);
}

TEST_CASE("tcp 10: closing with octets unread resets, and an orphan that receives octets does") {
    time_point now = start;
    host b(b_address, quick_options(), 2, now);
    stranger peer(b, now, a_address, 80);
    tcp::outgoing syn;
    const auto one = open_to(b, peer, now, 5000, syn);
    SUBCASE("unread") {
        peer.say(plain(5001, syn.sequence.value() + 1, flag::ack, stranger::times(101, syn.options.timestamp)), octets(10));
        b.stack.release(one, tcp::leaving::in_order, now);
        CHECK((peer.answer().flags & flag::rst) != 0);
    }
    SUBCASE("later") {
        b.stack.release(one, tcp::leaving::in_order, now);
        CHECK((peer.answer().flags & flag::fin) != 0);
        CHECK(b.stack.orphans() == 1);
        peer.say(plain(5001, syn.sequence.value() + 2, flag::ack, stranger::times(101, syn.options.timestamp)), octets(10));
        CHECK((peer.answer().flags & flag::rst) != 0);
    }
    b.expect_nothing_left();
}

TEST_CASE("tcp 12: orphans may take every place, and the oldest makes room for a new connection") {
    tcp::stack_options options = quick_options();
    options.connections = 3;
    time_point now = start;
    host b(b_address, options, 2, now);
    const auto was_reset = [](const std::vector<tcp::stack_segment>& out, std::uint16_t port) {
        return std::any_of(out.begin(), out.end(), [&](const tcp::stack_segment& one) {
            return one.name.remote_port() == port && (one.segment.flags & flag::rst) != 0;
        });
    };
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{81}, std::uint16_t{82}}) {
        stranger peer(b, now, a_address, port);
        tcp::outgoing syn;
        const auto one = open_to(b, peer, now, 5000, syn);
        b.stack.release(one, tcp::leaving::in_order, now);
        CHECK_FALSE(was_reset(peer.heard(), 80));
        peer.say(plain(5001, syn.sequence.value() + 2, flag::ack, stranger::times(101, syn.options.timestamp)));
        now += 1s;
    }
    CHECK(b.stack.orphans() == 3);
    CHECK(b.stack.count().evicted == 0);
    SUBCASE("that the host opens") {
        const auto made = b.stack.connect(b_address, {a_address, 90}, now);
        CHECK(made.has_value());
    }
    SUBCASE("that a peer opens") {
        REQUIRE(b.stack.listen({.address = {}, .port = 7}).has_value());
        stranger(b, now, a_address, 91, 7).say(plain(9000, 0, flag::syn));
    }
    stranger any(b, now);
    const auto out = any.heard();
    CHECK(was_reset(out, 80));
    CHECK_FALSE(was_reset(out, 81));
    CHECK(b.stack.orphans() == 2);
    CHECK(b.stack.connections() == 3);
    CHECK(b.stack.count().evicted == 1);
}

TEST_CASE("tcp 12: an orphan that makes room with octets left counts as reset") {
    tcp::stack_options options = quick_options();
    options.connections = 1;
    time_point now = start;
    host b(b_address, options, 2, now);
    stranger peer(b, now, a_address, 80);
    tcp::outgoing syn;
    const auto one = open_to(b, peer, now, 5000, syn);
    CHECK_FALSE(b.stack.has_unacknowledged());
    REQUIRE(b.stack.write(one, octets(100), now) == 100);
    CHECK(b.stack.has_unacknowledged());
    b.stack.release(one, tcp::leaving::in_order, now);
    static_cast<void>(peer.heard());
    CHECK(b.stack.has_unsettled_orphans());
    CHECK(b.stack.has_unacknowledged());
    CHECK(b.stack.count().orphans_reset == 0);
    CHECK(b.stack.connect(b_address, {a_address, 90}, now).has_value());
    CHECK_FALSE(b.stack.has_unsettled_orphans());
    CHECK_FALSE(b.stack.has_unacknowledged());
    CHECK(b.stack.count().evicted == 1);
    CHECK(b.stack.count().orphans_reset == 1);
}

TEST_CASE("tcp 12: orphans in FIN-WAIT-2 end with time, and the oldest one when there are too many") {
    tcp::stack_options options = quick_options();
    options.orphans = 2;
    time_point now = start;
    host b(b_address, options, 2, now);
    std::vector<std::uint32_t> lasts;
    const auto part = [&](std::uint16_t port) {
        stranger peer(b, now, a_address, port);
        tcp::outgoing syn;
        const auto one = open_to(b, peer, now, 5000, syn);
        b.stack.release(one, tcp::leaving::in_order, now);
        const auto fin = peer.heard();
        REQUIRE(!fin.empty());
        peer.say(plain(5001, syn.sequence.value() + 2, flag::ack, stranger::times(101, syn.options.timestamp)));
        return fin;
    };
    (void)part(80);
    now += 10s;
    (void)part(81);
    CHECK(b.stack.orphans() == 2);
    now += 10s;
    const auto out = part(82);
    CHECK(std::any_of(out.begin(), out.end(), [](const tcp::stack_segment& one) {
        return one.name.remote_port() == 80 && (one.segment.flags & flag::rst) != 0;
    }));
    CHECK(b.stack.orphans() == 2);
    CHECK(b.stack.connections() == 2);
    stranger any(b, now);
    any.expect_silence();
    while (b.stack.deadline()) {
        now = std::max(now, *b.stack.deadline());
        b.stack.advance(now);
        (void)any.heard();
    }
    CHECK(now <= start + 20s + 61s);
    b.expect_nothing_left();
}

TEST_CASE("tcp 12: an orphan whose peer takes what was written outlives those that get no further, and its life begins anew") {
    tcp::stack_options options = quick_options();
    options.orphans = 2;
    time_point now = start;
    host b(b_address, options, 2, now);
    stranger slow(b, now, a_address, 80);
    tcp::outgoing syn;
    const auto one = open_to(b, slow, now, 5000, syn);
    CHECK(b.stack.write(one, octets(100'000), now) == 100'000);
    b.stack.release(one, tcp::leaving::in_order, now);
    std::uint32_t taken = syn.sequence.value() + 1;
    std::uint32_t sent = taken;
    std::uint32_t clock = 101;
    bool reset = false;
    const auto hear = [&] {
        for (const auto& out : slow.heard()) {
            if (out.name.remote_port() != 80) { continue; }
            reset = reset || (out.segment.flags & flag::rst) != 0;
            const auto end = out.segment.sequence.value() + static_cast<std::uint32_t>(out.segment.payload.size());
            if (static_cast<std::int32_t>(end - sent) > 0) { sent = end; }
        }
    };
    const auto take_some = [&] {  // about a segment, and no window for more than another one
        REQUIRE(sent != taken);
        taken += std::min(sent - taken, 1448U);
        auto some = plain(5001, taken, flag::ack, stranger::times(clock++, 0));
        some.window = 12;  // times 128
        slow.say(some);
        hear();
    };
    const auto pause = [&] {
        for (int i = 0; i != 20; ++i) {
            now += 1s;
            b.stack.advance(now);
            hear();
        }
    };
    hear();
    for (std::uint16_t port = 81; port != 84; ++port) {  // which end in FIN-WAIT-2
        stranger other(b, now, a_address, port);
        tcp::outgoing first;
        const auto ended = open_to(b, other, now, 5000, first);
        b.stack.release(ended, tcp::leaving::in_order, now);
        (void)other.heard();
        other.say(plain(5001, first.sequence.value() + 2, flag::ack, stranger::times(101, first.options.timestamp)));
        pause();
        take_some();
        CHECK(b.stack.orphans() == 2);
    }
    CHECK(b.stack.count().evicted == 2);
    for (int i = 0; i != 40; ++i) {
        pause();
        take_some();
    }
    CHECK_FALSE(reset);
    CHECK(now > start + 2 * options.orphan_life);
    CHECK(b.stack.orphans() == 1);
    CHECK(b.stack.has_unsettled_orphans());
    while (b.stack.connections() != 0) {  // and when it takes nothing any more, it ends
        REQUIRE(b.stack.deadline().has_value());
        now = std::max(now, *b.stack.deadline());
        b.stack.advance(now);
        (void)slow.heard();
    }
    b.expect_nothing_left();
}

TEST_CASE("tcp 12: an orphan whose peer never opens its window ends after its life") {
    time_point now = start;
    host b(b_address, quick_options(), 2, now);
    stranger peer(b, now, a_address, 80);
    tcp::outgoing syn;
    const auto one = open_to(b, peer, now, 5000, syn);
    std::size_t written = 0;
    while (const std::size_t n = b.stack.write(one, octets(10'000), now)) { written += n; }
    CHECK(written == quick_options().v4.send_limit);
    b.stack.release(one, tcp::leaving::in_order, now);
    std::uint32_t timestamp = 101;
    while (b.stack.connections() != 0) {
        for (const auto& out : peer.heard()) {  // it acknowledges what comes, and has no room for more
            const std::uint32_t end = out.segment.sequence.value() + static_cast<std::uint32_t>(out.segment.payload.size());
            auto closed = plain(5001, end, flag::ack, stranger::times(timestamp++, out.segment.options.timestamp));
            closed.window = 0;
            peer.say(closed);
        }
        if (b.stack.connections() == 0) { break; }
        REQUIRE(b.stack.deadline().has_value());
        now = std::max(now, *b.stack.deadline());
        REQUIRE(now <= start + 301s);
        b.stack.advance(now);
    }
    b.expect_nothing_left();
}

TEST_CASE("tcp 10: a name in TIME-WAIT is used again by this host after a second, with timestamps, beyond its numbers") {
    for (const bool times : {true, false}) {
        CAPTURE(times);
        tcp::stack_options options = quick_options();
        options.ports = {.first = 50'000, .last = 50'000};
        options.v4.timestamps = times;
        two_stacks wire(options);
        const auto door = *wire.b.stack.listen({.port = 80});
        std::uint32_t syn = 0;
        std::uint32_t last = 0;
        wire.on_sent = [&](host& from, const proto::tcp_view& sent) {
            if (&from == &wire.a) { ((sent.flags() & flag::syn) != 0 ? syn : last) = sent.sequence(); }
        };
        const auto part_both = [&](tcp::connection_handle mine) {
            wire.run_for(10ms);
            wire.a.stack.release(mine, tcp::leaving::in_order, wire.now);
            wire.run_for(10ms);
            const auto theirs = wire.b.stack.accept(door);
            REQUIRE(theirs.has_value());
            wire.b.stack.release(*theirs, tcp::leaving::in_order, wire.now);
            wire.run_for(10ms);
            CHECK(wire.a.stack.waiting() == 1);
        };
        part_both(wire.connect());
        wire.run_for(900ms);
        CHECK(wire.a.stack.connect(a_address, {b_address, 80}, wire.now).error() == tcp::refusal::no_port);
        wire.run_for(200ms);
        const auto again = wire.a.stack.connect(a_address, {b_address, 80}, wire.now);
        CHECK(again.has_value() == times);
        if (!again) { continue; }
        CHECK(wire.a.stack.waiting() == 0);
        const std::uint32_t before = last;
        wire.run_for(10ms);
        CHECK(static_cast<std::int32_t>(syn - before) > 0);
        CHECK(wire.a.stack.find(*again)->state() == tcp::state::established);
        part_both(*again);
    }
}

}  // namespace stacks
