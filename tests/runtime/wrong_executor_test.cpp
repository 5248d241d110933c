// SPDX-License-Identifier: BSD-3-Clause
// A handle that is awaited on another executor than its own says so, in every build.
#include "fluxnet/runtime/packets/async_raw.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

FLUXNET_REACTOR_TEST("a receive that would wait on another executor ends with wrong_executor and harms no other") {
    executor own({}, kind);
    executor other({}, kind);
    fake_kernel kernel;
    async_sockets sockets = fake_port::open(own, kernel);
    io_result wrong;
    io_result right;
    other.spawn([&]() -> task<void> {
        packet one;
        wrong = co_await sockets.rx.recv(one);
    });
    other.run();
    CHECK(wrong.ec == errc::wrong_executor);
    CHECK(wrong.n == 0);

    // Beside one that waits where it should.
    own.spawn([&]() -> task<void> {
        packet one;
        right = co_await sockets.rx.recv(one);
    });
    own.poll();
    other.spawn([&]() -> task<void> {
        packet one;
        wrong = co_await sockets.rx.recv(one);
    });
    wrong = {};
    other.run();
    CHECK(wrong.ec == errc::wrong_executor);
    REQUIRE(kernel.deliver(numbered_frame(7)));
    own.run();
    CHECK_FALSE(right.ec);
    CHECK(right.n == 1);
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("a receive of descriptors that would wait on another executor ends with wrong_executor") {
    executor own({}, kind);
    executor other({}, kind);
    fake_kernel kernel;
    kernel.interface.index = 1;
    async_raw raw(own, sim_builder(kernel, 32, 32).build_raw().value());
    io_result wrong;
    other.spawn([&]() -> task<void> {
        std::array<xdp_desc, 1> one;
        wrong = co_await raw.recv_batch(one);
    });
    other.run();
    CHECK(wrong.ec == errc::wrong_executor);
    CHECK(wrong.n == 0);
}

FLUXNET_REACTOR_TEST("a send without credit on another executor ends with wrong_executor") {
    executor own({}, kind);
    executor other({}, kind);
    fake_kernel kernel;
    async_sockets sockets = fake_port::open(own, kernel);
    std::vector<packet> packets = numbered_packets(sockets.tx, fake_port::ring_size + 1);
    io_result wrong;
    other.spawn([&]() -> task<void> { wrong = co_await sockets.tx.send(packets); });
    other.run();
    CHECK(wrong.ec == errc::wrong_executor);
    CHECK(wrong.n == fake_port::ring_size);
    CHECK(static_cast<bool>(packets.back()));
    packets.clear();
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("an allocation on another executor ends with wrong_executor though frames are free") {
    executor own({}, kind);
    executor other({}, kind);
    fake_kernel kernel;
    async_sockets sockets = fake_port::open(own, kernel);
    packet one;
    io_result wrong;
    other.spawn([&]() -> task<void> { wrong = co_await sockets.tx.allocate(one); });
    other.run();
    CHECK(wrong.ec == errc::wrong_executor);
    CHECK(wrong.n == 0);
    CHECK_FALSE(static_cast<bool>(one));
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("a task that went to another executor is told there that its handle stayed behind") {
    executor own({}, kind);
    executor other({}, kind);
    fake_kernel kernel;
    async_sockets sockets = fake_port::open(own, kernel);
    io_result wrong;
    io_result right;
    bool over = false;
    own.spawn([&]() -> task<void> {
        packet one;
        const std::error_code there = co_await schedule_on(other);
        CHECK_FALSE(there);
        wrong = co_await sockets.rx.recv(one);
        const std::error_code back = co_await schedule_on(own);
        CHECK_FALSE(back);
        REQUIRE(kernel.deliver(numbered_frame(7)));
        right = co_await sockets.rx.recv(one);
        over = true;
    });
    while (!over) {  // on one thread: on two, it would race for what only the handle's thread may use
        own.poll();
        other.poll();
    }
    CHECK(wrong.ec == errc::wrong_executor);
    CHECK(right.n == 1);
    check_nothing_lost(sockets);
}
