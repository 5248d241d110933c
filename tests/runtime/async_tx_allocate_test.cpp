// SPDX-License-Identifier: BSD-3-Clause
// How an async_tx waits for free frames. Who ends its sleep is in async_tx_hungry_test.cpp.
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/drained_port.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_move_constructible_v<async_tx::allocate_awaiter>);

FLUXNET_REACTOR_TEST("an allocation completes at once with as many packets as there are free frames") {
    executor loop({}, kind);
    fake_kernel kernel;
    async_sockets sockets = fake_port::open(loop, kernel);
    loop.spawn([&]() -> task<void> {
        std::vector<packet> first(fake_port::sending - 3);
        const io_result most = co_await sockets.tx.allocate(first);
        CHECK_FALSE(most.ec);
        CHECK(most.n == first.size());
        for (const packet& one : first) { CHECK(one.home() == &sockets.tx.socket().home()); }
        std::array<packet, 8> rest;
        const io_result few = co_await sockets.tx.allocate(rest);
        CHECK_FALSE(few.ec);
        CHECK(few.n == 3);
        CHECK_FALSE(static_cast<bool>(rest[3]));
    });
    loop.run();
    CHECK(loop.turns() == 1);
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("an allocation for no packets completes with none though no frame is free") {
    drained_port port(kind);
    port.loop.spawn([&]() -> task<void> {
        const io_result made = co_await port.sockets.tx.allocate(std::span<packet>());
        CHECK_FALSE(made.ec);
        CHECK(made.n == 0);
    });
    port.loop.run();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("an allocation does not wait for frames that its own packets hold") {
    drained_port port(kind);
    port.loop.spawn([&]() -> task<void> {
        const io_result made = co_await port.sockets.tx.allocate(std::span(port.hoard).first(5));
        CHECK_FALSE(made.ec);
        CHECK(made.n == 5);
        for (const packet& one : port.hoard) { CHECK(static_cast<bool>(one)); }
    });
    port.loop.run();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("an allocation that waits completes when a coroutine drops a packet") {
    drained_port port(kind);
    io_result made;
    bool dropped = false;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 4> into;
        made = co_await port.sockets.tx.allocate(into);
        CHECK(dropped);
        CHECK(port.sockets.tx.try_allocate(std::span(into).subspan(1)) == 0);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        dropped = true;
        port.hoard.pop_back();
    });
    port.loop.run();
    CHECK_FALSE(made.ec);
    CHECK(made.n == 1);
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("an allocation that waits completes when the kernel gives a frame back") {
    drained_port port(kind);
    port.kernel.hold_completions(true);
    bool released = false;
    io_result made;
    port.loop.spawn([&]() -> task<void> {
        const io_result sent = co_await port.sockets.tx.send(std::span(port.hoard).first(10));
        CHECK(sent.n == 10);
        std::array<packet, 32> into;
        made = co_await port.sockets.tx.allocate(into);
        CHECK(released);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(20ms));
        released = true;
        port.kernel.release_completions(4);
        port.kernel.hold_completions(false);
    });
    port.loop.run();
    CHECK_FALSE(made.ec);
    CHECK(made.n == 4);
    port.kernel.release_completions();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("packets that are queued do not wait for company while a coroutine waits for frames") {
    drained_port port(reactor_kind::automatic);
    port.sockets.tx.set_flush_policy({.packets = 1000, .delay = 1h});
    bool over = false;
    port.loop.spawn([&]() -> task<void> {
        const io_result sent = co_await port.sockets.tx.send(std::span(port.hoard).first(2));
        CHECK(sent.n == 2);
        std::array<packet, 2> into;
        const io_result made = co_await port.sockets.tx.allocate(into);
        CHECK(made.n == 2);
        over = true;
    });
    port.loop.spawn([&]() -> task<void> {
        while (!over) { co_await requeue(); }  // never idle
    });
    port.loop.run();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("an allocation that waits is cancelled and has taken nothing") {
    drained_port port(kind);
    std::stop_source source;
    io_result made;
    const auto allocate = [&]() -> task<void> {
        std::array<packet, 4> into;
        made = co_await port.sockets.tx.allocate(into);
        CHECK_FALSE(static_cast<bool>(into[0]));
    };
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), allocate());
        co_await under;
    });
    std::thread stopping([&] {
        wait_for_sleep(port.loop);
        source.request_stop();
    });
    port.loop.run();
    stopping.join();
    CHECK(made.ec == errc::operation_canceled);
    CHECK(made.n == 0);
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("an allocation that only frames of the kernel could serve waits until it is cancelled") {
    drained_port port(kind);
    port.sockets.tx.set_completion_limit(1ms);
    port.kernel.hold_completions(true);
    io_result made;
    port.loop.spawn([&]() -> task<void> {
        const io_result sent = co_await port.sockets.tx.send(std::span(port.hoard).first(10));
        CHECK(sent.n == 10);
        std::array<packet, 1> into;
        made = co_await port.sockets.tx.allocate(into);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(30ms));
        CHECK_FALSE(made.ec);
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(made.ec == errc::operation_canceled);
    port.kernel.release_completions();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a sending handle that is destroyed under waiting allocations ends them with closed") {
    fake_kernel kernel;
    executor loop;
    std::optional<async_sockets> sockets = fake_port::open(loop, kernel);
    std::vector<packet> hoard = numbered_packets(sockets->tx, fake_port::sending);
    std::vector<io_result> seen;
    const auto allocate = [&]() -> task<void> {
        packet one;
        const io_result outcome = co_await sockets->tx.allocate(one);
        seen.push_back(outcome);
    };
    loop.spawn(allocate());
    loop.spawn(allocate());
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        sockets.reset();
    });
    loop.run();
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].ec == errc::closed);
    CHECK(seen[1].ec == errc::closed);
    hoard.clear();
    CHECK(kernel.live_mappings() == 0);
}

