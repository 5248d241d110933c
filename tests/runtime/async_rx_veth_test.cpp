// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_rx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

task<void> receive_numbers(async_rx& rx, std::vector<std::uint32_t>& numbers, std::size_t count) {
    std::array<packet, 16> burst;
    while (numbers.size() < count) {
        const auto [ec, n] = co_await rx.recv(burst);
        if (ec) { co_return; }
        for (std::size_t i = 0; i < n; ++i) { numbers.push_back(number_of(burst[i].data())); }
    }
}

/// Receives until every frame of the home is held.
task<void> hold_everything(async_rx& rx, std::vector<packet>& held) {
    held.clear();
    held.resize(veth_port::receiving);
    for (std::size_t count = 0; count < held.size();) {
        const auto [ec, n] = co_await rx.recv(std::span(held).subspan(count));
        REQUIRE_FALSE(ec);
        count += n;
    }
}

}  // namespace

TEST_CASE("packets of the peer complete receives in order") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        std::vector<std::uint32_t> numbers;
        std::atomic<std::uint32_t> received = 0;
        port.loop.spawn([&]() -> task<void> {
            while (received < 200) {
                co_await receive_numbers(port.sockets.rx, numbers, received + 1);
                if (numbers.size() == received) { co_return; }  // stopped
                received = static_cast<std::uint32_t>(numbers.size());
            }
        });
        std::thread sender([&] {
            const deadline limit = 10s;
            for (std::uint32_t i = 0; i < 200; ++i) {
                // Of 48 frames a burst of 16 may still be on its way back to the fill ring, and the kernel sends packets of its own:
                // with more on the way than this, one could be lost.
                while (i - received >= 16 && !limit.passed()) { std::this_thread::yield(); }
                port.peer.send(numbered_frame(i));
                if (i % 7 == 0) { std::this_thread::sleep_for(300us); }
            }
            while (received < 200 && !limit.passed()) { std::this_thread::sleep_for(1ms); }
            port.loop.request_stop();
        });
        port.loop.run();
        sender.join();
        CHECK(numbers.size() == 200);
        CHECK(std::is_sorted(numbers.begin(), numbers.end()));
        CHECK(port.sockets.rx.wakeups() > 0);
        check_nothing_lost(port.sockets);
    }
}

TEST_CASE("a receive that waits sleeps without a turn until a packet comes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    std::vector<std::uint32_t> numbers;
    port.loop.spawn(receive_numbers(port.sockets.rx, numbers, 1));
    std::thread sender([&] {
        std::this_thread::sleep_for(100ms);
        port.peer.send(numbered_frame(1));
    });
    port.loop.run();
    sender.join();
    CHECK(numbers.size() == 1);
    // The answer of the link monitor and the packet.
    CHECK(port.loop.turns() <= 6);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a cancelled receive on a real socket takes nothing and makes no system call") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    veth_port port;
    syscall_counter calls(::gettid(), counted::thread);
    std::uint64_t during = ~std::uint64_t{0};
    std::uint64_t looks = 0;
    std::uint64_t turns = 0;
    std::size_t received = 0;
    int cancelled = 0;
    std::stop_source sources[2];  // the first round is for sanitizers, which ask the kernel about what they see first
    const auto receive = [&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK(ec == errc::operation_canceled);
        CHECK(n == 0);
    };
    port.loop.spawn([&]() -> task<void> {
        for (std::stop_source& source : sources) {
            stoppable under = run_under(source.get_token(), receive());
            co_await under;
            ++cancelled;
        }
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);  // uses the poll that is still armed
        CHECK_FALSE(ec);
        received = n;
    });
    port.loop.spawn([&]() -> task<void> {
        for (int round = 1; round <= 2; ++round) {
            static_cast<void>(co_await sleep_for(20ms));
            calls.reset();
            const std::uint64_t first = port.loop.turns();
            sources[round - 1].request_stop();
            while (cancelled != round) { co_await requeue(); }
            co_await requeue();
            during = own_calls(calls);
            looks = reactor_calls(calls);
            turns = port.loop.turns() - first;
        }
        static_cast<void>(co_await sleep_for(5ms));
        port.peer.send(numbered_frame(1));
    });
    port.loop.run();
    CHECK(during == looks);
    CHECK(looks <=
          (port.loop.reactor_name().find("epoll") == 0 ? turns : 0));  // epoll has to ask what is ready, once a turn
    CHECK(received == 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a deleted interface ends a waiting receive with interface_gone") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        std::error_code seen[2];
        port.loop.spawn([&]() -> task<void> {
            std::array<packet, 8> burst;
            for (std::error_code& one : seen) {
                const auto [ec, n] = co_await port.sockets.rx.recv(burst);
                one = ec;
            }
        });
        std::thread other([&] {
            std::this_thread::sleep_for(20ms);
            port.bed.delete_link();
        });
        port.loop.run();
        other.join();
        CHECK(seen[0] == errc::interface_gone);
        CHECK(seen[1] == errc::interface_gone);
    }
}

TEST_CASE("a deleted interface is noticed by an executor that never sleeps") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    std::error_code seen;
    std::atomic<bool> noticed = false;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
        noticed = true;
    });
    port.loop.spawn([&]() -> task<void> {
        while (!noticed) { co_await requeue(); }
        port.loop.request_stop();
    });
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        port.bed.delete_link();
    });
    port.loop.run();
    other.join();
    CHECK(seen == errc::interface_gone);
}

