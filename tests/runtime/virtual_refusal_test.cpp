// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/virtual_world.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

TEST_CASE("when nothing can ever happen run says what is awaited and by whom") {
    channel<int> empty(2);
    virtual_clock clock(1);
    executor loop(clock);
    int value = 0;
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1500ms));
        static_cast<void>(co_await empty.recv(value));
    });
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_until(virtual_clock::time_point::max())); });
    const std::system_error failure = failure_of(loop);
    CHECK(failure.code() == errc::deadlock);
    const std::string text = failure.what();
    CAPTURE(text);
    CHECK(contains(text, "after 1.500000000 s of virtual time"));
    CHECK(contains(text, "channel::recv since 1.500000000 s in the task of "));
    CHECK(contains(text, "sleep since 0.000000000 s"));
    CHECK(contains(text, "virtual_refusal_test.cpp:"));

    // It is an error of run() only: what waits can still be served, or cancelled.
    loop.request_stop();
    loop.run();
    CHECK(clock.elapsed() == 1500ms);
}

TEST_CASE("a long list of what is awaited is cut") {
    channel<int> empty(2);
    virtual_clock clock(1);
    executor loop(clock);
    for (int i = 0; i < 20; ++i) {
        loop.spawn([&]() -> task<void> {
            int value = 0;
            static_cast<void>(co_await empty.recv(value));
        });
    }
    const std::string text = failure_of(loop).what();
    CHECK(contains(text, ", and 4 more"));
}

TEST_CASE("a packet on a wire that is not attached to the clock is never received") {
    wire_options options;
    options.to_right.delay = 1ms;
    simulated_wire wire(options);
    virtual_clock clock(1);
    executor loop(clock);
    async_sockets left = open_async(loop, wire.socket_on(end::left).frames(64)).value();
    async_sockets right = open_async(loop, wire.socket_on(end::right).frames(64)).value();
    packet one;
    loop.spawn(send_one(left.tx));
    loop.spawn([&]() -> task<void> { static_cast<void>(co_await right.rx.recv(one)); });
    const std::system_error failure = failure_of(loop);
    CHECK(failure.code() == errc::deadlock);
    CHECK(contains(failure.what(), "async_rx::recv"));
}

TEST_CASE("descriptors and signals are refused by name") {
    virtual_clock clock(1);
    executor loop(clock);
    pipe_ends pipe;
    std::error_code ended;
    loop.spawn([&]() -> task<void> { ended = co_await readable(pipe.read.get()); });
    loop.run();
    CHECK(ended == errc::not_in_virtual_time);
    CHECK(clock.elapsed() == 0ns);

    signal_set signals{SIGUSR2};
    loop.spawn([&]() -> task<void> { co_await signals.next(); });
    CHECK(failure_of(loop).code() == errc::not_in_virtual_time);
}

TEST_CASE("a descriptor whose wait is cancelled in the same turn ends as cancelled") {
    virtual_clock clock(1, wake_order::fifo);
    executor loop(clock);
    pipe_ends pipe;
    std::error_code ended;
    loop.spawn([&]() -> task<void> { ended = co_await readable(pipe.read.get()); });
    loop.spawn([&]() -> task<void> {
        loop.request_stop();
        co_return;
    });
    loop.run();
    CHECK(ended == errc::operation_canceled);
}

TEST_CASE("a frame is destroyed while its descriptor is armed") {
    virtual_clock clock(1, wake_order::fifo);
    executor loop(clock);
    pipe_ends pipe;
    loop.spawn([&]() -> task<void> {
        scope children;
        children.spawn([&]() -> task<void> { static_cast<void>(co_await readable(pipe.read.get())); });
        static_cast<void>(co_await yield());
        static_cast<void>(co_await yield());
    });
    loop.run();
    CHECK(loop.turns() > 0);
}

TEST_CASE("an interface of the kernel is refused by name") {
    fake_kernel fake;  // which does not say that it is simulated
    virtual_clock clock(1);
    executor loop(clock);
    const auto refused = open_async(loop, sim_builder(fake));
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::not_in_virtual_time);
    CHECK(contains(refused.error().message(), "fake0"));
    check_nothing_left(fake);
}

TEST_CASE("a function posted by another thread is refused there") {
    virtual_clock clock(1);
    executor loop(clock);
    std::error_code refused;
    bool ran = false;
    loop.spawn([&]() -> task<void> {
        std::thread([&] {
            try {
                loop.post([&] { ran = true; });
            } catch (const std::system_error& failure) { refused = failure.code(); }
        }).join();
        static_cast<void>(co_await sleep_for(1ms));
    });
    loop.run();
    CHECK(refused == errc::not_in_virtual_time);
    CHECK_FALSE(ran);
    loop.post([&] { ran = true; });
    loop.run();
    loop.spawn([]() -> task<void> { co_return; });
    loop.run();
    CHECK(ran);
}

TEST_CASE("a node posted by another thread and a wake from there end the run") {
    struct counting_node final : ready_node {
        void run() noexcept override { ++runs; }
        int runs = 0;
    };
    virtual_clock clock(1);
    executor loop(clock);
    counting_node node;
    bool ended = false;
    loop.spawn([&]() -> task<void> {
        std::thread([&] { fluxnet::detail::inside(loop).post(node); }).join();
        static_cast<void>(co_await sleep_for(1ms));
        ended = true;
    });
    CHECK(failure_of(loop).code() == errc::not_in_virtual_time);
    CHECK(node.runs == 1);  // it is not lost
    loop.run();
    CHECK(ended);

    loop.spawn([&]() -> task<void> {
        std::thread([&] { loop.wake(); }).join();
        static_cast<void>(co_await sleep_for(1ms));
    });
    CHECK(failure_of(loop).code() == errc::not_in_virtual_time);
}

TEST_CASE("another thread may stop a run in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    std::thread other;
    loop.spawn([&]() -> task<void> {
        other = std::thread([&] { loop.stop(); });
        for (;;) { static_cast<void>(co_await yield()); }
    });
    loop.run();
    other.join();
    CHECK(clock.elapsed() == 0ns);
}

TEST_CASE("an engine that waits for nothing says so") {
    virtual_clock clock(1);
    engine loop(clock);
    std::error_code thrown;
    try {
        loop.run([](packet_batch&) {});
    } catch (const std::system_error& failure) { thrown = failure.code(); }
    CHECK(thrown == errc::deadlock);
}

TEST_CASE("a wire pump and a run on another thread are breaches of contract") {
    FLUXNET_SKIP_IF(why_no_assertions());
    CHECK(dies([] {
        simulated_wire wire;
        virtual_clock clock(1);
        executor loop(clock);
        wire_pump pump(loop, wire);
    }));
    CHECK(dies([] {
        virtual_clock clock(1);
        executor loop(clock);
        std::thread([&] { loop.run(); }).join();
    }));
}
