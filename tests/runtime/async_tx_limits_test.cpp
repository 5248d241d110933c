// SPDX-License-Identifier: BSD-3-Clause
// What bounds a send: the completion limit, the budget of awaits that complete at once, and durations of every length.
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

struct limited_port {
    explicit limited_port(reactor_kind kind = reactor_kind::automatic)
        : loop({}, kind), sockets(fake_port::open(loop, kernel)) {}

    task<void> send(std::uint32_t count, io_result& outcome) {
        std::vector<packet> packets = numbered_packets(sockets.tx, count);
        outcome = co_await sockets.tx.send(packets);
        for (std::size_t i = 0; i < packets.size(); ++i) { CHECK(static_cast<bool>(packets[i]) == (i >= outcome.n)); }
    }

    fake_kernel kernel;
    executor loop;
    async_sockets sockets;
};

}  // namespace

FLUXNET_REACTOR_TEST("a send whose completions never come ends with a named error and the frames stay the kernel's") {
    limited_port port(kind);
    port.sockets.tx.set_completion_limit(20ms);
    port.kernel.hold_completions(true);
    io_result first;
    io_result second;
    port.loop.spawn(port.send(80, first));
    port.loop.spawn(port.send(2, second));
    port.loop.run();
    CHECK(first.ec == errc::completions_missing);
    CHECK(first.ec == std::errc::timed_out);
    CHECK(first.n == fake_port::ring_size);
    CHECK(second.ec == errc::completions_missing);
    CHECK(second.n == 0);
    const frame_census census = port.sockets.tx.socket().pool().census();
    CHECK(census.exact);
    CHECK(census.tx == fake_port::ring_size);
    CHECK(census.user == 0);
    CHECK(census.sum() == census.frames);

    // The handle goes on when the completions come after all.
    port.kernel.hold_completions(false);
    port.kernel.release_completions();
    io_result later;
    port.loop.spawn(port.send(3, later));
    port.loop.run();
    CHECK_FALSE(later.ec);
    CHECK(later.n == 3);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that the kernel serves slowly outlives its completion limit many times over") {
    limited_port port;
    port.sockets.tx.set_completion_limit(50ms);
    port.kernel.hold_completions(true);
    io_result outcome;
    bool over = false;
    port.loop.spawn([&]() -> task<void> {
        co_await port.send(140, outcome);
        over = true;
    });
    const auto begun = port.loop.now();
    port.loop.spawn([&]() -> task<void> {
        while (!over) {
            port.kernel.release_completions(2);
            static_cast<void>(co_await sleep_for(5ms));
        }
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    REQUIRE(port.loop.now() - begun > 100ms);
    CHECK_FALSE(outcome.ec);
    CHECK(outcome.n == 140);
    check_nothing_lost(port.sockets);
}

TEST_CASE("time in which the link is down does not count as time without completions") {
    limited_port port;
    port.sockets.tx.set_completion_limit(1ms);
    port.kernel.set_link(false);
    io_result outcome;
    bool over = false;
    port.loop.spawn([&]() -> task<void> {
        co_await port.send(80, outcome);
        over = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(30ms));
        CHECK_FALSE(over);
        port.kernel.set_link(true);
    });
    port.loop.run();
    CHECK_FALSE(outcome.ec);
    CHECK(outcome.n == 80);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a kernel that takes no packets ends a send that waits like one that completes none") {
    limited_port port;
    port.sockets.tx.set_completion_limit(20ms);
    port.kernel.fail(fake_call::kick_tx, 1, EINVAL, 1'000'000);  // a driver in a reset that does not end
    io_result outcome;
    port.loop.spawn(port.send(80, outcome));
    port.loop.run();
    CHECK(outcome.ec == errc::completions_missing);
    CHECK(outcome.n == fake_port::ring_size);
    CHECK_FALSE(port.sockets.tx.socket().failure());
    port.kernel.heal();
    check_nothing_lost(port.sockets);
}

TEST_CASE("the longest completion limit there is never passes") {
    limited_port port;
    port.sockets.tx.set_completion_limit(std::chrono::hours::max());
    port.kernel.hold_completions(true);
    io_result outcome;
    bool over = false;
    port.loop.spawn([&]() -> task<void> {
        co_await port.send(80, outcome);
        over = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(30ms));
        CHECK_FALSE(over);
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK_FALSE(outcome.ec);
    check_nothing_lost(port.sockets);
}

TEST_CASE("in virtual time a send without completions ends when the default limit has passed") {
    wire_options options{.zero_copy = true};
    options.to_right.completions_end = 0ns;
    simulated_wire wire(options);
    virtual_clock clock(1);
    executor loop(clock);
    clock.attach(wire);
    async_sockets sockets =
        open_async(loop,
                   wire.socket_on(simulated_wire::end::left).frames(256).tx_frames(128).tx_ring(32).completion_ring(32))
            .value();
    io_result outcome;
    std::chrono::nanoseconds ended{};
    loop.spawn([&]() -> task<void> {
        std::vector<packet> packets = numbered_packets(sockets.tx, 50);
        outcome = co_await sockets.tx.send(packets);
        ended = clock.elapsed();
    });
    loop.run();
    CHECK(outcome.ec == errc::completions_missing);
    CHECK(outcome.n == 32);
    CHECK(ended >= async_tx::default_completion_limit);
    CHECK(ended <= async_tx::default_completion_limit + 10ms);
    const frame_census census = sockets.tx.socket().pool().census();
    CHECK(census.tx == 32);
    CHECK(census.sum() == census.frames);
}

FLUXNET_REACTOR_TEST("a loop of sends of nothing lets others run") {
    limited_port port(kind);
    bool stop = false;
    std::uint64_t sends = 0;
    port.loop.spawn([&]() -> task<void> {
        while (!stop) {
            const io_result sent = co_await port.sockets.tx.send(std::span<packet>());
            CHECK_FALSE(sent.ec);
            CHECK(sent.n == 0);
            ++sends;
        }
    });
    port.loop.spawn([&]() -> task<void> {
        stop = true;
        co_return;
    });
    port.loop.run();
    CHECK(sends > 1);
    CHECK(port.kernel.calls(fake_call::kick_tx) == 0);
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("a loop that ignores the errors of failed handles lets others run") {
    limited_port port(kind);
    port.sockets.tx.socket().fail(errc::interface_gone);
    port.sockets.rx.socket().fail(errc::interface_gone);
    bool stop = false;
    std::uint64_t rounds = 0;
    port.loop.spawn([&]() -> task<void> {
        packet one = std::move(numbered_packets(port.sockets.tx, 1).front());
        while (!stop) {
            const io_result sent = co_await port.sockets.tx.send(one);
            CHECK(sent.ec == errc::interface_gone);
            CHECK(static_cast<bool>(one));
            ++rounds;
        }
    });
    port.loop.spawn([&]() -> task<void> {
        packet none;
        while (!stop) {
            const io_result got = co_await port.sockets.rx.recv(none);
            CHECK(got.ec == errc::interface_gone);
            ++rounds;
        }
    });
    port.loop.spawn([&]() -> task<void> {
        stop = true;
        co_return;
    });
    port.loop.run();
    CHECK(rounds > 2);
    check_nothing_lost(port.sockets);
}

namespace {

/// What a busy executor has kicked after `turns` turns in which one packet was queued.
unsigned kicks_under(const flush_policy& policy, int turns) {
    limited_port port;
    port.sockets.tx.set_flush_policy(policy);
    unsigned kicks = 0;
    port.loop.spawn([&]() -> task<void> {
        const auto until = port.loop.turns() + static_cast<std::uint64_t>(turns);
        std::vector<packet> packets = numbered_packets(port.sockets.tx, 1);
        const io_result sent = co_await port.sockets.tx.send(packets);
        CHECK(sent.n == 1);
        while (port.loop.turns() < until) { co_await requeue(); }
        kicks = port.kernel.calls(fake_call::kick_tx);
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
    return kicks;
}

}  // namespace

TEST_CASE("a flush delay of any type and length is kept or never passes") {
    using years = std::chrono::duration<double, std::ratio<31'556'952>>;
    CHECK(kicks_under({.packets = 1000, .delay = std::chrono::hours::max()}, 3) == 0);
    CHECK(kicks_under({.packets = 1000, .delay = std::chrono::nanoseconds::max()}, 3) == 0);
    CHECK(kicks_under({.packets = 1000, .delay = years(1e300)}, 3) == 0);
    CHECK(kicks_under({.packets = 1000, .delay = years(std::numeric_limits<double>::infinity())}, 3) == 0);
    CHECK(kicks_under({.packets = 1000, .delay = 0s}, 3) == 1);
    CHECK(kicks_under({.packets = 1000, .delay = std::chrono::hours::min()}, 3) == 1);
    CHECK(kicks_under({.packets = 1000, .delay = years(std::numeric_limits<double>::quiet_NaN())}, 3) == 1);
}

TEST_CASE("packets on a wire whose delays no nanoseconds can tell never arrive and nothing waits for them") {
    wire_profile endless;
    endless.delay = std::chrono::hours::max();
    wire_profile late = endless;
    late.jitter = std::chrono::duration<double>(1e300);
    wire_profile last{.reordering = 1, .delay = 1ms, .reordering_delay = std::chrono::hours::max()};
    for (const wire_profile& profile : {endless, late, last}) {
        wire_options options;
        options.to_right = profile;
        simulated_wire wire(options);
        virtual_clock clock(1);
        executor loop(clock);
        clock.attach(wire);
        async_sockets sockets =
            open_async(loop, wire.socket_on(simulated_wire::end::left).frames(256).tx_frames(128)).value();
        loop.spawn([&]() -> task<void> {
            std::vector<packet> packets = numbered_packets(sockets.tx, 3);
            const io_result sent = co_await sockets.tx.send(packets);
            CHECK(sent.n == 3);
            static_cast<void>(co_await sleep_for(1h));
        });
        loop.run();
        CHECK(clock.elapsed() >= 1h);
        CHECK_FALSE(wire.next_arrival());
        CHECK(wire.counts(simulated_wire::end::left).in_transit == 3);
    }
}
