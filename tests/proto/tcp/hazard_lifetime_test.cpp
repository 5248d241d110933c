// SPDX-License-Identifier: BSD-3-Clause
// What has kept connections of other stacks from beginning or ending, or has left something of them behind.
#include "tests/proto/tcp/hazard.hpp"

#include "tests/xsk/scale.hpp"

#include <map>

using namespace tcp_test;

namespace {

[[nodiscard]] tcp::segment header(std::uint32_t sequence, std::uint32_t acknowledgment, std::uint8_t flags, std::uint16_t window) {
    tcp::segment made;
    made.sequence = tcp::sequence_number(sequence);
    made.acknowledgment = tcp::sequence_number(acknowledgment);
    made.flags = flags;
    made.window = window;
    return made;
}

[[nodiscard]] bool both(const pair& wire, tcp::state what) {
    return wire.a.c->state() == what && wire.b.c->state() == what;
}

}  // namespace

TEST_CASE("hazard 12: data behind a lost final ACK completes the handshake, and an ACK without its timestamp does not") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, {}, {}, start, start);
        bool first = true;
        wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) {
            return (sent.flags() & flag::syn) == 0 && std::exchange(first, false);
        };
        wire.connect();
        wire.run_for(20ms);
        CHECK(wire.a.c->state() == tcp::state::established);
        REQUIRE(wire.b.c->state() == tcp::state::syn_received);
        CHECK(forge(wire, wire.b, header(start + 1, start + 1, flag::ack, 100)).empty());
        CHECK(wire.b.c->state() == tcp::state::syn_received);
        more(wire, wire.a, 5000);
        REQUIRE(wire.run([&] { return arrived(wire); }, 10s));
        CHECK(wire.b.c->state() == tcp::state::established);
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 12: a final ACK that is lost for good does not make the waiting end send resets, nor wait for ever") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, {}, {}, start, start);
        wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) { return (sent.flags() & flag::syn) == 0; };
        wire.b.out.drop = [&](const fluxnet::proto::tcp_view& sent) {
            CHECK((sent.flags() & flag::rst) == 0);
            return false;
        };
        wire.connect();
        wire.run_for(20ms);
        // The SYN again and again draws answers, but no longer life.
        tcp::segment syn = header(start, 0, flag::syn, 1000);
        syn.options.timestamps = true;
        const auto lent = wire.b.buffers.lent();
        for (int i = 0; i != 20'000 && wire.b.c->state() == tcp::state::syn_received; ++i) {
            (void)forge(wire, wire.b, syn);
            wire.run_for(100ms);
        }
        CHECK(wire.b.c->ending() == tcp::ending::timed_out);
        CHECK(wire.b.buffers.lent() == lent);
    });
}

TEST_CASE("hazard 12: a connection from a cookie takes the scaled window of the ACK at each number, and RST+ACK ends it") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, {}, {}, start, start);
        fluxnet::proto::tcp_options agreed;
        agreed.mss = 1460;
        agreed.window_scale = 8;
        agreed.sack_permitted = true;
        tcp::segment ack = header(start + 1, start + 1, flag::ack, 500);
        wire.b.c->accept_cookie(ack, agreed, wire.now);
        REQUIRE_FALSE(wire.b.c->receive(ack, 0, wire.now));
        CHECK(wire.b.c->state() == tcp::state::established);
        CHECK(wire.b.c->info().send_window == 500U << 8);
        CHECK(forge(wire, wire.b, header(start + 1, start + 1, flag::rst | flag::ack, 0)).empty());
        CHECK(wire.b.c->ending() == tcp::ending::reset);
        wire.expect_clean();
    });
}

TEST_CASE("hazard 13: both ends close at once with data queued, each FIN is lost once, and both end in order") {
    for (const bool sack : {false, true}) {
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options;
            options.sack = sack;
            pair wire(1, options, options, start, start);
            open(wire);
            std::map<const end*, int> fins;
            for (end* one : {&wire.a, &wire.b}) {
                one->out.drop = [&, one](const fluxnet::proto::tcp_view& sent) {
                    return (sent.flags() & flag::fin) != 0 && ++fins[one] == 1;
                };
                one->to_write = pattern(30'000, one == &wire.a ? 1 : 2);
                one->shut_when_written = true;
            }
            wire.flush();
            REQUIRE_MESSAGE(wire.run([&] { return both(wire, tcp::state::closed); }), wire.describe());
            CHECK(fins[&wire.a] >= 2);
            CHECK(fins[&wire.b] >= 2);
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 13: in LAST-ACK only the acknowledgment of the FIN ends the connection, and in CLOSE-WAIT data has a timer") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options options;
        options.timestamps = false;
        pair wire(1, options, options, start, start);
        open(wire);
        wire.a.c->shutdown_write(wire.now);
        wire.flush();
        wire.run_for(20ms);
        REQUIRE(wire.b.c->state() == tcp::state::close_wait);
        wire.b.out.loss = 1;
        more(wire, wire.b, 3000);
        CHECK(wire.b.c->deadline() <= wire.now + 1s);
        wire.b.c->shutdown_write(wire.now);
        wire.flush();
        REQUIRE(wire.b.c->state() == tcp::state::last_ack);
        for (const std::uint32_t old : {start + 1, start - 100, start + 1460, start + 3000}) {
            (void)forge(wire, wire.b, header(start + 2, old, flag::ack, 1000));
            CHECK(wire.b.c->state() == tcp::state::last_ack);
            CHECK(wire.b.c->deadline() <= wire.now + 10s);
        }
        (void)forge(wire, wire.b, header(start + 2, start + 3002, flag::ack, 1000));
        CHECK(wire.b.c->state() == tcp::state::closed);
        CHECK(wire.b.c->ending() == tcp::ending::closed);
    });
}

