// SPDX-License-Identifier: BSD-3-Clause
// What coroutines cost: FluxNet's operations beside Boost.Asio's nearest equivalents, in one program, with Google Benchmark.
// Usage: coroutines [--benchmark_filter=REGEX ...]; run it interleaved (--benchmark_enable_random_interleaving=true), for
// clock readings on a busy or virtual machine compare only within one run.
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"

#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <thread>

namespace {

using namespace fluxnet;
namespace asio = boost::asio;
using namespace std::chrono_literals;

/// Runs one coroutine of ours to its end.
template <class Make>
void run_ours(Make make) {
    executor loop;
    loop.spawn(make());
    loop.run();
}

/// Runs one coroutine of Asio's to its end.
template <class Make>
void run_asio(Make make) {
    asio::io_context loop(1);
    asio::co_spawn(loop, make(), asio::detached);
    loop.run();
}

// A task that is awaited and returns at once.

task<void> nothing() {
    co_return;
}

asio::awaitable<void> asio_nothing() {
    co_return;
}

void call_ours(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> task<void> {
        for (auto _ : rounds) {
            task<void> callee = nothing();
            co_await callee;
        }
    };
    run_ours([&] { return body(state); });
}

void call_asio(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> asio::awaitable<void> {
        for (auto _ : rounds) { co_await asio_nothing(); }
    };
    run_asio([&] { return body(state); });
}

// From one coroutine to the next that is ready, of so many.

void switch_ours(benchmark::State& state) {
    bool over = false;
    const auto body = [](benchmark::State& rounds, bool& end) -> task<void> {
        for (auto _ : rounds) { static_cast<void>(co_await yield()); }
        end = true;
    };
    const auto other = [](const bool& end) -> task<void> {
        while (!end) { static_cast<void>(co_await yield()); }
    };
    executor loop;
    loop.spawn(body(state, over));
    for (std::int64_t i = 1; i < state.range(); ++i) { loop.spawn(other(over)); }
    loop.run();
    state.SetItemsProcessed(state.iterations() * state.range());
}

void switch_asio(benchmark::State& state) {
    bool over = false;
    const auto body = [](benchmark::State& rounds, bool& end) -> asio::awaitable<void> {
        for (auto _ : rounds) { co_await asio::post(asio::use_awaitable); }
        end = true;
    };
    const auto other = [](const bool& end) -> asio::awaitable<void> {
        while (!end) { co_await asio::post(asio::use_awaitable); }
    };
    asio::io_context loop(1);
    asio::co_spawn(loop, body(state, over), asio::detached);
    for (std::int64_t i = 1; i < state.range(); ++i) { asio::co_spawn(loop, other(over), asio::detached); }
    loop.run();
    state.SetItemsProcessed(state.iterations() * state.range());
}

// A child that runs beside its parent, and its end.

void spawn_join_ours(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> task<void> {
        scope children;
        for (auto _ : rounds) {
            children.spawn(nothing());
            static_cast<void>(co_await children.join());
        }
    };
    run_ours([&] { return body(state); });
}

void spawn_join_asio(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> asio::awaitable<void> {
        const auto here = co_await asio::this_coro::executor;
        for (auto _ : rounds) { co_await asio::co_spawn(here, asio_nothing(), asio::use_awaitable); }
    };
    run_asio([&] { return body(state); });
}

// A timer that is set and taken back before its time.

void timer_ours(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> task<void> {
        for (auto _ : rounds) { static_cast<void>(co_await timeout(10s, nothing())); }
    };
    run_ours([&] { return body(state); });
}

void timer_asio(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        for (auto _ : rounds) {
            timer.expires_after(10s);
            timer.async_wait([](boost::system::error_code) {});
            co_await asio_nothing();
            timer.cancel();
        }
    };
    run_asio([&] { return body(state); });
}

// One item through a channel between two coroutines of one thread.

task<void> send_items(benchmark::State& rounds, channel<int>& to) {
    int item = 0;
    for (auto _ : rounds) { static_cast<void>(co_await to.send(item)); }
    to.close();
}

task<void> receive_items(channel<int>& from) {
    int item = 0;
    for (;;) {
        const io_result got = co_await from.recv(item);
        if (got.ec) { co_return; }
    }
}

void channel_ours(benchmark::State& state) {
    channel<int> items(64);
    executor loop;
    loop.spawn(send_items(state, items));
    loop.spawn(receive_items(items));
    loop.run();
}

