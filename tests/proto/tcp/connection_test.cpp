// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/pair.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

using namespace tcp_test;

TEST_CASE("two ends open, exchange octets in both directions, and close in order") {
    pair wire;
    wire.connect();
    wire.a.to_write = pattern(300'000, 1);
    wire.b.to_write = pattern(200'000, 2);
    wire.a.shut_when_written = wire.b.shut_when_written = true;
    REQUIRE(wire.run([&] { return wire.a.c->state() >= tcp::state::time_wait || wire.b.c->state() == tcp::state::time_wait; }));
    wire.run([&] { return wire.a.c->state() == tcp::state::closed && wire.b.c->state() == tcp::state::closed; });
    CHECK(wire.b.received == wire.a.to_write);
    CHECK(wire.a.received == wire.b.to_write);
    CHECK(wire.a.c->ending() == tcp::ending::closed);
    CHECK(wire.b.c->ending() == tcp::ending::closed);
    CHECK(wire.a.c->info().resent == 0);
    CHECK(wire.b.c->info().resent == 0);
    wire.expect_clean();
}

TEST_CASE("a stream arrives whole through loss, duplication, reordering and corruption") {
    const std::uint64_t last = fluxnet::test::rounds(300, 5);
    std::uint64_t broken = 0;
    for (std::uint64_t seed = 1; seed <= last; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 dice(seed);
        tcp::connection_options a_options;
        tcp::connection_options b_options;
        if (dice() % 4 == 0) { a_options.sack = false; }
        if (dice() % 4 == 0) { a_options.timestamps = false; }
        if (dice() % 4 == 0) { b_options.window_scaling = false; }
        if (dice() % 4 == 0) { a_options.congestion = tcp::congestion_algorithm::new_reno; }
        if (dice() % 4 == 0) { b_options.receive_limit = 8192; }
        if (dice() % 8 == 0) { b_options.maximum_segment = 100; }
        constexpr std::array<std::uint32_t, 4> starts{0xffff'fff0, 0x7fff'fff0, 0, 5};
        pair wire(seed, a_options, b_options, starts[dice() % 4], starts[dice() % 4]);
        for (end* one : {&wire.a, &wire.b}) {
            one->out.loss = static_cast<double>(dice() % 20) / 100;
            one->out.duplication = static_cast<double>(dice() % 10) / 100;
            one->out.corruption = static_cast<double>(dice() % 5) / 100;
            one->out.delay = std::chrono::microseconds(dice() % 50'000);
            if (dice() % 2 == 0) { one->out.jitter = std::chrono::microseconds(1 + dice() % 10'000); }
        }
        wire.a.to_write = pattern(dice() % 200'000, seed);
        wire.b.to_write = pattern(dice() % 200'000, seed + 1);
        wire.a.shut_when_written = wire.b.shut_when_written = true;
        wire.connect();
        const bool over = wire.run([&] { return wire.a.c->state() == tcp::state::closed && wire.b.c->state() == tcp::state::closed; });
        REQUIRE_MESSAGE(over, wire.describe());
        if (wire.a.c->ending() == tcp::ending::closed && wire.b.c->ending() == tcp::ending::closed) {
            CHECK(wire.b.received == wire.a.to_write);
            CHECK(wire.a.received == wire.b.to_write);
        } else {
            ++broken;
        }
        wire.expect_clean();
    }
    CHECK(broken * 50 <= last);  // the wire is bad, but not so bad that a connection gives up, but for a rare one
}