TEST_CASE("hazard 13: in CLOSING the FIN is sent until it is acknowledged") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, {}, {}, start, start);
        open(wire);
        wire.a.c->shutdown_write(wire.now);
        wire.b.c->shutdown_write(wire.now);
        wire.a.out.drop = wire.b.out.drop = [&](const fluxnet::proto::tcp_view& sent) {
            return (sent.flags() & flag::fin) == 0;  // all but the FINs
        };
        wire.flush();
        wire.run_for(7ms);
        REQUIRE(both(wire, tcp::state::closing));
        std::size_t fins = 0;
        wire.on_sent = [&](end&, const fluxnet::proto::tcp_view& sent) {
            if ((sent.flags() & flag::fin) != 0) { ++fins; }
        };
        wire.run_for(3s);
        // Both FINs arrive and are old; what acknowledges them is beside them or lost.
        CHECK(fins >= 2);
        CHECK((both(wire, tcp::state::closing) || both(wire, tcp::state::time_wait)));
        wire.a.out.drop = wire.b.out.drop = nullptr;
        REQUIRE_MESSAGE(wire.run([&] { return both(wire, tcp::state::closed); }), wire.describe());
        CHECK(wire.a.c->ending() == tcp::ending::closed);
        CHECK(wire.b.c->ending() == tcp::ending::closed);
    });
}

TEST_CASE("hazard 14: nothing stays of connections that come and go, with loss, aborts, closes and SYNs that come again") {
    const std::uint32_t count = fluxnet::test::rounds(100'000, 100);
    tcp::connection_options options;
    options.give_up = 5s;
    options.give_up_connecting = 5s;
    options.fin_wait = 5s;
    pair wire(1, options, options);
    wire.a.out.delay = wire.b.out.delay = 1ms;
    wire.a.resets_strangers = wire.b.resets_strangers = true;
    wire.a.to_write = pattern(3000, 1);
    wire.b.to_write = pattern(3000, 2);
    std::mt19937_64 dice(1);
    std::array<std::uint32_t, 7> endings{};
    for (std::uint32_t i = 0; i != count; ++i) {
        CAPTURE(i);
        const std::array<std::uint32_t, 4> starts{0xffff'ff00, 0x7fff'ff00, 0, static_cast<std::uint32_t>(dice())};
        for (end* one : {&wire.a, &wire.b}) {
            one->c.emplace(one->memory, one->options, tcp::connection_secrets{tcp::sequence_number(starts[dice() % 4]), 1});
            one->out.loss = dice() % 3 == 0 ? 0.3 : 0;
            one->out.duplication = dice() % 3 == 0 ? 0.3 : 0;
            one->received.clear();
            one->written = dice() % 2 == 0 ? 0 : one->to_write.size();
        }
        wire.now += 100s;  // so that nothing of the time before counts
        wire.connect();
        wire.run_for(std::chrono::microseconds(dice() % 20'000));
        for (end* one : {&wire.a, &wire.b}) {
            if (one->c->state() == tcp::state::closed) { continue; }  // nothing has arrived yet
            switch (dice() % 3) {
                case 0: one->c->abort(wire.now); break;
                case 1: one->c->close(wire.now); break;
                default: one->c->shutdown_write(wire.now);
            }
            wire.flush();
            wire.run_for(std::chrono::microseconds(dice() % 5'000));
        }
        wire.run([&] { return both(wire, tcp::state::closed); }, 200s);
        for (end* one : {&wire.a, &wire.b}) {
            if (one->c->state() != tcp::state::closed) { one->c->close(wire.now); }
        }
        wire.flush();
        wire.run([&] { return both(wire, tcp::state::closed); }, 200s);
        for (end* one : {&wire.a, &wire.b}) {
            const bool never = one == &wire.b && one->c->state() == tcp::state::closed && one->c->ending() == tcp::ending::none;
            REQUIRE_MESSAGE((never || one->c->ending() != tcp::ending::none), wire.describe());
            REQUIRE(one->c->deadline() == time_point::max());
            ++endings[static_cast<std::size_t>(one->c->ending())];
            std::array<std::byte, 4000> rest;
            (void)one->c->read(rest, wire.now);
            REQUIRE(one->buffers.lent() == 0);
            REQUIRE(one->ranges.in_use() == 0);
        }
        wire.flying.clear();
    }
    CHECK(endings[static_cast<std::size_t>(tcp::ending::closed)] > 0);
    CHECK(endings[static_cast<std::size_t>(tcp::ending::reset)] > 0);
    CHECK(endings[static_cast<std::size_t>(tcp::ending::aborted)] > 0);
}
