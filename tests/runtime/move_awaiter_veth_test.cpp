// SPDX-License-Identifier: BSD-3-Clause
// Handles of real sockets that go to an executor of another thread: packets, the news of the link, and network namespaces.
#include "fluxnet/runtime/packets/move_awaiter.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Runs `loop` on a thread in the network namespace of `bed`'s host, or in a new one.
std::thread run_elsewhere(executor& loop, const network_namespace* place) {
    return std::thread([&loop, place] {
        std::optional<network_namespace> strange;
        if (place == nullptr) { strange.emplace(); }
        const network_namespace::scoped_enter inside(place == nullptr ? *strange : *place);
        const executor::work_guard stays(loop);
        loop.run();
    });
}

task<io_result> receive(async_rx& rx, packet& into) {
    const io_result got = co_await rx.recv(into);
    co_return got;
}

}  // namespace

TEST_CASE("a handle that was moved receives from the kernel and hears of its interface's end on its new executor") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    executor there;
    std::thread running = run_elsewhere(there, &port.bed.host());
    port.loop.spawn([&]() -> task<void> {
        const result<void> moved = co_await port.sockets.rx.move_to(there);
        REQUIRE(moved.has_value());
        packet one;
        port.peer.send(numbered_frame(4));
        const timed<io_result> got = co_await timeout(10s, receive(port.sockets.rx, one));
        CHECK_FALSE(got.expired);
        REQUIRE(got.value.n == 1);
        std::thread deleting([&] { port.bed.delete_link(); });
        const timed<io_result> end = co_await timeout(10s, receive(port.sockets.rx, one));
        deleting.join();
        CHECK_FALSE(end.expired);
        CHECK(end.value.ec == errc::interface_gone);
        there.stop();
    });
    port.loop.run();
    running.join();
}

TEST_CASE("a handle does not arrive where nothing is heard of its interface and can be moved back") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    executor there;
    std::thread running = run_elsewhere(there, nullptr);
    port.loop.spawn([&]() -> task<void> {
        const result<void> moved = co_await port.sockets.rx.move_to(there);
        REQUIRE_FALSE(moved.has_value());
        CHECK(moved.error().code == errc::interface_not_found);
        CHECK(moved.error().message().find("in another network namespace") != std::string::npos);
        CHECK(moved.error().message().find("setns(2)") != std::string::npos);
        CHECK(executor::current() == &there);
        packet one;
        const io_result nowhere = co_await port.sockets.rx.recv(one);
        CHECK(nowhere.ec == errc::wrong_executor);
        const result<void> back = co_await port.sockets.rx.move_to(port.loop);
        REQUIRE(back.has_value());
        CHECK(executor::current() == &port.loop);
        port.peer.send(numbered_frame(4));
        const timed<io_result> got = co_await timeout(10s, receive(port.sockets.rx, one));
        CHECK_FALSE(got.expired);
        CHECK(got.value.n == 1);
        there.stop();
    });
    port.loop.run();
    running.join();
    check_nothing_lost(port.sockets);
}
