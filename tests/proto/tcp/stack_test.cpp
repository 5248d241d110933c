// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace stacks;

namespace {

/// A client that sends octets, waits until they come back, and closes.
struct exchange {
    explicit exchange(two_stacks& of, std::size_t length) : wire(of), data(octets(length)) {}

    void open() { handle = wire.connect(); }
    void turn(host& at) {
        for (tcp::connection_event what; at.stack.next_event(what);) {
            if (what.what.ended) { ended = at.stack.find(what.connection)->ending(); }
        }
        written += at.stack.write(handle, std::span(data).subspan(written), wire.now);
        std::array<std::byte, 4096> some;
        while (const std::size_t n = at.stack.read(handle, some, wire.now)) {
            back.insert(back.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
        }
        if (back.size() == data.size() && !released) {
            released = true;
            at.stack.release(handle, tcp::leaving::in_order, wire.now);
        }
    }

    two_stacks& wire;
    std::vector<std::byte> data;
    tcp::connection_handle handle;
    std::size_t written = 0;
    std::vector<std::byte> back;
    bool released = false;
    std::optional<tcp::ending> ended;
};

void exchange_over(two_stacks& wire) {
    echo_user server{*wire.b.stack.listen({.port = 80})};
    exchange client(wire, 100'000);
    client.open();
    wire.a.turn = [&](host& at) { client.turn(at); };
    wire.b.turn = [&](host& at) { server(at, wire.now); };
    REQUIRE(wire.run([&] { return client.released; }));
    CHECK(client.back == client.data);
    wire.run_for(1s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
    CHECK(wire.a.stack.waiting() == 1);  // it has closed first
    CHECK(wire.b.stack.waiting() == 0);
    wire.run_for(61s);
    CHECK(wire.a.stack.waiting() == 0);
}

}  // namespace

TEST_CASE("two stacks connect, exchange octets and part, and everything comes back") {
    two_stacks wire;
    exchange_over(wire);
}

TEST_CASE("two stacks do the same over IPv6") {
    two_stacks wire(small_options(), start, 4096, *proto::ip_address::parse("2001:db8::1"),
                    *proto::ip_address::parse("2001:db8::2"));
    exchange_over(wire);
}

TEST_CASE("two stacks do the same with loss and duplicates") {
    two_stacks wire;
    wire.a.loss = wire.b.loss = 0.05;
    wire.a.duplication = wire.b.duplication = 0.05;
    echo_user server{*wire.b.stack.listen({.port = 80})};
    exchange client(wire, 100'000);
    client.open();
    wire.a.turn = [&](host& at) { client.turn(at); };
    wire.b.turn = [&](host& at) { server(at, wire.now); };
    REQUIRE(wire.run([&] { return client.released; }));
    CHECK(client.back == client.data);
    wire.run_for(1000s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
}

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

TEST_CASE("tcp 1: both ends open at once, and there is one connection") {
    two_stacks wire;
    const auto mine = wire.a.stack.connect(a_address, {b_address, 2000}, wire.now, {.local_port = 1000});
    const auto theirs = wire.b.stack.connect(b_address, {a_address, 1000}, wire.now, {.local_port = 2000});
    REQUIRE(mine.has_value());
    REQUIRE(theirs.has_value());
    wire.run_for(100ms);
    CHECK(wire.a.stack.find(*mine)->state() == tcp::state::established);
    CHECK(wire.b.stack.find(*theirs)->state() == tcp::state::established);
    CHECK(wire.a.events().at(mine->index).what.connected);
    CHECK(wire.a.stack.write(*mine, octets(10), wire.now) == 10);
    wire.run_for(100ms);
    CHECK(wire.b.stack.find(*theirs)->readable() == 10);
    CHECK(wire.a.resets_sent + wire.b.resets_sent == 0);
    wire.a.stack.release(*mine, tcp::leaving::at_once, wire.now);
    wire.run_for(100ms);
    CHECK(wire.b.events().at(theirs->index).what.ended);
    wire.b.stack.release(*theirs, tcp::leaving::in_order, wire.now);
    wire.run_for(1s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
}

TEST_CASE("tcp 2: what belongs to no connection gets the reset that its sender accepts") {
    time_point now = start;
    host b(b_address, small_options(), 2, now);
    stranger peer(b, now);
    SUBCASE("an ACK: its number, and no ACK") {
        peer.say(plain(0xffff'fff0, 0x7fff'fffe, flag::ack), octets(40));
        const auto reset = peer.answer();
        CHECK(reset.flags == flag::rst);
        CHECK(reset.sequence.value() == 0x7fff'fffe);
    }
    SUBCASE("no ACK: number 0, and everything that it takes of the sequence space is acknowledged") {
        peer.say(plain(0xffff'fff0, 5, flag::syn | flag::fin), octets(40));
        const auto reset = peer.answer();
        CHECK(reset.flags == (flag::rst | flag::ack));
        CHECK(reset.sequence.value() == 0);
        CHECK(reset.acknowledgment.value() == 0xffff'fff0 + 42U);
    }
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_not_connected) == 1);
    CHECK(b.buffers.lent() == 0);
}

TEST_CASE("tcp 2: nothing answers a reset, and nothing that is not from one host to one host") {
    time_point now = start;
    host b(b_address, small_options(), 2, now);
    stranger peer(b, now);
    peer.say(plain(1, 2, flag::rst));
    peer.say(plain(1, 2, flag::rst | flag::ack));
    peer.say(plain(1, 2, flag::rst | flag::syn));
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_unknown_reset) == 3);
    for (const auto& source : {proto::ipv4_address(224, 0, 0, 1), proto::ipv4_address::broadcast(), proto::ipv4_address()}) {
        stranger odd(b, now, source);
        odd.say(plain(1, 2, flag::syn));
    }
    stranger without_port(b, now, a_address, 0);
    without_port.say(plain(1, 2, flag::syn));
    stranger itself(b, now, b_address, 80);
    itself.say(plain(1, 2, flag::syn));
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_bad_source) == 5);
    b.address = proto::ipv4_address(224, 0, 0, 1);
    peer.say(plain(1, 2, flag::syn));
    b.address = proto::ipv4_address::broadcast();
    peer.say(plain(1, 2, flag::syn));
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_broadcast) == 2);
    peer.expect_silence();
    CHECK(b.stack.count().segments == 10);
}

TEST_CASE("resets for what belongs to no connection are limited, and come again with time") {
    time_point now = start;
    tcp::stack_options options = small_options();
    options.resets_per_second = 10;
    host b(b_address, options, 2, now);
    stranger peer(b, now);
    for (int i = 0; i != 100; ++i) { peer.say(plain(1, 2, flag::ack)); }
    CHECK(peer.heard().size() == 10);
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_reset_limited) == 90);
    now += 500ms;
    for (int i = 0; i != 100; ++i) { peer.say(plain(1, 2, flag::ack)); }
    CHECK(peer.heard().size() == 5);
}

