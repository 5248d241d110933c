// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/listener.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <map>
#include <vector>

using namespace stacks;

namespace {

constexpr std::array<std::uint32_t, 3> client_numbers{0xffff'ffff, 0x7fff'ffff, 0xffff'fffe};

/// A server with a listener on port 80.
struct server {
    explicit server(tcp::stack_options options = small_options(), std::uint32_t backlog = 16, std::uint32_t syn_queue = 16)
        : at(b_address, options, 2, now), door(*at.stack.listen({.port = 80, .backlog = backlog, .syn_queue = syn_queue})) {}

    /// No connection, buffer or handshake is left once everything that is waited for has come.
    void expect_nothing_left() {
        stranger any(at, now);
        (void)any.heard();
        for (int i = 0; at.stack.deadline(); ++i) {
            REQUIRE(i < 100'000);
            now = std::max(now, *at.stack.deadline());
            at.stack.advance(now);
            (void)any.heard();
        }
        at.expect_nothing_left();
    }

    time_point now = start;
    host at;
    tcp::listener_handle door;
};

/// A client by hand.
struct client : stranger {
    client(server& to, std::uint16_t own_port, std::uint32_t first, bool with_times = true)
        : stranger(to.at, to.now, a_address, own_port), number(first), times_used(with_times) {}

    void say_syn() { say(plain(number, 0, flag::syn, syn_options(times_used, clock++))); }
    /// Takes the SYN-ACK that the server has sent.
    void take(const tcp::outgoing& answer) {
        CHECK(answer.flags == (flag::syn | flag::ack));
        CHECK(answer.acknowledgment.value() == number + 1);
        CHECK(answer.options.timestamps == times_used);
        theirs = answer.sequence.value() + 1;
        echo = answer.options.timestamp;
    }
    proto::tcp_options now_options() { return times_used ? times(clock++, echo) : proto::tcp_options{}; }
    tcp::arrival say_ack(std::uint8_t more = 0) {
        return say(plain(number + 1, theirs, static_cast<std::uint8_t>(flag::ack | more), now_options()));
    }
    tcp::arrival say_data(std::size_t count) {
        return say(plain(number + 1, theirs, flag::ack | flag::psh, now_options()), octets(count, port));
    }
    void connect() {
        say_syn();
        take(answer());
        say_ack();
    }

    std::uint32_t number;
    bool times_used;
    std::uint32_t theirs = 0;
    std::uint32_t clock = 500;
    std::uint32_t echo = 0;
};

/// Fills the queue of handshakes with a strange one, so that the next SYN gets a cookie.
void fill_queue(server& of, client& with) {
    with.say_syn();
    with.take(with.answer());
    REQUIRE(of.at.stack.embryonic() == 1);
}

}  // namespace

TEST_CASE("a listener takes what is for its address, the one that names it most exactly") {
    server of;
    CHECK(of.at.stack.listen({.port = 80}).error() == tcp::refusal::address_in_use);
    const auto exact = *of.at.stack.listen({.address = b_address, .port = 80});
    const auto version = *of.at.stack.listen({.address = proto::ip_address(proto::ipv4_address()), .port = 80});
    CHECK(of.at.stack.listen({.address = b_address, .port = 80}).error() == tcp::refusal::address_in_use);
    CHECK(of.at.stack.listen({.port = 0}).error() == tcp::refusal::bad_address);
    CHECK(of.at.stack.listen({.address = proto::ip_address(proto::ipv4_address(224, 0, 0, 1)), .port = 1}).error() ==
          tcp::refusal::bad_address);
    client one(of, 1, 1000);
    one.connect();
    CHECK_FALSE(of.at.stack.accept(version).has_value());
    CHECK(of.at.stack.accept(exact).has_value());
    of.at.stack.close_listener(exact, of.now);
    client two(of, 2, 1000);
    two.connect();
    CHECK(of.at.stack.accept(version).has_value());
    of.at.stack.close_listener(version, of.now);
    client three(of, 3, 1000);
    three.connect();
    CHECK(of.at.stack.accept(of.door).has_value());
    CHECK(of.at.stack.listeners() == 1);
    of.at.stack.close_listener(exact, of.now);  // again: it names nothing
    CHECK(of.at.stack.listeners() == 1);
}

TEST_CASE("as many listeners as there is room for") {
    tcp::stack_options options = small_options();
    options.listeners = 3;
    server of(options);
    const auto second = of.at.stack.listen({.port = 80 + 256});  // in the same chain
    CHECK(second.has_value());
    CHECK(of.at.stack.listen({.port = 82}).has_value());
    CHECK(of.at.stack.listen({.port = 83}).error() == tcp::refusal::no_listener_free);
    of.at.stack.close_listener(*second, of.now);
    const auto third = of.at.stack.listen({.port = 83});
    REQUIRE(third.has_value());
    CHECK_FALSE(*third == *second);
}

TEST_CASE("tcp 2: an ACK to a listener gets a reset, and what is neither SYN nor ACK gets nothing") {
    server of;
    client one(of, 1, 0xffff'ffff);
    one.say(plain(0xffff'ffff, 0x8000'0000, flag::ack));
    const auto reset = one.answer();
    CHECK(reset.flags == flag::rst);
    CHECK(reset.sequence.value() == 0x8000'0000);
    one.say(plain(1, 2, flag::syn | flag::ack));
    CHECK(one.answer().flags == flag::rst);
    one.say(plain(1, 2, flag::fin));
    one.say(plain(1, 2, 0));
    one.say(plain(1, 2, flag::syn | flag::fin));
    one.expect_silence();
    CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_bad_opening) == 3);
}

TEST_CASE("hazard 12: with a full accept queue the final ACK is dropped without a reset, and data completes it later") {
    for (const std::uint32_t number : client_numbers) {
        CAPTURE(number);
        server of(small_options(), 1);
        client one(of, 1, number);
        one.connect();
        client two(of, 2, number);
        two.say_syn();
        two.take(two.answer());
        two.say_ack();
        two.expect_silence();
        CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_accept_queue_full) == 1);
        CHECK(of.at.stack.embryonic() == 1);
        two.say_data(300);  // it believes that it is connected
        two.expect_silence();
        CHECK(of.at.buffers.lent() == 0);

        // A third one is not even answered: the backlog is full, and as many handshakes wait.
        client three(of, 3, number);
        three.say_syn();
        three.expect_silence();

        const auto first = of.at.stack.accept(of.door);
        REQUIRE(first.has_value());
        CHECK_FALSE(of.at.stack.accept(of.door).has_value());
        two.say_data(300);
        const auto told = two.heard();
        REQUIRE(told.size() == 1);
        CHECK(told[0].segment.acknowledgment.value() == number + 301);
        const auto second = of.at.stack.accept(of.door);
        REQUIRE(second.has_value());
        CHECK(of.at.stack.find(*second)->readable() == 300);
        CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_not_connected) == 0);
        of.at.stack.release(*first, tcp::leaving::at_once, of.now);
        of.at.stack.release(*second, tcp::leaving::at_once, of.now);
        of.expect_nothing_left();
    }
}

