// SPDX-License-Identifier: BSD-3-Clause
// SYN cookies of a stack (RFC 4987 section 3.6).
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/listener_side.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>

namespace stacks {

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
        const auto from =
            proto::ipv4_address::from_host_order(0x0a00'0000 | static_cast<std::uint32_t>(random() % 0xff'ffff));
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

}  // namespace stacks
