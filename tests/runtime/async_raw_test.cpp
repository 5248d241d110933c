// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_raw.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<async_raw> && std::is_nothrow_move_assignable_v<async_raw>);
static_assert(!std::is_copy_constructible_v<async_raw> && !std::is_copy_assignable_v<async_raw>);
static_assert(!std::is_move_constructible_v<async_raw::recv_awaiter>);
static_assert(sizeof(async_raw::recv_awaiter) <= 320);

namespace {

constexpr std::uint32_t frames = 64;

/// A raw socket over the fake kernel, half of its frames in the fill ring and half in hand.
struct raw_port {
    static async_raw open(executor& loop, fake_kernel& kernel) {
        kernel.interface.index = 1;  // the loopback interface's, which the real link monitor finds
        return async_raw(loop, sim_builder(kernel, frames, frames).build_raw().value());
    }

    /// Lets a packet arrive and makes the descriptor readable, as the kernel does.
    void arrive(std::uint32_t number) {
        const std::uint64_t one = 1;
        REQUIRE(kernel.deliver(numbered_frame(number)));
        REQUIRE(::write(raw.socket().fd(), &one, sizeof one) == sizeof one);
    }

    /// Takes the descriptor's readiness back, as draining the ring does.
    void quieten() {
        std::uint64_t value = 0;
        static_cast<void>(!::read(raw.socket().fd(), &value, sizeof value));
    }

    /// Notes the numbers of received packets and gives their frames back to the kernel.
    void recycle(std::span<const xdp_desc> packets, std::vector<std::uint32_t>& numbers) {
        auto slots = raw.socket().fill.reserve(static_cast<std::uint32_t>(packets.size()));
        for (const xdp_desc& desc : packets) {
            numbers.push_back(number_of(raw.socket().umem.bytes(desc.addr, desc.len)));
            REQUIRE(slots.push(desc.addr));
        }
    }

    void check_nothing_lost(std::uint32_t in_hand = frames / 2) {
        const frame_census census = raw.socket().census(in_hand);
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.rx == 0);
    }

    fake_kernel kernel;
    executor loop;
    async_raw raw = open(loop, kernel);
};

/// Receives one batch and notes how it ended.
task<void> receive_once(async_raw& raw, io_result& outcome) {
    std::array<xdp_desc, 8> batch;
    outcome = co_await raw.recv_batch(batch);
}

}  // namespace

TEST_CASE("a raw receive completes at once with the descriptors as the kernel wrote them and releases the ring") {
    raw_port port;
    for (std::uint32_t i = 0; i < 3; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
    std::vector<xdp_desc> got;
    port.loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 2> batch;
        for (const std::size_t expected : {2U, 1U}) {
            const auto [ec, n] = co_await port.raw.recv_batch(batch);
            CHECK_FALSE(ec);
            CHECK(n == expected);
            got.insert(got.end(), batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(n));
        }
    });
    port.loop.run();
    CHECK(port.loop.turns() == 1);
    REQUIRE(got.size() == 3);
    for (std::uint32_t i = 0; i < 3; ++i) {
        CHECK(got[i].addr.value == i * 2048 + 512);
        CHECK(got[i].len == 64);
        CHECK(number_of(port.raw.socket().umem.bytes(got[i].addr, got[i].len)) == i);
    }
    CHECK(port.kernel.consumer(fake_ring::rx) == port.kernel.producer(fake_ring::rx));
    port.check_nothing_lost(frames / 2 + 3);
}

TEST_CASE("a raw receive sleeps until its descriptor is readable") {
    raw_port port;
    std::vector<std::uint32_t> numbers;
    port.loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 8> batch;
        while (numbers.size() < 50) {
            const auto [ec, n] = co_await port.raw.recv_batch(batch);
            REQUIRE_FALSE(ec);
            REQUIRE(n >= 1);
            port.recycle(std::span(batch).first(n), numbers);
            port.quieten();
        }
    });
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < 50; ++i) {
            std::this_thread::sleep_for(300us);
            port.arrive(i);
        }
    });
    port.loop.run();
    sender.join();
    CHECK(numbers == fluxnet::test::numbers(0, 50));
    CHECK(port.raw.wakeups() >= 1);
    port.check_nothing_lost();
}