TEST_CASE("hazard 12: a dropped final ACK is completed by the SYN-ACK that is sent again") {
    server of(small_options(), 1);
    client one(of, 1, 1000);
    one.connect();
    client two(of, 2, 2000);
    two.say_syn();
    two.take(two.answer());
    two.say_ack();
    CHECK(of.at.stack.accept(of.door).has_value());
    of.now = *of.at.stack.deadline();
    of.at.stack.advance(of.now);
    two.take(two.answer());
    two.say_ack();
    two.expect_silence();
    CHECK(of.at.stack.accept(of.door).has_value());
}

TEST_CASE("hazard 12: two stacks, backlog 1, three clients that send: all are served in the end, and nobody is reset") {
    two_stacks wire;
    const auto door = *wire.b.stack.listen({.port = 80, .backlog = 1});
    std::vector<tcp::connection_handle> clients;
    for (int i = 0; i != 3; ++i) { clients.push_back(wire.connect()); }
    wire.a.turn = [&](host& at) {
        for (auto& [index, what] : at.events()) {
            if (what.what.connected) { CHECK(at.stack.write(what.connection, octets(500), wire.now) == 500); }
        }
    };
    wire.run_for(5s);
    std::vector<tcp::connection_handle> served;
    for (int i = 0; i != 3; ++i) {
        REQUIRE(wire.run([&] {
            const auto one = wire.b.stack.accept(door);
            if (one) { served.push_back(*one); }
            return one.has_value();
        }));
        REQUIRE(wire.run([&] { return wire.b.stack.find(served.back())->readable() == 500; }));
    }
    CHECK(wire.a.resets_sent + wire.b.resets_sent == 0);
    CHECK(wire.b.stack.embryonic() == 0);
}