template <class Channel>
asio::awaitable<void> send_asio(benchmark::State& rounds, Channel& to) {
    for (auto _ : rounds) { co_await to.async_send(boost::system::error_code(), 0, asio::use_awaitable); }
    to.close();
}

template <class Channel>
asio::awaitable<void> receive_asio(Channel& from) {
    try {
        for (;;) { static_cast<void>(co_await from.async_receive(asio::use_awaitable)); }
    } catch (const boost::system::system_error&) {}  // closed
}

void channel_asio(benchmark::State& state) {
    asio::io_context loop(1);
    asio::experimental::channel<void(boost::system::error_code, int)> items(loop, 64);
    asio::co_spawn(loop, send_asio(state, items), asio::detached);
    asio::co_spawn(loop, receive_asio(items), asio::detached);
    loop.run();
}

// The same between two threads.

void channel_across_ours(benchmark::State& state) {
    channel<int> items(1024);
    std::thread receiver([&] { run_ours([&] { return receive_items(items); }); });
    run_ours([&] { return send_items(state, items); });
    receiver.join();
}

void channel_across_asio(benchmark::State& state) {
    asio::io_context here(1);
    asio::io_context there(1);
    asio::experimental::concurrent_channel<void(boost::system::error_code, int)> items(here, 1024);
    asio::co_spawn(there, receive_asio(items), asio::detached);
    std::thread receiver([&] { there.run(); });
    asio::co_spawn(here, send_asio(state, items), asio::detached);
    here.run();
    receiver.join();
}

// To a sleeping executor on another thread and back: two wake-ups.

void wake_ours(benchmark::State& state) {
    executor here;
    executor there;
    event over;
    std::thread other([&] {
        there.spawn([&]() -> task<void> { static_cast<void>(co_await over.wait()); });
        there.run();
    });
    const auto body = [](benchmark::State& rounds, executor& near, executor& far, event& end) -> task<void> {
        for (auto _ : rounds) {
            static_cast<void>(co_await schedule_on(far));
            static_cast<void>(co_await schedule_on(near));
        }
        end.set();
    };
    here.spawn(body(state, here, there, over));
    here.run();
    other.join();
}

void wake_asio(benchmark::State& state) {
    asio::io_context here(1);
    asio::io_context there(1);
    auto work = asio::make_work_guard(there);
    std::thread other([&] { there.run(); });
    const auto body = [](benchmark::State& rounds, asio::io_context& near, asio::io_context& far) -> asio::awaitable<void> {
        for (auto _ : rounds) {
            co_await asio::post(asio::bind_executor(far, asio::use_awaitable));
            co_await asio::post(asio::bind_executor(near, asio::use_awaitable));
        }
    };
    asio::co_spawn(here, body(state, here, there), asio::detached);
    here.run();
    work.reset();
    other.join();
}

// A mutex that nobody else wants. Asio has none; a channel of one place does its work.

void mutex_ours(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> task<void> {
        mutex door;
        for (auto _ : rounds) { const mutex::guard held = co_await door.lock(); }
    };
    run_ours([&] { return body(state); });
}

void mutex_asio(benchmark::State& state) {
    const auto body = [](benchmark::State& rounds) -> asio::awaitable<void> {
        asio::experimental::channel<void(boost::system::error_code)> door(co_await asio::this_coro::executor, 1);
        for (auto _ : rounds) {
            co_await door.async_send(boost::system::error_code(), asio::use_awaitable);
            door.try_receive([](boost::system::error_code) {});
        }
    };
    run_asio([&] { return body(state); });
}

BENCHMARK(call_ours);
BENCHMARK(call_asio);
BENCHMARK(switch_ours)->Arg(1)->Arg(2)->Arg(64);
BENCHMARK(switch_asio)->Arg(1)->Arg(2)->Arg(64);
BENCHMARK(spawn_join_ours);
BENCHMARK(spawn_join_asio);
BENCHMARK(timer_ours);
BENCHMARK(timer_asio);
BENCHMARK(channel_ours);
BENCHMARK(channel_asio);
BENCHMARK(channel_across_ours)->UseRealTime();
BENCHMARK(channel_across_asio)->UseRealTime();
BENCHMARK(wake_ours)->UseRealTime();
BENCHMARK(wake_asio)->UseRealTime();
BENCHMARK(mutex_ours);
BENCHMARK(mutex_asio);

}  // namespace

BENCHMARK_MAIN();