TEST_CASE("a cancelled raw receive has taken nothing and the next one gets the packet") {
    raw_port port;
    std::stop_source source;
    io_result first;
    io_result second;
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), receive_once(port.raw, first));
        co_await under;
        CHECK(port.raw.socket().rx.available() == 1);
        co_await receive_once(port.raw, second);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        port.arrive(1);
        source.request_stop();
    });
    port.loop.run();
    CHECK(first.ec == errc::operation_canceled);
    CHECK(first.n == 0);
    CHECK_FALSE(second.ec);
    CHECK(second.n == 1);
    port.check_nothing_lost(frames / 2 + 1);
}

TEST_CASE("a raw receive under a stop that was requested ends without waiting") {
    raw_port port;
    port.loop.request_stop();
    port.loop.run();
    io_result outcome;
    port.loop.spawn(receive_once(port.raw, outcome));
    port.loop.run();
    CHECK(outcome.ec == errc::operation_canceled);
}

TEST_CASE("another coroutine may receive in the turn in which a raw receive was cancelled") {
    raw_port port;
    std::stop_source source;
    io_result first;
    io_result second;
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), receive_once(port.raw, first));
        co_await under;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        port.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            port.arrive(1);
        });
        co_await receive_once(port.raw, second);
    });
    port.loop.run();
    CHECK(first.ec == errc::operation_canceled);
    CHECK(second.n == 1);
}

TEST_CASE("a raw receiver that always finds packets lets others run and notices a stop") {
    raw_port port;
    int turns_of_other = 0;
    std::uint64_t received = 0;
    io_result last;
    std::vector<std::uint32_t> numbers;
    port.loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 8> batch;
        while (!last.ec) {
            while (port.kernel.deliver(numbered_frame(0))) {}
            last = co_await port.raw.recv_batch(batch);
            received += last.n;
            port.recycle(std::span(batch).first(last.n), numbers);
        }
    });
    port.loop.spawn([&]() -> task<void> {
        for (; turns_of_other < 10; ++turns_of_other) { co_await requeue(); }
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(last.ec == errc::operation_canceled);
    CHECK(turns_of_other == 10);
    CHECK(received >= 512);
    CHECK(received <= 512 + 12 * 8);
}

TEST_CASE("the kernel is woken before a sleep when it asks for that and frames wait in the fill ring") {
    struct {
        bool asks;
        bool frames_wait;
        bool expect_kick;
    } const cases[] = {{true, true, true}, {false, true, false}, {true, false, false}};
    for (const auto& one : cases) {
        CAPTURE(one.asks);
        CAPTURE(one.frames_wait);
        raw_port port;
        if (!one.frames_wait) {
            while (port.raw.socket().fill.pending() != 0) { REQUIRE(port.kernel.deliver(numbered_frame(0))); }
            auto dropped = port.raw.socket().rx.consume();
            while (dropped.remaining() != 0) { static_cast<void>(dropped.next()); }
        }
        port.kernel.set_needs_wakeup(fake_ring::fill, one.asks);
        io_result outcome;
        port.loop.spawn(receive_once(port.raw, outcome));
        port.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            CHECK((port.kernel.calls(fake_call::kick_rx) != 0) == one.expect_kick);
            port.loop.request_stop();
        });
        port.loop.run();
        CHECK(port.kernel.calls(fake_call::kick_tx) == 0);
    }
}

TEST_CASE("a wake-up that finds the interface gone ends the raw receive and every later one") {
    raw_port port;
    std::array<io_result, 2> outcomes;
    port.kernel.set_needs_wakeup(fake_ring::fill, true);
    port.loop.spawn([&]() -> task<void> {
        for (io_result& outcome : outcomes) { co_await receive_once(port.raw, outcome); }
    });
    port.kernel.remove_interface();
    port.loop.run();
    for (const io_result& outcome : outcomes) {
        CHECK(outcome.ec == errc::interface_gone);
        CHECK(outcome.n == 0);
    }
}