TEST_CASE("tcp 12: with the queue of handshakes full a SYN is answered by a cookie, which the ACK completes") {
    for (const std::uint32_t number : client_numbers) {
        for (const bool times : {true, false}) {
            CAPTURE(number);
            CAPTURE(times);
            server of(small_options(), 16, 1);
            client other(of, 9, 77);
            fill_queue(of, other);
            client one(of, 1, number, times);
            one.say_syn();
            const auto answer = one.answer();
            CHECK(answer.options.mss == 1460);
            CHECK(answer.options.sack_permitted == times);
            CHECK(answer.options.window_scale == (times ? 8 : proto::tcp_options::no_scale));
            one.take(answer);
            CHECK(of.at.stack.count().cookies_sent == 1);
            CHECK(of.at.stack.connections() == 1);
            one.say_ack();
            one.expect_silence();
            CHECK(of.at.stack.count().cookies_accepted == 1);
            const auto made = of.at.stack.accept(of.door);
            REQUIRE(made.has_value());
            const auto info = of.at.stack.find(*made)->info();
            CHECK(info.state == tcp::state::established);
            CHECK(info.timestamps == times);
            CHECK(info.sack == times);
            CHECK(info.window_scaling == times);
            CHECK(info.send_window == (times ? 0xffffU << 7 : 0xffffU));

            // Both directions work.
            one.say_data(700);
            const auto acknowledged = one.answer();
            CHECK(acknowledged.acknowledgment.value() == number + 701);
            CHECK(acknowledged.sequence.value() == one.theirs);
            const std::size_t segment = times ? 1448 : 1460;
            CHECK(of.at.stack.write(*made, octets(2 * segment), of.now) == 2 * segment);
            const auto data = one.heard();
            REQUIRE(data.size() == 2);
            CHECK(data[0].segment.sequence.value() == one.theirs);
            CHECK(data[0].segment.payload.size() == segment);
            of.at.stack.release(*made, tcp::leaving::at_once, of.now);
            of.expect_nothing_left();
        }
    }
}

TEST_CASE("tcp 12: the first data completes a cookie as the ACK would, and keeps its buffer") {
    server of(small_options(), 16, 1);
    client other(of, 9, 77);
    fill_queue(of, other);
    client one(of, 1, 0xffff'ffff);
    one.say_syn();
    one.take(one.answer());
    CHECK(one.say_data(1000).kept);
    const auto made = of.at.stack.accept(of.door);
    REQUIRE(made.has_value());
    std::array<std::byte, 2000> into;
    CHECK(of.at.stack.read(*made, into, of.now) == 1000);
    CHECK(std::equal(into.begin(), into.begin() + 1000, octets(1000, 1).begin()));
}

TEST_CASE("hazard 12: RST and ACK with a right cookie complete nothing, nor does an ACK without the timestamps agreed on") {
    server of(small_options(), 16, 1);
    client other(of, 9, 77);
    fill_queue(of, other);
    client one(of, 1, 0x7fff'ffff);
    one.say_syn();
    one.take(one.answer());
    SUBCASE("RST and ACK") {
        one.say_ack(flag::rst);
        one.say_ack(flag::syn);
        const auto told = one.heard();  // the second is an ACK that a listener cannot use
        REQUIRE(told.size() == 1);
        CHECK(told[0].segment.flags == flag::rst);
    }
    SUBCASE("an ACK without timestamps") {
        one.say(plain(one.number + 1, one.theirs, flag::ack));
        one.expect_silence();
        CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_lost_timestamps) == 1);
        one.say_data(10);  // and its next segment has them
        CHECK(of.at.stack.count().cookies_accepted == 1);
        one.times_used = true;
    }
    SUBCASE("a wrong number") {
        one.theirs += 8;
        one.say_ack();
        CHECK(one.answer().flags == flag::rst);
    }
    SUBCASE("an old cookie") {
        of.now += 129s;
        one.say_ack();
        CHECK(one.heard().back().segment.flags == flag::rst);
    }
    CHECK(of.at.stack.count().cookies_accepted <= 1);
    while (const auto made = of.at.stack.accept(of.door)) { of.at.stack.release(*made, tcp::leaving::at_once, of.now); }
    of.expect_nothing_left();
}

TEST_CASE("an ACK to a listener that has sent no cookie for long is not compared with one") {
    server of;
    client one(of, 1, 1);
    one.theirs = 55;
    one.say_ack();
    CHECK(one.answer().flags == flag::rst);
    CHECK(of.at.stack.count().cookies_sent == 0);
}