TEST_CASE("an interface that is gone before a receive begins is noticed all the same") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    port.bed.delete_link();
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
    });
    port.loop.run();
    CHECK(seen == errc::interface_gone);
}

TEST_CASE("a link that goes down and up again leaves the receive pending and then receives") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        std::vector<std::uint32_t> numbers;
        std::atomic<bool> received = false;
        port.loop.spawn([&]() -> task<void> {
            co_await receive_numbers(port.sockets.rx, numbers, 1);
            received = true;
        });
        std::thread other([&] {
            std::this_thread::sleep_for(10ms);
            for (const side end : {side::host, side::peer}) {
                port.bed.set_link(end, false);
                std::this_thread::sleep_for(30ms);
                CHECK_FALSE(received);
                port.bed.set_link(end, true);
                CHECK(port.bed.wait_until_up(2s));
            }
            while (!received) {
                try {
                    port.peer.send(numbered_frame(1));
                } catch (const std::system_error&) {}  // ENETDOWN, kept from before
                std::this_thread::sleep_for(1ms);
            }
        });
        port.loop.run();
        other.join();
        CHECK(numbers.size() >= 1);
        check_nothing_lost(port.sockets);
    }
}

TEST_CASE("frames that another thread returns while the owner sleeps let reception go on") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    constexpr int rounds = 30;
    for (const xdp_mode mode : both_modes) {
        veth_port port(mode);
        std::vector<packet> held;
        std::atomic<bool> full = false;
        std::atomic<bool> emptied = true;
        std::atomic<bool> ended = false;
        std::thread sender([&] {
            const auto frame = numbered_frame(0);
            while (!ended) {
                port.peer.send(frame);
                std::this_thread::sleep_for(200us);
            }
        });
        std::thread other([&] {
            for (int round = 0; round < rounds; ++round) {
                while (!full) { std::this_thread::yield(); }
                full = false;
                std::this_thread::sleep_for(2ms);  // the owner sleeps, every frame is away
                for (packet& one : held) { one.reset(); }
                emptied = true;
            }
        });
        port.loop.spawn([&]() -> task<void> {
            for (int round = 0; round < rounds; ++round) {
                while (!emptied) { co_await requeue(); }
                emptied = false;
                co_await hold_everything(port.sockets.rx, held);
                full = true;
                std::array<packet, 1> next;
                const auto [ec, n] = co_await port.sockets.rx.recv(next);
                REQUIRE_FALSE(ec);
                REQUIRE(n == 1);
            }
            ended = true;
        });
        port.loop.run();
        sender.join();
        other.join();
        held.clear();
        check_nothing_lost(port.sockets);
    }
}

TEST_CASE("packets outlive their sockets and the queue is free again") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    std::vector<packet> kept(4);
    port.loop.spawn([&]() -> task<void> {
        for (std::uint32_t i = 0; i < 4; ++i) { port.peer.send(numbered_frame(i)); }
        std::size_t count = 0;
        while (count < kept.size()) {
            const auto [ec, n] = co_await port.sockets.rx.recv(std::span(kept).subspan(count));
            REQUIRE_FALSE(ec);
            count += n;
        }
        static_cast<void>(co_await sleep_for(5ms));  // a poll is armed while the handle goes
    });
    port.loop.run();
    for (int round = 0; round < 3; ++round) {
        async_sockets ended = std::move(port.sockets);
        { const async_sockets gone = std::move(ended); }
        port.sockets = open_async(port.loop, port.options(xdp_mode::native)).value();
    }
    for (std::uint32_t i = 0; i < 4; ++i) { CHECK(number_of(kept[i].data()) == i); }
    kept.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a handle that is destroyed inside run with its poll armed frees the queue") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    port.loop.spawn([&]() -> task<void> {
        for (int round = 0; round < 3; ++round) {
            std::stop_source source;
            const auto receive = [&]() -> task<void> {
                std::array<packet, 8> burst;
                static_cast<void>(co_await port.sockets.rx.recv(burst));
            };
            port.loop.spawn([&]() -> task<void> {
                static_cast<void>(co_await sleep_for(3ms));
                source.request_stop();
            });
            stoppable under = run_under(source.get_token(), receive());
            co_await under;
            { const async_sockets gone = std::move(port.sockets); }
            auto opened = open_async(port.loop, port.options(xdp_mode::native));
            CHECK(opened.has_value());
            if (!opened) { co_return; }
            port.sockets = std::move(*opened);
        }
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receiving handle is used on one thread after another") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    for (std::uint32_t i = 0; i < 3; ++i) { port.peer.send(numbered_frame(i)); }
    std::array<packet, 8> burst;
    std::size_t count = 0;
    std::thread([&] {
        count = port.sockets.rx.socket().try_recv(burst);
        port.sockets.rx.socket().release();
    }).join();
    CHECK(count == 3);
    for (packet& one : burst) { one.reset(); }
    std::vector<std::uint32_t> numbers;
    port.peer.send(numbered_frame(3));
    port.loop.spawn(receive_numbers(port.sockets.rx, numbers, 1));
    port.loop.run();
    CHECK(numbers == std::vector<std::uint32_t>{3});
    check_nothing_lost(port.sockets);
}
