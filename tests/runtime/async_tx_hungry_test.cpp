// SPDX-License-Identifier: BSD-3-Clause
// Who ends the sleep of an executor in which a coroutine waits for frames to send.
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/drained_port.hpp"
#include "tests/runtime/drive.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

FLUXNET_REACTOR_TEST("an allocation that waits completes when another thread drops a packet and needs no timer for it") {
    drained_port port(kind);
    io_result made;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 4> into;
        made = co_await port.sockets.tx.allocate(into);
    });
    port.sockets.tx.socket().release();
    std::thread dropping([&] {
        wait_for_sleep(port.loop);
        port.hoard.pop_back();
    });
    port.loop.run();
    dropping.join();
    CHECK_FALSE(made.ec);
    CHECK(made.n == 1);
    CHECK(port.loop.turns() < 8);
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

FLUXNET_REACTOR_TEST("allocations that wait are served in the order in which they asked, as packets are dropped elsewhere") {
    drained_port port(kind);
    std::vector<int> order;
    const auto allocate = [&](int name) -> task<void> {
        packet one;
        const io_result made = co_await port.sockets.tx.allocate(one);
        CHECK(made.n == 1);
        order.push_back(name);
        port.hoard.push_back(std::move(one));  // not for the others
    };
    port.hoard.reserve(2 * fake_port::sending);
    for (const int name : {1, 2, 3}) { port.loop.spawn(allocate(name)); }
    std::vector<packet> spare;
    for (int i = 0; i < 3; ++i) {
        spare.push_back(std::move(port.hoard.back()));
        port.hoard.pop_back();
    }
    port.sockets.tx.socket().release();
    std::thread dropping([&] {
        for (packet& one : spare) {
            std::this_thread::sleep_for(1ms);
            one.reset();
        }
    });
    port.loop.run();
    dropping.join();
    CHECK(order == std::vector<int>{1, 2, 3});
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

namespace {

/// Sleeps as a loop of the user's does, and lets go of a packet meanwhile, on the thread that drives the executor.
void drop_between_polls(reactor_kind kind, reactor_threads threads) {
    drained_port port(kind, threads);
    io_result made;
    port.loop.spawn([&]() -> task<void> {
        packet one;
        made = co_await port.sockets.tx.allocate(one);
    });
    epoll_waiter waiter;
    while (port.loop.poll()) {}
    std::optional<sleep_plan> plan;
    while (!plan) {
        plan = port.loop.prepare_sleep();
        if (!plan) { port.loop.poll(); }
    }
    CHECK_FALSE(plan->deadline.has_value());
    port.hoard.pop_back();
    waiter.wait(*plan);  // for ever, if the drop did not end the sleep
    port.loop.after_sleep();
    while (port.loop.has_work()) { port.loop.poll(); }
    CHECK(made.n == 1);
    port.loop.release();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}

}  // namespace

FLUXNET_REACTOR_TEST("a packet that the driving loop drops while the executor sleeps ends the wait for a frame") {
    drop_between_polls(kind, reactor_threads::one);
    drop_between_polls(kind, reactor_threads::changing);
}

TEST_CASE("an allocation waits and completes while two threads drive the executor in turn") {
    drained_port port(reactor_kind::automatic, reactor_threads::changing);
    port.sockets.tx.socket().release();
    io_result made;
    bool over = false;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 2> into;
        made = co_await port.sockets.tx.allocate(into);
        over = true;
    });
    std::thread dropping([&] {
        wait_for_sleep(port.loop);
        port.hoard.pop_back();
    });
    drive_by_turns(port.loop, [&] { return over; });
    dropping.join();
    CHECK(made.n == 1);
    port.loop.release();
    port.hoard.clear();
    check_nothing_lost(port.sockets);
}
