// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <vector>

namespace stacks {
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

TEST_CASE("what is for no connection and no listener of the stack's is left to a caller who asks for it, and no more") {
    time_point now = start;
    host b(b_address, small_options(), 2, now);
    REQUIRE(b.stack.listen({.port = 80}).has_value());
    b.stack.leave_strangers();
    stranger peer(b, now);
    for (const auto flags : {flag::ack, flag::rst}) {
        const auto told = peer.say(plain(7, 9, flags), octets(40));
        CHECK(told.stranger);
        CHECK(told.listens);
    }
    peer.to_port = 81;
    const auto elsewhere = peer.say(plain(7, 0, flag::syn));
    CHECK(elsewhere.stranger);
    CHECK_FALSE(elsewhere.listens);
    peer.expect_silence();
    CHECK(b.stack.count().strangers == 3);

    peer.to_port = 80;
    CHECK_FALSE(peer.say(plain(7, 0, flag::syn)).stranger);
    const auto answered = peer.answer();
    CHECK(answered.flags == (flag::syn | flag::ack));
    CHECK_FALSE(peer.say(plain(8, answered.sequence.value() + 1, flag::ack)).stranger);
    CHECK_FALSE(peer.say(plain(8, answered.sequence.value() + 1, flag::rst)).stranger);
    CHECK(b.stack.count().dropped_for(proto::reason::tcp_not_connected) == 0);
    CHECK(b.buffers.lent() == 0);
}

TEST_CASE("a stranger that the caller has no use for is answered as if it had not been left") {
    time_point now = start;
    host b(b_address, small_options(), 2, now);
    b.stack.leave_strangers();
    stranger peer(b, now);
    std::array<std::byte, 64> room{};
    const auto say_and_answer = [&](std::uint8_t flags) {
        proto::tcp_repr what = plain(7, 9, flags);
        what.source_port = peer.port;
        what.destination_port = peer.to_port;
        auto view = what.emit(room);
        view.fill_checksum(peer.address, b.address);
        CHECK(b.stack.receive(peer.address, b.address, view.bytes(), 0, now).stranger);
        b.stack.answer_stranger(peer.address, b.address, view.bytes(), now);
    };
    say_and_answer(flag::rst);
    peer.expect_silence();
    say_and_answer(flag::ack);
    const auto reset = peer.answer();
    CHECK(reset.flags == flag::rst);
    CHECK(reset.sequence.value() == 9);
    const tcp::stack_counters& counted = b.stack.count();
    CHECK(counted.strangers == 0);
    CHECK(counted.dropped_for(proto::reason::tcp_unknown_reset) == 1);
    CHECK(counted.dropped_for(proto::reason::tcp_not_connected) == 1);
    CHECK(counted.segments == 2);
}

TEST_CASE("resets for what belongs to no connection are limited, and come again with time") {
    time_point now = start;
    tcp::stack_options options = small_options();
    options.resets_per_second = 10;
    host b(b_address, options, 2, now);
    stranger peer(b, now);
    std::size_t resets = 0;
    for (std::size_t second = 0; second != 5; ++second) {
        for (int i = 0; i != 100; ++i) { peer.say(plain(1, 2, flag::ack)); }
        const std::size_t some = peer.heard().size();
        CHECK(some >= 5);
        CHECK(some <= 10);
        resets += some;
        CHECK(b.stack.count().dropped_for(proto::reason::tcp_reset_limited) + resets == 100U * (second + 1));
        now += 1s;
    }
}

TEST_CASE("tcp 4: the number of resets tells nobody whether a name is that of a connection (RFC 5961 section 7)") {
    // Somebody sends a segment in the name of another host, and counts the resets that are left for itself.
    std::array<std::set<std::size_t>, 2> counts;
    for (const bool taken : {false, true}) {
        time_point now = start;
        tcp::stack_options options = small_options();
        options.resets_per_second = 100;
        host b(b_address, options, 2 + (taken ? 1U : 0U), now);
        REQUIRE(b.stack.listen({.port = 80}).has_value());
        stranger victim(b, now, proto::ipv4_address(192, 0, 2, 77), 5000);
        if (taken) {
            victim.say(plain(1, 0, flag::syn, stranger::syn_options()));
            (void)victim.heard();
        }
        stranger spy(b, now, a_address, 6000);
        for (int second = 0; second != 40; ++second) {
            now += 1s;
            b.stack.advance(now);
            victim.say(plain(1'000'000, 2'000'000, flag::ack));
            for (int i = 0; i != 200; ++i) { spy.say(plain(1, 2, flag::ack)); }
            std::size_t heard = 0;
            for (const auto& one : spy.heard()) { heard += one.name.remote_port() == 6000 ? 1 : 0; }
            counts[taken ? 1 : 0].insert(heard);
        }
    }
    for (const auto& seen : counts) {
        CHECK(seen.size() > 10);
        CHECK(*seen.rbegin() - *seen.begin() > 30);
    }
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

namespace {

/// The number of the first SYN on a wire that begins at `when`: of the client, or of the server.
std::uint32_t first_number(time_point when, bool of_server) {
    two_stacks wire(small_options(), when);
    REQUIRE(wire.b.stack.listen({.port = 80}).has_value());
    std::optional<std::uint32_t> number;
    wire.on_sent = [&](host& from, const proto::tcp_view& sent) {
        if (!number && (&from == &wire.b) == of_server) { number = sent.sequence(); }
    };
    (void)wire.connect();
    wire.run([&] { return number.has_value(); });
    return *number;
}

}  // namespace

TEST_CASE("tcp 13: an exchange whose numbers pass 2^32 or 2^31 on the way, at either end, is like any other") {
    for (const bool of_server : {false, true}) {
        for (const std::uint32_t target : {0xffff'ffffU, 0xffff'8000U, 0x7fff'ffffU, 0x7fff'8000U}) {
            CAPTURE(target);
            const std::uint32_t steps = target - first_number(start, of_server);
            const time_point when = start + steps * tcp::isn_generator::step;
            REQUIRE(first_number(when, of_server) == target);
            two_stacks wire(small_options(), when);
            wire.a.loss = wire.b.loss = 0.02;
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
    }
}

TEST_CASE("tcp 11: an ICMP error ends a connection that is being opened, if it is hard and quotes its SYN") {
    two_stacks wire;
    wire.a.drop = [](const proto::tcp_view&) { return true; };
    const auto one = wire.connect();
    std::uint32_t number = 0;
    wire.on_sent = [&](host&, const proto::tcp_view& sent) { number = sent.sequence(); };
    wire.flush();
    const auto name = *wire.a.stack.name_of(one);
    const tcp::sequence_number syn(number);
    const tcp::four_tuple other(a_address, name.local_port(), b_address, 81);
    CHECK_FALSE(wire.a.stack.on_icmp_error(other, syn, true, wire.now));
    CHECK_FALSE(wire.a.stack.on_icmp_error(name, syn + 1, true, wire.now));
    CHECK(wire.a.stack.on_icmp_error(name, syn, false, wire.now));
    CHECK(wire.a.stack.find(one)->state() == tcp::state::syn_sent);
    CHECK(wire.a.stack.on_icmp_error(name, syn, true, wire.now));
    CHECK(wire.a.stack.find(one)->ending() == tcp::ending::unreachable);
    CHECK(wire.a.events().at(one.index).what.ended);
    wire.a.stack.release(one, tcp::leaving::in_order, wire.now);
    wire.flush();
    wire.a.expect_nothing_left();
}

TEST_CASE(
    "tcp 11: a packet that is too big makes segments smaller, if its quote is on its way, and not below the least MTU") {
    two_stacks wire;
    const auto door = *wire.b.stack.listen({.port = 80});
    const auto one = wire.connect();
    wire.run_for(10ms);
    (void)door;
    CHECK(wire.a.stack.write(one, octets(20'000), wire.now) == 20'000);
    const auto first = wire.a.stack.find(one)->send_next();
    wire.a.drop = [](const proto::tcp_view& sent) { return sent.payload().size() > 588; };
    wire.flush();
    const auto name = *wire.a.stack.name_of(one);
    CHECK_FALSE(wire.a.stack.on_packet_too_big(name, first - 1U, 1000, wire.now));
    CHECK_FALSE(wire.a.stack.on_packet_too_big(name, first + 100'000, 1000, wire.now));
    CHECK(wire.a.stack.find(one)->info().segment == 1448);
    CHECK(wire.a.stack.on_packet_too_big(name, first, 640, wire.now));
    CHECK(wire.a.stack.find(one)->info().segment == 588);
    CHECK(wire.run([&] { return wire.b.stack.accept(door).has_value(); }));
    wire.run_for(1s);
    CHECK(wire.a.stack.find(one)->info().in_flight == 0);
    CHECK(wire.a.stack.write(one, octets(1000), wire.now) == 1000);
    const auto second = wire.a.stack.find(one)->send_next();
    wire.flush();
    CHECK(wire.a.stack.on_packet_too_big(name, second, 68, wire.now));
    CHECK(wire.a.stack.find(one)->info().segment == 500);
}

TEST_CASE("tcp 5: what a path has room for bounds segments from the beginning") {
    struct narrow final : tcp::segment_limits {
        std::uint16_t maximum_segment(const proto::ip_address& remote) noexcept override {
            asked = remote;
            return 1000;
        }
        std::optional<proto::ip_address> asked;
    } limits;
    two_stacks wire;
    wire.a.stack.use_limits(&limits);
    REQUIRE(wire.b.stack.listen({.port = 80}).has_value());
    const auto one = wire.connect();
    CHECK(limits.asked == b_address);
    std::optional<std::uint16_t> told;
    wire.on_sent = [&](host& from, const proto::tcp_view& sent) {
        if (&from == &wire.a && (sent.flags() & flag::syn) != 0) { told = sent.read_options().mss; }
    };
    wire.run_for(10ms);
    CHECK(told == 1460);  // what this end receives is the link's matter
    CHECK(wire.a.stack.find(one)->info().segment == 988);
}

}  // namespace stacks
