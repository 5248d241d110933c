// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/listener.hpp"

#include "tests/proto/tcp/listener_side.hpp"

#include <doctest/doctest.h>

#include <map>
#include <vector>

namespace stacks {

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

TEST_CASE(
    "hazard 14: a SYN that comes again makes no second connection, and a handshake that nobody ends gives its place back") {
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

}  // namespace stacks
