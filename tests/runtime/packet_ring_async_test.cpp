// SPDX-License-Identifier: BSD-3-Clause
// The awaitable handles over AF_PACKET (xdp_mode::packet_ring), on a veth pair.
#include "fluxnet/runtime/packets/open_async.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/epoll_waiter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<void> echo(async_sockets& sockets, std::uint32_t count) {
    std::array<packet, 16> burst;
    for (std::uint32_t done = 0; done < count;) {
        const auto [ec, n] = co_await sockets.rx.recv(burst);
        if (ec) { co_return; }
        const auto [failure, sent] = co_await sockets.tx.send(std::span(burst).first(n));
        if (failure) { co_return; }
        done += static_cast<std::uint32_t>(sent);
    }
}

}  // namespace

TEST_CASE("coroutines echo over a packet ring") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port(xdp_mode::packet_ring);
    port.loop.spawn(echo(port.sockets, 320));
    std::vector<std::uint32_t> back;
    std::thread peer([&] {
        for (std::uint32_t round = 0; round < 10; ++round) {
            for (std::uint32_t i = 0; i < 32; ++i) { port.peer.send(numbered_frame(round * 32 + i)); }
            const auto some = port.take_sent(32);
            back.insert(back.end(), some.begin(), some.end());
        }
        if (back.size() != 320) { port.loop.request_stop(); }
    });
    port.loop.run();
    peer.join();
    CHECK(back == numbers(0, 320));
    CHECK(port.sockets.rx.wakeups() > 0);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receive that waits on a packet ring makes no system call until a packet comes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    veth_port port(xdp_mode::packet_ring);
    port.loop.spawn(echo(port.sockets, 1));
    syscall_counter calls(::gettid(), counted::thread);
    std::uint64_t asleep = ~std::uint64_t{0};
    std::thread peer([&] {
        std::this_thread::sleep_for(100ms);  // the answer of the link monitor has come by now
        const std::uint64_t before = calls.total();
        std::this_thread::sleep_for(200ms);
        asleep = calls.total() - before;
        port.peer.send(numbered_frame(1));
    });
    port.loop.run();
    peer.join();
    CHECK(asleep == 0);
    CHECK(port.take_sent(1) == numbers(1, 1));
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receive on a packet ring that is out of frames goes on when another thread returns them") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port(xdp_mode::packet_ring);
    std::vector<packet> held(veth_port::receiving);
    std::size_t later = 0;
    std::thread other;
    port.loop.spawn([&]() -> task<void> {
        for (std::uint32_t i = 0; i < 60; ++i) { port.peer.send(numbered_frame(i)); }
        for (std::size_t count = 0; count < held.size();) {
            const auto [ec, n] = co_await port.sockets.rx.recv(std::span(held).subspan(count));
            REQUIRE_FALSE(ec);
            count += n;
        }
        other = std::thread([&] {
            std::this_thread::sleep_for(30ms);
            held.clear();
        });
        std::array<packet, 16> rest;
        while (later < 12) {
            const auto [ec, n] = co_await port.sockets.rx.recv(rest);
            REQUIRE_FALSE(ec);
            later += n;
        }
    });
    port.loop.run();
    other.join();
    CHECK(later == 12);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a deleted interface ends a receive that waits on a packet ring") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port(xdp_mode::packet_ring);
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
        CHECK(n == 0);
    });
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        port.bed.delete_link();
    });
    port.loop.run();
    other.join();
    CHECK(seen == errc::interface_gone);
}

TEST_CASE("a loop that is not ours hears of a link in each of its sleeps though a poll has just taken news of it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port(xdp_mode::packet_ring);
    epoll_waiter waiter;
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        seen = (co_await port.sockets.rx.recv(burst)).ec;
    });
    const auto sleep = [&] {
        for (;;) {
            while (port.loop.poll()) {}
            if (!port.loop.has_work()) { return std::optional<sleep_plan>(); }
            if (const auto plan = port.loop.prepare_sleep()) { return plan; }
        }
    };
    for (const auto& change : {std::function<void()>([&] { port.bed.set_link(side::host, false); }),
                               std::function<void()>([&] { port.bed.delete_link(); })}) {
        const auto plan = sleep();
        REQUIRE(plan.has_value());
        change();
        CHECK(waiter.wait(*plan, 10s));
        port.loop.after_sleep();
    }
    CHECK_FALSE(sleep().has_value());
    CHECK(seen == errc::interface_gone);
}
