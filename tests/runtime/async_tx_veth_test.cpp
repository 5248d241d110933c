// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

}  // namespace

TEST_CASE("more packets than the rings hold reach the peer in the order of their sends") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        std::vector<int> order;
        const auto send = [&](int name, std::uint32_t count, std::uint32_t first) -> task<void> {
            auto packets = numbered_packets(port.sockets.tx, count, first);
            const auto [ec, n] = co_await port.sockets.tx.send(packets);
            CHECK_FALSE(ec);
            CHECK(n == count);
            order.push_back(name);
        };
        port.loop.spawn(send(1, 200, 0));
        port.loop.spawn(send(2, 1, 200));
        port.loop.spawn(send(3, 200, 201));
        port.loop.run();
        CHECK(order == std::vector<int>{1, 2, 3});
        CHECK(port.take_sent(401) == numbers(0, 401));
        check_nothing_lost(port.sockets);
    }
}

TEST_CASE("sends on a link that is down wait and go on when it is up") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    bool over = false;
    port.bed.set_link(side::host, false);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 150);
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == 150);
        over = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(50ms));
        CHECK_FALSE(over);
        CHECK(port.loop.turns() < 30);
        std::thread([&] {
            port.bed.set_link(side::host, true);
            port.bed.wait_until_up(2s);
        }).join();
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a deleted interface ends a send that waits with interface_gone") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    std::vector<packet> packets;
    io_result first;
    io_result second;
    port.bed.set_link(side::host, false);
    port.loop.spawn([&]() -> task<void> {
        packets = numbered_packets(port.sockets.tx, 100);
        first = co_await port.sockets.tx.send(packets);
        second = co_await port.sockets.tx.send(std::span(packets).subspan(first.n));
    });
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        port.bed.delete_link();
    });
    port.loop.run();
    other.join();
    CHECK(first.ec == errc::interface_gone);
    CHECK(first.n == 64);
    CHECK(second.ec == errc::interface_gone);
    CHECK(second.n == 0);
    for (std::size_t i = first.n; i < packets.size(); ++i) { CHECK(static_cast<bool>(packets[i])); }
}

TEST_CASE("a packet above the MTU is dropped by the kernel and its frame comes back") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 5);
        REQUIRE(packets[1].set_len(1700));
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == 5);
        static_cast<void>(co_await sleep_for(20ms));
    });
    port.loop.run();
    CHECK(port.take_sent(4) == std::vector<std::uint32_t>{0, 2, 3, 4});
    CHECK(port.sockets.tx.socket().dropped_by_kernel() == 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("received packets are sent back from the frames that they came in") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        constexpr std::uint32_t count = 500;
        port.loop.spawn([&]() -> task<void> {
            std::array<packet, 16> burst;
            for (std::uint32_t echoed = 0; echoed < count;) {
                const auto got = co_await port.sockets.rx.recv(burst);
                REQUIRE_FALSE(got.ec);
                const auto put = co_await port.sockets.tx.send(std::span(burst).first(got.n));
                REQUIRE_FALSE(put.ec);
                REQUIRE(put.n == got.n);
                echoed += static_cast<std::uint32_t>(got.n);
            }
        });
        std::vector<std::uint32_t> answered;
        std::thread other([&] {
            for (std::uint32_t i = 0; i < count; ++i) {
                port.peer.send(numbered_frame(i));
                const auto answer = port.take_sent(1);
                answered.insert(answered.end(), answer.begin(), answer.end());
                if (answer.empty()) {
                    port.loop.request_stop();
                    return;
                }
            }
        });
        port.loop.run();
        other.join();
        CHECK(answered == numbers(0, count));
        check_nothing_lost(port.sockets);
    }
}