TEST_CASE("a ring that is corrupted under a waiting raw receive ends it") {
    raw_port port;
    io_result outcome;
    port.loop.spawn(receive_once(port.raw, outcome));
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        port.kernel.write_producer(fake_ring::rx, 10'000);
        static_cast<void>(co_await sleep_for(50ms));
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(outcome.ec == errc::ring_corruption);
}

TEST_CASE("a raw handle may be moved while a coroutine awaits it") {
    raw_port port;
    io_result outcome;
    std::optional<async_raw> moved;
    port.loop.spawn(receive_once(port.raw, outcome));
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        moved.emplace(std::move(port.raw));
        const std::uint64_t one = 1;
        REQUIRE(port.kernel.deliver(numbered_frame(1)));
        REQUIRE(::write(moved->socket().fd(), &one, sizeof one) == sizeof one);
    });
    port.loop.run();
    CHECK(outcome.n == 1);
    port.raw = std::move(*moved);
    port.check_nothing_lost(frames / 2 + 1);
}

TEST_CASE("a raw handle that is destroyed under a waiting receive ends it with closed and leaves nothing") {
    for (const bool while_running : {true, false}) {
        fake_kernel kernel;
        executor loop;
        std::optional<async_raw> raw = raw_port::open(loop, kernel);
        io_result outcome;
        loop.spawn(receive_once(*raw, outcome));
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            if (while_running) {
                raw.reset();
            } else {
                loop.stop();
            }
        });
        loop.run();
        raw.reset();
        check_nothing_left(kernel);
        loop.run();
        CHECK(outcome.ec == errc::closed);
        CHECK(outcome.n == 0);
    }
}

TEST_CASE("a raw handle that is destroyed between the completion of a receive and its resumption takes nothing") {
    fake_kernel kernel;
    executor loop;
    std::optional<async_raw> raw = raw_port::open(loop, kernel);
    io_result outcome;
    loop.spawn(receive_once(*raw, outcome));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        REQUIRE(kernel.deliver(numbered_frame(1)));
        static_cast<void>(co_await sleep_for(0ns));  // at the end of this turn the receive completes and is queued
        raw.reset();
    });
    loop.run();
    check_nothing_left(kernel);
    // Who runs first at the next turn, the timer or the receive, is the executor's affair.
    const bool orderly = outcome.ec ? outcome.ec == errc::closed && outcome.n == 0 : outcome.n == 1;
    CHECK(orderly);
}

TEST_CASE("a raw handle that lives in a coroutine ends with an executor that is destroyed under it") {
    fake_kernel kernel;
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            async_raw raw = raw_port::open(loop, kernel);
            io_result outcome;
            co_await receive_once(raw, outcome);
        });
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            loop.stop();
        });
        loop.run();
        CHECK(kernel.live_fds() == 1);
    }
    check_nothing_left(kernel);
}

TEST_CASE("a second coroutine that awaits a raw handle is refused and the first one receives") {
    raw_port port;
    io_result first;
    io_result second;
    port.loop.spawn(receive_once(port.raw, first));
    port.loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 8> batch;
        second = co_await port.raw.recv_batch(batch);
        port.arrive(0);
    });
    port.loop.run();
    CHECK_FALSE(first.ec);
    CHECK(first.n == 1);
    CHECK(second.ec == errc::handle_in_use);
}

TEST_CASE("a raw receive without room completes with nothing, whether packets are there or not, and lets others run") {
    for (const std::uint32_t packets : {0U, 1U}) {
        CAPTURE(packets);
        raw_port port;
        for (std::uint32_t i = 0; i < packets; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
        bool over = false;
        std::uint64_t unexpected = 0;
        port.loop.spawn([&]() -> task<void> {
            while (!over) {
                const io_result got = co_await port.raw.recv_batch(std::span<xdp_desc>());
                if (got.ec || got.n != 0) { ++unexpected; }
            }
        });
        port.loop.spawn([&]() -> task<void> {
            over = true;
            co_return;
        });
        port.loop.run();
        CHECK(unexpected == 0);
        CHECK(port.raw.socket().rx.available() == packets);
    }
}

TEST_CASE("a raw handle that was moved from is closed") {
    raw_port port;
    executor elsewhere;
    const async_raw kept(std::move(port.raw));
    port.loop.run([](raw_port& from, executor& target) -> task<void> {
        std::array<xdp_desc, 1> room{};
        const io_result got = co_await from.raw.recv_batch(room);
        CHECK(got.ec == errc::closed);
        const io_result nothing = co_await from.raw.recv_batch(std::span<xdp_desc>());
        CHECK(nothing.ec == errc::closed);
        const result<void> moved = co_await from.raw.move_to(target);
        CHECK(moved.error().code == errc::closed);
        CHECK(from.raw.wakeups() == 0);
    }(port, elsewhere));
}