TEST_CASE("tcp 12: a cookie that finds the accept queue full, or no connection free, is dropped and holds later") {
    tcp::stack_options options = small_options();
    SUBCASE("accept queue") {
        server of(options, 1, 1);
        client other(of, 9, 77);
        fill_queue(of, other);
        client one(of, 1, 5);
        client two(of, 2, 5);
        for (client* c : {&one, &two}) {
            c->say_syn();
            c->take(c->answer());
        }
        one.say_ack();
        two.say_ack();
        two.expect_silence();
        CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_accept_queue_full) == 1);
        CHECK(of.at.stack.accept(of.door).has_value());
        two.say_data(5);
        CHECK(of.at.stack.accept(of.door).has_value());
    }
    SUBCASE("connections: a handshake makes room for it") {
        options.connections = 1;
        server of(options, 16, 1);
        client other(of, 9, 77);
        fill_queue(of, other);
        client one(of, 1, 5);
        one.say_syn();
        one.take(one.answer());
        one.say_ack();
        CHECK(of.at.stack.count().evicted == 1);
        const auto made = of.at.stack.accept(of.door);
        REQUIRE(made.has_value());
        client two(of, 2, 5);
        two.say_syn();  // no handshake is kept, and a cookie may be of use later
        two.take(two.answer());
        two.say_ack();
        two.expect_silence();
        CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_no_connection_free) == 1);
        of.at.stack.release(*made, tcp::leaving::at_once, of.now);
        CHECK(two.heard().size() == 1);  // the reset to the first one
        two.say_data(5);
        CHECK(of.at.stack.accept(of.door).has_value());
    }
}

TEST_CASE("tcp 12: without cookies a SYN that finds the queue full is dropped") {
    tcp::stack_options options = small_options();
    options.syn_cookies = false;
    server of(options, 16, 1);
    client other(of, 9, 77);
    fill_queue(of, other);
    client one(of, 1, 5);
    one.say_syn();
    one.expect_silence();
    CHECK(of.at.stack.count().dropped_for(proto::reason::tcp_syn_queue_full) == 1);
}