TEST_CASE("a segment whose checksum does not hold is dropped, unless somebody else has looked") {
    time_point now = start;
    host b(b_address, small_options(), 2, now);
    std::array<std::byte, 20> bytes{};
    plain(1, 2, flag::ack).emit(bytes);
    CHECK_FALSE(b.stack.receive(a_address, b_address, bytes, 1, now).kept);
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_bad_checksum) == 1);
    (void)b.stack.receive(a_address, b_address, bytes, 1, now, tcp::checksum_state::right);
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_bad_source) == 1);  // it has no port
    (void)b.stack.receive(a_address, b_address, std::span(bytes).first(19), 1, now);
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_truncated) == 1);
}

TEST_CASE("tcp 13: local ports run out for one destination, not for another, and come back") {
    tcp::stack_options options = small_options();
    options.ports = {.first = 50'000, .last = 50'007};
    two_stacks wire(options);
    std::set<std::uint16_t> ports;
    std::vector<tcp::connection_handle> made;
    for (int i = 0; i != 8; ++i) {
        made.push_back(wire.connect());
        ports.insert(wire.a.stack.name_of(made.back())->local_port());
    }
    CHECK(ports.size() == 8);
    CHECK(*ports.begin() == 50'000);
    CHECK(*ports.rbegin() == 50'007);
    const auto refused = wire.a.stack.connect(a_address, {b_address, 80}, wire.now);
    REQUIRE(refused.has_error());
    CHECK(refused.error() == tcp::refusal::no_port);
    CHECK(wire.a.stack.connect(a_address, {b_address, 81}, wire.now).has_value());
    const auto taken = *wire.a.stack.name_of(made[3]);
    CHECK(wire.a.stack.connect(a_address, {b_address, 80}, wire.now, {.local_port = taken.local_port()}).error() ==
          tcp::refusal::address_in_use);
    wire.a.stack.release(made[3], tcp::leaving::at_once, wire.now);
    wire.flush();
    const auto again = wire.connect();
    CHECK(*wire.a.stack.name_of(again) == taken);
}

TEST_CASE("a stack without a free connection refuses to connect, and lets a listener's handshake go before it does") {
    tcp::stack_options options = small_options();
    options.connections = 2;
    time_point now = start;
    host b(b_address, options, 2, now);
    stranger peer(b, now);
    REQUIRE(b.stack.listen({.port = 80}).has_value());
    peer.say(plain(1, 0, flag::syn, stranger::syn_options()));
    CHECK(b.stack.embryonic() == 1);
    CHECK(b.stack.connect(b_address, {a_address, 1}, now).has_value());
    CHECK(b.stack.connect(b_address, {a_address, 1}, now).has_value());
    CHECK(b.stack.embryonic() == 0);
    CHECK(b.stack.count().evicted == 1);
    CHECK(b.stack.connect(b_address, {a_address, 1}, now).error() == tcp::refusal::no_connection);
    CHECK(b.stack.connect(b_address, {proto::ipv4_address(224, 0, 0, 1), 1}, now).error() == tcp::refusal::bad_address);
    CHECK(b.stack.connect(b_address, {*proto::ip_address::parse("::1"), 1}, now).error() == tcp::refusal::bad_address);
    CHECK(b.stack.connect(b_address, {a_address, 0}, now).error() == tcp::refusal::bad_address);
}

TEST_CASE("a handle that was released names nothing, though its place is used again") {
    tcp::stack_options options = small_options();
    options.connections = 1;
    two_stacks wire(options);
    const auto first = wire.connect();
    wire.a.stack.release(first, tcp::leaving::at_once, wire.now);
    CHECK(wire.a.stack.find(first) == nullptr);
    wire.flush();
    const auto second = wire.connect();
    CHECK(second.index == first.index);
    CHECK_FALSE(second == first);
    CHECK(wire.a.stack.find(first) == nullptr);
    CHECK(wire.a.stack.write(first, octets(5), wire.now) == 0);
    wire.a.stack.abort(first, wire.now);
    wire.a.stack.release(first, tcp::leaving::at_once, wire.now);
    CHECK(wire.a.stack.find(second)->state() == tcp::state::syn_sent);
    CHECK(wire.a.stack.find({}) == nullptr);
}

TEST_CASE("a refused connection is told to its user, and leaves nothing") {
    two_stacks wire;
    const auto one = wire.connect(81, 4711);
    wire.run_for(100ms);
    const auto told = wire.a.events().at(one.index);
    CHECK(told.what.ended);
    CHECK(told.user == 4711);
    CHECK(wire.a.stack.find(one)->ending() == tcp::ending::refused);
    wire.a.stack.release(one, tcp::leaving::in_order, wire.now);
    wire.flush();
    wire.a.expect_nothing_left();
    CHECK_FALSE(wire.a.stack.deadline().has_value());
}

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

TEST_CASE("tcp 10: in TIME-WAIT an older SYN is answered by an ACK, and one with a later timestamp opens, beyond the old numbers (RFC 6191)") {
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
