// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/runtime/virtual_world.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

static_assert(!std::is_copy_constructible_v<virtual_clock> && !std::is_move_constructible_v<virtual_clock>);

namespace {

task<void> sleep_and_note(std::chrono::nanoseconds time, int who, std::vector<int>& order) {
    static_cast<void>(co_await sleep_for(time));
    order.push_back(who);
}

}  // namespace

TEST_CASE("a thousand hours pass to the nanosecond in few turns") {
    virtual_clock clock(1);
    executor loop(clock);
    CHECK(fluxnet::detail::inside(loop).clock() == &clock);
    CHECK(loop.now() == virtual_clock::start);
    CHECK(loop.reactor_name() == "virtual");
    loop.spawn([&]() -> task<void> {
        for (int hour = 0; hour < 1000; ++hour) { static_cast<void>(co_await sleep_for(1h)); }
        static_cast<void>(co_await sleep_for(1ns));
        CHECK(loop.now() == virtual_clock::start + 1000h + 1ns);
    });
    loop.run();
    CHECK(clock.elapsed() == 1000h + 1ns);
    CHECK(loop.turns() < 2500);
}

TEST_CASE("a time limit in virtual time ends exactly then") {
    virtual_clock clock(1);
    executor loop(clock);
    channel<int> empty(2);
    loop.spawn([&]() -> task<void> {
        int value = 0;
        const timed<void> ended = co_await timeout(5ms, [&]() -> task<void> {
            const io_result got = co_await empty.recv(value);
            CHECK(got.ec == errc::operation_canceled);
        }());
        CHECK(ended.expired);
        CHECK(clock.elapsed() == 5ms);
    });
    loop.run();
}

TEST_CASE("a packet takes exactly as long as the wire does") {
    wire_options options;
    options.to_right.delay = 1234567ns;
    small_world world(1, options);
    world.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        co_await send_one(world.left.tx);
    });
    world.loop.spawn([&]() -> task<void> {
        packet one;
        const io_result got = co_await world.right.rx.recv(one);
        CHECK(got.n == 1);
        CHECK(world.clock.elapsed() == 1ms + 1234567ns);
        CHECK(same(one.data(), payload(60, 1)));
    });
    world.loop.run();
    CHECK(world.right.rx.wakeups() == 0);  // no descriptor had to tell
}

TEST_CASE("several wires on one clock move together also when one joins late") {
    wire_options slow;
    slow.to_right.delay = 10ms;
    simulated_wire late(slow);
    wire_options quick;
    quick.to_right.delay = 1ms;
    small_world world(1, quick);
    async_sockets from = open_async(world.loop, late.socket_on(end::left).frames(64)).value();
    async_sockets to = open_async(world.loop, late.socket_on(end::right).frames(64)).value();
    std::vector<std::chrono::nanoseconds> arrivals;
    const auto note = [&](async_rx& rx) -> task<void> {
        packet one;
        static_cast<void>(co_await rx.recv(one));
        arrivals.push_back(world.clock.elapsed());
    };
    world.loop.spawn(note(world.right.rx));
    world.loop.spawn(note(to.rx));
    world.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(5ms));
        world.clock.attach(late);
        co_await send_one(from.tx);
        co_await send_one(world.left.tx);
    });
    world.loop.run();
    CHECK(arrivals == std::vector<std::chrono::nanoseconds>{6ms, 15ms});
}

TEST_CASE("first come first served wakes timers of one time in the order in which they were set") {
    virtual_clock clock(7, wake_order::fifo);
    executor loop(clock);
    std::vector<int> order;
    for (int i = 0; i < 8; ++i) { loop.spawn(sleep_and_note(1ms, i, order)); }
    loop.run();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("seeds wake timers of one time in every order and a seed always in the same") {
    const auto order_of = [](std::uint64_t seed) {
        virtual_clock clock(seed);
        executor loop(clock);
        std::vector<int> order;
        for (int i = 0; i < 3; ++i) { loop.spawn(sleep_and_note(1ms, i, order)); }
        loop.run();
        return order;
    };
    std::set<std::vector<int>> seen;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const std::vector<int> order = order_of(seed);
        CHECK(order == order_of(seed));
        seen.insert(order);
    }
    CHECK(seen.size() == 6);
}

TEST_CASE("timers of different times never change places") {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        virtual_clock clock(seed);
        executor loop(clock);
        std::vector<int> order;
        for (int i = 0; i < 5; ++i) { loop.spawn(sleep_and_note(1ms + i * 1ns, i, order)); }
        loop.run();
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
    }
}