TEST_CASE("hazard 14: a SYN that comes again makes no second connection, and a handshake that nobody ends gives its place back") {
    server of;
    client one(of, 1, 0xffff'ffff);
    for (int i = 0; i != 100; ++i) {
        one.clock = 500;
        one.say_syn();
    }
    CHECK(of.at.stack.connections() == 1);
    CHECK(of.at.stack.embryonic() == 1);
    one.take(one.heard().front().segment);
    of.expect_nothing_left();
    CHECK(of.now > start + 60s);
    CHECK_FALSE(of.at.stack.accept(of.door).has_value());
}

TEST_CASE("a handshake that is reset gives its place back, and a connection that is reset before it is accepted, too") {
    server of;
    client one(of, 1, 100);
    one.say_syn();
    one.take(one.answer());
    one.say(plain(101, 0, flag::rst));
    one.expect_silence();
    CHECK(of.at.stack.connections() == 0);
    one.connect();
    tcp::listener_handle door;
    CHECK(of.at.stack.next_acceptable(door));
    CHECK(door == of.door);
    CHECK_FALSE(of.at.stack.next_acceptable(door));
    one.say(plain(101, 0, flag::rst));
    one.expect_silence();
    CHECK_FALSE(of.at.stack.accept(of.door).has_value());
    of.expect_nothing_left();
}

TEST_CASE("closing a listener resets what it has not given out, and nothing else") {
    server of;
    client one(of, 1, 100);
    client two(of, 2, 100);
    client three(of, 3, 100);
    one.connect();
    const auto kept = of.at.stack.accept(of.door);
    REQUIRE(kept.has_value());
    two.connect();
    three.say_syn();
    three.take(three.answer());
    of.at.stack.close_listener(of.door, of.now);
    std::map<std::uint16_t, tcp::outgoing> told;
    for (const auto& out : one.heard()) { told[out.name.remote_port()] = out.segment; }
    REQUIRE(told.size() == 2);
    CHECK((told.at(2).flags & flag::rst) != 0);
    CHECK(told.at(2).sequence.value() == two.theirs);
    CHECK((told.at(3).flags & flag::rst) != 0);
    CHECK(told.at(3).sequence.value() == three.theirs);
    CHECK(of.at.stack.connections() == 1);
    CHECK(of.at.stack.embryonic() == 0);
    client four(of, 4, 100);
    four.say_syn();
    CHECK(four.answer().flags == (flag::rst | flag::ack));
    of.at.stack.release(*kept, tcp::leaving::at_once, of.now);
    of.expect_nothing_left();
}

TEST_CASE("a connection that is accepted late has the events that it had before") {
    server of;
    client one(of, 1, 100);
    one.connect();
    one.say_data(10);
    tcp::connection_event what;
    CHECK_FALSE(of.at.stack.next_event(what));
    const auto made = of.at.stack.accept(of.door);
    REQUIRE(of.at.stack.next_event(what));
    CHECK(what.connection == *made);
    CHECK(what.what.connected);
    CHECK(what.what.readable);
    CHECK_FALSE(of.at.stack.next_event(what));
}

TEST_CASE("every segment that a stack receives is counted once") {
    server of(small_options(), 1, 1);
    std::mt19937_64 random(5);
    for (int i = 0; i != 20'000; ++i) {
        const bool times = random() % 2 == 0;
        client one(of, static_cast<std::uint16_t>(random() % 8), static_cast<std::uint32_t>(random()), times);
        one.theirs = static_cast<std::uint32_t>(random());
        one.say(plain(static_cast<std::uint32_t>(random() % 4), static_cast<std::uint32_t>(random() % 4),
                      static_cast<std::uint8_t>(random() % 64), one.now_options()),
                octets(random() % 50));
        if (random() % 16 == 0) {
            if (const auto made = of.at.stack.accept(of.door)) {
                of.at.stack.release(*made, random() % 2 == 0 ? tcp::leaving::in_order : tcp::leaving::at_once, of.now);
            }
        }
        if (random() % 4 == 0) { (void)one.heard(); }
        if (random() % 64 == 0) {
            of.now += std::chrono::milliseconds(random() % 1000);
            of.at.stack.advance(of.now);
        }
    }
    const tcp::stack_counters& n = of.at.stack.count();
    std::uint64_t sum = n.delivered + n.time_wait + n.opened + n.cookies_sent;
    for (const std::uint64_t dropped : n.dropped) { sum += dropped; }
    CHECK(n.segments == 20'000);
    CHECK(sum == n.segments);
}

TEST_CASE("tcp 12: a million SYNs do not stop a connection that is there, nor keep a new one out") {
    two_stacks wire(small_options());
    echo_user user{*wire.b.stack.listen({.port = 80, .backlog = 16, .syn_queue = 16})};
    wire.b.turn = [&](host& at) { user(at, wire.now); };
    const auto old = wire.connect();
    wire.run_for(10ms);
    const std::size_t before = wire.b.stack.connections();
    std::mt19937_64 random(3);
    std::array<std::byte, 40> bytes{};
    std::size_t got = 0;
    std::optional<tcp::connection_handle> late;
    constexpr int count = 1'000'000;
    for (int i = 0; i != count; ++i) {
        auto syn = plain(static_cast<std::uint32_t>(random()), 0, flag::syn);
        syn.source_port = static_cast<std::uint16_t>(random() | 1);
        syn.destination_port = 80;
        const auto view = syn.emit(bytes);
        const auto from = proto::ipv4_address::from_host_order(0x0a00'0000 | static_cast<std::uint32_t>(random() % 0xff'ffff));
        const auto told = wire.b.stack.receive(from, b_address, view.bytes(), 1, wire.now, tcp::checksum_state::right);
        REQUIRE_FALSE(told.kept);
        if (i % 16 != 0) { continue; }
        for (tcp::stack_segment out; wire.b.stack.next(out, wire.now);) {
            if (out.name.remote_address() == a_address) { wire.transmit(wire.b, out); }
        }
        if (i % 1600 == 0) {
            CHECK(wire.a.stack.write(old, octets(100), wire.now) == 100);
            if (i == 800'000) { late = wire.connect(); }
            wire.run_for(10ms);
            std::array<std::byte, 1000> into;
            got += wire.a.stack.read(old, into, wire.now);
        }
    }
    CHECK(got == 100 * count / 1600);
    CHECK(wire.b.stack.count().cookies_sent > 900'000);
    CHECK(wire.b.stack.connections() <= before + 16 + 1);
    REQUIRE(late.has_value());
    CHECK(wire.a.stack.find(*late)->state() == tcp::state::established);
    CHECK(wire.a.stack.find(*late)->info().resent == 0);
}
