// SPDX-License-Identifier: BSD-3-Clause
// Many connections of a stack: one after another, at once, and what they hold together.
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace stacks {
namespace {

/// Opens connections one after another, some at a time, each of which ends in its own way.
struct churn {
    churn(two_stacks& of, std::size_t count) : wire(of), left(count) {}

    void client(host& at) {
        for (tcp::connection_event what; at.stack.next_event(what);) { client_event(at, what); }
        while (left != 0 && open < 100) {
            const auto made = at.stack.connect(a_address, {b_address, 80}, wire.now, {.user = wire.chance() % 8});
            if (!made) {
                ++refused;
                break;
            }
            --left;
            ++open;
            const std::uint64_t plan = wire.chance() % 16;
            if (plan == 0) { part(at, *made, tcp::leaving::in_order); }
            if (plan == 1) { part(at, *made, tcp::leaving::at_once); }
        }
    }
    void client_event(host& at, const tcp::connection_event& what) {
        if (what.what.ended) { return part(at, what.connection, tcp::leaving::in_order); }
        std::array<std::byte, 512> some{};
        if (what.what.connected) {
            if (what.user == 0) { return part(at, what.connection, tcp::leaving::at_once); }
            (void)at.stack.write(what.connection, some, wire.now);
            if (what.user == 1) { return part(at, what.connection, tcp::leaving::in_order); }  // before the answer
            if (what.user == 2) { at.stack.shutdown_write(what.connection, wire.now); }
        }
        if (const std::size_t n = at.stack.read(what.connection, some, wire.now); n != 0 && what.user >= 3) {
            ++answered;
            return part(at, what.connection, tcp::leaving::in_order);
        }
        if (at.stack.find(what.connection)->peer_finished()) { part(at, what.connection, tcp::leaving::in_order); }
    }
    void part(host& at, tcp::connection_handle which, tcp::leaving how) {
        at.stack.release(which, how, wire.now);
        --open;
    }

    void server(host& at, tcp::listener_handle door) {
        while (at.stack.accept(door)) { ++accepted; }
        for (tcp::connection_event what; at.stack.next_event(what);) {
            const std::uint64_t plan = wire.chance() % 16;
            std::array<std::byte, 512> some;
            const std::size_t n = at.stack.read(what.connection, some, wire.now);
            (void)at.stack.write(what.connection, std::span(some).first(n), wire.now);
            if (plan == 0) {
                at.stack.release(what.connection, tcp::leaving::at_once, wire.now);
            } else if (plan == 1 || what.what.ended || at.stack.find(what.connection)->peer_finished()) {
                at.stack.release(what.connection, tcp::leaving::in_order, wire.now);
            }
        }
    }

    two_stacks& wire;
    std::size_t left;
    std::size_t open = 0;
    std::size_t accepted = 0;
    std::size_t answered = 0;
    std::size_t refused = 0;
};

tcp::stack_options busy_options() {
    tcp::stack_options options;
    options.connections = 512;
    options.ranges = 4096;
    options.time_wait = 512;
    options.orphans = 128;
    return options;
}

}  // namespace

TEST_CASE("hazard 14: after 100,000 connects, closes and aborts with loss and repeated SYNs nothing is left") {
    two_stacks wire(busy_options());
    for (host* one : {&wire.a, &wire.b}) {
        one->loss = 0.03;
        one->duplication = 0.03;
    }
    const auto door = *wire.b.stack.listen({.port = 80, .backlog = 64, .syn_queue = 32});
    const std::uint32_t count = fluxnet::test::rounds(100'000, 1);
    churn all(wire, count);
    wire.a.turn = [&](host& at) { all.client(at); };
    wire.b.turn = [&](host& at) { all.server(at, door); };
    REQUIRE(wire.run([&] { return all.left == 0 && all.open == 0; }, 100'000s));
    CHECK(all.answered > count / 5 * 2);
    CHECK(all.accepted > count / 10 * 7);
    wire.run_for(2000s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
    CHECK(wire.a.stack.waiting() == 0);
    CHECK(wire.b.stack.waiting() == 0);
    CHECK(wire.a.stack.count().answers_lost == 0);
}

TEST_CASE("tcp 12: a stack allocates nothing after it is made, whatever comes") {
    tcp::stack_options options = busy_options();
    options.connections = 64;
    two_stacks wire(options);
    wire.a.loss = wire.b.loss = 0.05;
    const auto door = *wire.b.stack.listen({.port = 80, .backlog = 4, .syn_queue = 2});
    churn all(wire, 2000);
    std::uint64_t allocated = 0;
    const auto counted = [&](auto call) {
        const fluxnet::test::allocation_watch watch;
        call();
        allocated += watch.allocations();
    };
    // The wire allocates: only what happens within the stacks is counted.
    wire.a.turn = [&](host& at) { counted([&] { all.client(at); }); };
    wire.b.turn = [&](host& at) { counted([&] { all.server(at, door); }); };
    std::vector<std::pair<host*, tcp::stack_segment>> out;
    while (all.left != 0 || all.open != 0) {
        for (host* one : {&wire.a, &wire.b}) {
            one->turn(*one);
            for (tcp::stack_segment segment;;) {
                bool any = false;
                counted([&] { any = one->stack.next(segment, wire.now); });
                if (!any) { break; }
                wire.transmit(*one, segment);
            }
        }
        wire.now += 1ms;
        counted([&] {
            wire.a.stack.advance(wire.now);
            wire.b.stack.advance(wire.now);
        });
        while (!wire.flying.empty() && wire.flying.top().at <= wire.now) {
            const auto came = wire.flying.top();
            wire.flying.pop();
            const tcp::buffer into = came.to->buffers.allocate();
            std::copy(came.octets.begin(), came.octets.end(), into.data);
            const bool to_a = came.to == &wire.a;
            counted([&] {
                if (!came.to->stack
                         .receive(to_a ? b_address : a_address, came.to->address, {into.data, came.octets.size()},
                                  into.token, wire.now)
                         .kept) {
                    came.to->buffers.release(into.token);
                }
            });
        }
    }
    CHECK(allocated == 0);
    CHECK(wire.b.stack.count().cookies_sent > 0);
}

TEST_CASE("10,000 connections are open at once, each is served, and idle ones give no events") {
    constexpr std::size_t count = 10'000;
    tcp::stack_options options;
    options.connections = count;
    options.ranges = 2 * count;
    two_stacks wire(options, start, 2 * count);
    wire.a.delay = wire.b.delay = 100us;
    const auto door = *wire.b.stack.listen({.port = 80});
    std::vector<tcp::connection_handle> clients;
    std::vector<tcp::connection_handle> served;
    wire.b.turn = [&](host& at) {
        while (const auto one = at.stack.accept(door)) { served.push_back(*one); }
    };
    for (std::size_t i = 0; i != count; ++i) {
        clients.push_back(wire.connect(80, i));
        if (i % 100 == 99) { wire.run_for(1ms); }
    }
    REQUIRE(served.size() == count);
    CHECK(wire.b.stack.count().cookies_sent == 0);
    (void)wire.a.events();
    (void)wire.b.events();
    CHECK(wire.a.stack.buffers() == 0);
    CHECK(wire.a.stack.ranges() == 0);

    for (std::size_t i = 0; i != count; i += 1000) { CHECK(wire.a.stack.write(clients[i], octets(100), wire.now) == 100); }
    wire.run_for(1ms);
    CHECK(wire.b.events().size() == count / 1000);
    tcp::connection_event none;
    CHECK_FALSE(wire.b.stack.next_event(none));

    CHECK(wire.a.stack.connect(a_address, {b_address, 80}, wire.now).error() == tcp::refusal::no_connection);
    for (const auto one : clients) { wire.a.stack.release(one, tcp::leaving::at_once, wire.now); }
    wire.run_for(1ms);
    CHECK(wire.a.stack.connections() == 0);
    CHECK(wire.b.events().size() == count);
    for (const auto one : served) { wire.b.stack.release(one, tcp::leaving::in_order, wire.now); }
    wire.run_for(1ms);
    wire.b.expect_nothing_left();
    CHECK(wire.a.stack.octets_per_connection() < 920);
}

TEST_CASE("tcp 12: the buffers of a connection are bounded, and those of all, whatever the peer sends") {
    tcp::stack_options options = small_options();
    options.buffers_per_connection = 64;
    options.buffers = 96;
    two_stacks wire(options);
    const auto door = *wire.b.stack.listen({.port = 80});
    time_point& now = wire.now;
    for (std::uint16_t port = 1; port != 4; ++port) {
        stranger peer(wire.b, now, a_address, port);
        const std::uint32_t number = 0xffff'fff0;
        peer.say(plain(number, 0, flag::syn, stranger::syn_options()));
        const auto answer = peer.answer();
        const auto times = [&] { return stranger::times(2, answer.options.timestamp); };
        peer.say(plain(number + 1, answer.sequence.value() + 1, flag::ack, times()));
        for (std::uint32_t i = 1; i != 400; ++i) {  // beyond a gap, each a buffer of its own
            peer.say(plain(number + 1 + i * 400, answer.sequence.value() + 1, flag::ack, times()), octets(300));
            (void)peer.heard();
        }
        CHECK(wire.b.stack.buffers() <= 48);
        if (port == 1) { CHECK(wire.b.stack.buffers() == 32); }
    }
    CHECK(wire.b.stack.count().payloads_refused > 900);
    // What comes in order is still taken.
    stranger peer(wire.b, now, a_address, 1);
    const auto one = wire.b.stack.accept(door);
    REQUIRE(one.has_value());
    const auto* const c = wire.b.stack.find(*one);
    peer.say(plain(c->receive_next().value(), c->send_next().value(), flag::ack, stranger::times(3, 0)), octets(400));
    CHECK(c->readable() == 400 + 300);  // the gap is filled
    while (const auto more = wire.b.stack.accept(door)) { wire.b.stack.release(*more, tcp::leaving::at_once, now); }
    wire.b.stack.release(*one, tcp::leaving::at_once, now);
    (void)peer.heard();
    wire.b.expect_nothing_left();
}

TEST_CASE("two connections that send much take turns") {
    two_stacks wire;
    const auto door = *wire.b.stack.listen({.port = 80});
    const auto one = wire.connect();
    const auto two = wire.connect();
    wire.run_for(10ms);
    (void)door;
    CHECK(wire.a.stack.write(one, octets(10'000), wire.now) == 10'000);
    CHECK(wire.a.stack.write(two, octets(10'000), wire.now) == 10'000);
    std::vector<std::uint16_t> order;
    for (tcp::stack_segment out; wire.a.stack.next(out, wire.now);) { order.push_back(out.name.local_port()); }
    REQUIRE(order.size() >= 12);
    for (std::size_t i = 1; i != 12; ++i) { CHECK(order[i] != order[i - 1]); }
}

TEST_CASE(
    "tcp 8: each segment beyond a gap has an ACK of its own, also when many segments are handed in before any is sent") {
    two_stacks wire;
    REQUIRE(wire.b.stack.listen({.port = 80}).has_value());
    stranger peer(wire.b, wire.now);
    const std::uint32_t number = 0xffff'ff00;
    peer.say(plain(number, 0, flag::syn, stranger::syn_options()));
    const auto answer = peer.answer();
    const auto times = stranger::times(2, answer.options.timestamp);
    peer.say(plain(number + 1, answer.sequence.value() + 1, flag::ack, times));
    std::vector<tcp::stack_segment> out;
    for (std::uint32_t i = 1; i != 5; ++i) {
        const auto got = peer.say(plain(number + 1 + i * 1000, answer.sequence.value() + 1, flag::ack, times), octets(1000));
        CHECK(got.answer_now);
        for (tcp::stack_segment one; wire.b.stack.next_immediate(one, wire.now);) { out.push_back(one); }
    }
    REQUIRE(out.size() == 4);
    for (std::uint32_t i = 0; i != 4; ++i) {
        CHECK(out[i].segment.acknowledgment.value() == number + 1);
        REQUIRE(out[i].segment.options.sack_count == 1);
        CHECK(out[i].segment.options.sack[0].right == number + 1 + (i + 2) * 1000);
    }
    peer.expect_silence();
    const auto got = peer.say(plain(number + 1, answer.sequence.value() + 1, flag::ack, times), octets(1000));
    CHECK_FALSE(got.answer_now);
    CHECK(peer.answer().acknowledgment.value() == number + 5001);
}

}  // namespace stacks