TEST_CASE("a packet and a timer of the same time come in either order") {
    wire_options options;
    options.to_right.delay = 1ms;
    const auto packet_first = [&](std::uint64_t seed, wake_order order) {
        small_world world(seed, options, order);
        std::string who;
        world.loop.spawn(send_one(world.left.tx));
        world.loop.spawn([&]() -> task<void> {
            packet one;
            static_cast<void>(co_await world.right.rx.recv(one));
            CHECK(world.clock.elapsed() == 1ms);
            who += 'p';
        });
        world.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            who += 't';
        });
        world.loop.run();
        REQUIRE(who.size() == 2);
        return who == "pt";
    };
    int first = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) { first += packet_first(seed, wake_order::seeded) ? 1 : 0; }
    CHECK(first > 5);
    CHECK(first < 35);
    CHECK(packet_first(1, wake_order::fifo));
}

TEST_CASE("equal seeds have equal digests and another seed has another") {
    const auto digest_of = [](std::uint64_t seed) {
        virtual_clock clock(seed);
        executor loop(clock);
        for (int i = 0; i < 10; ++i) {
            loop.spawn([]() -> task<void> {
                for (int round = 0; round < 10; ++round) { static_cast<void>(co_await yield()); }
            });
        }
        loop.run();
        CHECK(clock.resumptions() == 110);
        return clock.digest();
    };
    CHECK(digest_of(1) == digest_of(1));
    CHECK(digest_of(1) != digest_of(2));
}

TEST_CASE("a digest covers what the wires did") {
    const auto digest_of = [](unsigned content) {
        small_world world(1, {}, wake_order::fifo);
        world.loop.spawn(send_one(world.left.tx, content));
        world.loop.run();
        return world.clock.digest();
    };
    CHECK(digest_of(1) == digest_of(1));
    CHECK(digest_of(1) != digest_of(2));
}

// Compilers that make a call of a transfer unwind the stack now and then; that must not show in the schedule.
TEST_CASE("a long chain of tasks that never suspend is one resumption with every compiler") {
    virtual_clock clock(1);
    executor loop(clock);
    std::string who;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await yield());
        who += 'a';
        const auto nothing = []() -> task<void> { co_return; };
        for (int i = 0; i < 1000; ++i) { co_await nothing(); }
        who += 'a';
    });
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 4; ++i) {
            static_cast<void>(co_await yield());
            who += 'b';
        }
    });
    loop.run();
    CHECK(clock.resumptions() == 2 + 5);
    CHECK(who.find("aa") != std::string::npos);
}

TEST_CASE("stop and run go on where they were") {
    virtual_clock clock(1);
    executor loop(clock);
    std::vector<int> order;
    loop.spawn(sleep_and_note(2ms, 2, order));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        loop.stop();
    });
    loop.run();
    CHECK(order.empty());
    CHECK(clock.elapsed() == 1ms);
    loop.run();
    CHECK(order == std::vector<int>{2});
    CHECK(clock.elapsed() == 2ms);
}

TEST_CASE("an engine serves its ports in virtual time beside its coroutines") {
    wire_options options;
    options.to_right.delay = options.to_left.delay = 1ms;
    simulated_wire wire(options);
    virtual_clock clock(1);
    clock.attach(wire);
    engine loop(clock);
    const auto port = loop.add_port(wire.socket_on(end::right).frames(64).build_system().value());
    REQUIRE(port.has_value());
    async_sockets client = open_async(loop, wire.socket_on(end::left).frames(64)).value();
    std::vector<std::chrono::nanoseconds> arrivals;
    loop.spawn([&]() -> task<void> {
        packet one;
        for (int i = 0; i < 10; ++i) {
            co_await send_one(client.tx);
            const io_result got = co_await client.rx.recv(one);
            CHECK(got.n == 1);
            arrivals.push_back(clock.elapsed());
        }
        loop.stop();
    });
    CHECK_FALSE(loop.run([](packet_ref one) { return one.size() == 60 ? action::send : action::drop; }));
    REQUIRE(arrivals.size() == 10);
    for (int i = 0; i < 10; ++i) { CHECK(arrivals[static_cast<std::size_t>(i)] == (i + 1) * 2ms); }
}

TEST_CASE("an engine does not sleep over a packet that took no time") {
    simulated_wire wire;
    virtual_clock clock(1);
    clock.attach(wire);
    engine loop(clock);
    REQUIRE(loop.add_port(wire.socket_on(end::right).frames(64).build_system().value()).has_value());
    async_sockets client = open_async(loop, wire.socket_on(end::left).frames(64)).value();
    std::chrono::nanoseconds seen{-1};
    loop.spawn(send_one(client.tx));
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1s)); });
    loop.run([&](packet_batch&) {
        seen = clock.elapsed();
        loop.stop();
    });
    CHECK(seen == 0ns);
}