TEST_CASE("a sending handle may be moved while an allocation waits") {
    drained_port port(reactor_kind::automatic);
    std::optional<async_tx> moved;
    io_result made;
    port.loop.spawn([&]() -> task<void> {
        packet one;
        made = co_await port.sockets.tx.allocate(one);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        moved.emplace(std::move(port.sockets.tx));
        port.hoard.pop_back();
    });
    port.loop.run();
    CHECK(made.n == 1);
    port.sockets.tx = std::move(*moved);
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("an allocation ends with the error of the handle when no frame is free and with frames while some are") {
    drained_port port(reactor_kind::automatic);
    port.loop.spawn([&]() -> task<void> {
        packet one;
        const io_result none = co_await port.sockets.tx.allocate(one);
        CHECK(none.ec == errc::interface_gone);
        CHECK(none.n == 0);
        port.hoard.pop_back();
        const io_result some = co_await port.sockets.tx.allocate(one);
        CHECK_FALSE(some.ec);
        CHECK(some.n == 1);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        port.sockets.tx.socket().fail(errc::interface_gone);
    });
    port.loop.run();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("an allocation from a socket without sending frames is refused by name") {
    fake_kernel kernel;
    kernel.interface.index = 1;
    executor loop;
    async_sockets sockets = open_async(loop, builder("fake0").calls(kernel).attach(false).frames(64).tx_frames(0)).value();
    io_result made;
    loop.spawn([&]() -> task<void> {
        packet one;
        made = co_await sockets.tx.allocate(one);
    });
    loop.run();
    CHECK(made.ec == errc::invalid_option);
}

TEST_CASE("nobody is given frames without waiting while a coroutine waits for them") {
    drained_port port(reactor_kind::automatic);
    bool served = false;
    port.loop.spawn([&]() -> task<void> {
        packet one;
        const io_result made = co_await port.sockets.tx.allocate(one);
        CHECK(made.n == 1);
        served = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        port.hoard.pop_back();
        packet one;
        CHECK(port.sockets.tx.try_allocate(std::span(&one, 1)) == 0);
        while (!served) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK(port.sockets.tx.try_allocate(std::span(&one, 1)) == 1);
    });
    port.loop.run();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a loop of allocations that need not wait lets others run") {
    fake_port port;
    bool stop = false;
    std::uint64_t allocations = 0;
    port.loop.spawn([&]() -> task<void> {
        packet one;
        while (!stop) {
            const io_result made = co_await port.sockets.tx.allocate(one);
            CHECK(made.n == 1);
            ++allocations;
        }
    });
    port.loop.spawn([&]() -> task<void> {
        stop = true;
        co_return;
    });
    port.loop.run();
    CHECK(allocations > 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("an executor goes while an allocation waits") {
    fake_kernel kernel;
    std::optional<executor> loop(std::in_place);
    std::optional<async_sockets> sockets = fake_port::open(*loop, kernel);
    std::vector<packet> hoard = numbered_packets(sockets->tx, fake_port::sending);
    loop->spawn([&]() -> task<void> {
        packet one;
        static_cast<void>(co_await sockets->tx.allocate(one));
        FAIL_CHECK("there was no frame");
    });
    loop->spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        loop->stop();
    });
    loop->run();
    hoard.pop_back();  // on the stack of a home that nobody owns: wakes nobody
    loop->discard_tasks();
    sockets.reset();
    loop.reset();
    hoard.clear();
    CHECK(kernel.live_mappings() == 0);
}

TEST_CASE("in virtual time an allocation waits for completions, and a deadlock names it") {
    simulated_wire wire({.zero_copy = true});
    virtual_clock clock(1);
    executor loop(clock);
    clock.attach(wire);
    async_sockets sockets = open_async(loop, wire.socket_on(simulated_wire::end::left).frames(96).tx_frames(32)).value();
    std::vector<packet> hoard = numbered_packets(sockets.tx, 32);
    loop.spawn([&]() -> task<void> {
        const io_result sent = co_await sockets.tx.send(std::span(hoard).first(3));
        CHECK(sent.n == 3);
        std::array<packet, 3> into;
        const io_result made = co_await sockets.tx.allocate(into);
        CHECK(made.n != 0);
        for (packet& one : into) { hoard.push_back(std::move(one)); }
        while (sockets.tx.socket().in_flight() != 0) { static_cast<void>(co_await sleep_for(1ms)); }
        std::vector<packet> rest(3);
        static_cast<void>(sockets.tx.try_allocate(rest));
        packet never;
        static_cast<void>(co_await sockets.tx.allocate(never));
    });
    std::string said;
    try {
        loop.run();
    } catch (const std::system_error& failure) {
        CHECK(failure.code() == errc::deadlock);
        said = failure.what();
    }
    CHECK(said.find("async_tx::allocate since") != std::string::npos);
}
