// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/async_run.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<std::string> say(std::string what) {
    static_cast<void>(co_await yield());
    co_return what;
}

task<int> fail_to_count() {
    static_cast<void>(co_await yield());
    throw std::runtime_error("cannot count");
}

/// Ends when it is stopped, with 1.
task<int> wait_to_be_stopped() {
    const std::error_code ec = co_await sleep_for(1h);
    co_return ec == errc::operation_canceled ? 1 : 0;
}

template <class F>
std::string what_leaves(F call) {
    try {
        call();
    } catch (const std::exception& failure) { return failure.what(); }
    return "";
}

}  // namespace

TEST_CASE("async_run tells a handler the value of a task") {
    net::io_context context;
    asio::execution on(context);
    std::string told;
    asio::async_run(on, say("hello"), [&](const std::exception_ptr& failure, std::string value) {
        CHECK(!failure);
        told = std::move(value);
    });
    CHECK(told.empty());
    context.run();
    CHECK(told == "hello");
}

TEST_CASE("async_run tells a handler the exception that left a task") {
    net::io_context context;
    asio::execution on(context);
    std::string told;
    asio::async_run(on, fail_to_count(), [&](const std::exception_ptr& failure, int value) {
        CHECK(value == 0);
        told = what_leaves([&] { std::rethrow_exception(failure); });
    });
    context.run();
    CHECK(told == "cannot count");
}

TEST_CASE("a task that was awaited before ends with an exception") {
    net::io_context context;
    asio::execution on(context);
    std::error_code told;
    asio::async_run(on, task<int>(), [&](const std::exception_ptr& failure, int) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::system_error& error) { told = error.code(); }
    });
    context.run();
    CHECK(told == errc::not_awaitable);
}

TEST_CASE("a function object is kept until its coroutine has ended and is gone when the handler is called") {
    net::io_context context;
    asio::execution on(context);
    auto kept = std::make_shared<int>(7);
    const std::weak_ptr<int> seen = kept;
    int told = 0;
    asio::async_run(
        on,
        [held = std::move(kept)]() -> task<int> {
            static_cast<void>(co_await sleep_for(1ms));
            co_return *held;
        },
        [&](const std::exception_ptr&, int value) {
            CHECK(seen.expired());
            told = value;
        });
    context.run();
    CHECK(told == 7);
}

TEST_CASE("async_run with use_awaitable and use_future throws what a task threw") {
    net::io_context context;
    asio::execution on(context);
    std::string told;
    std::string value;
    net::co_spawn(
        context,
        [&]() -> net::awaitable<void> {
            value = co_await asio::async_run(on, say("value"), net::use_awaitable);
            try {
                static_cast<void>(co_await asio::async_run(on, fail_to_count(), net::use_awaitable));
            } catch (const std::exception& failure) { told = failure.what(); }
        },
        net::detached);
    std::future<int> later = asio::async_run(on, fail_to_count(), net::use_future);
    context.run();
    CHECK(value == "value");
    CHECK(told == "cannot count");
    CHECK(what_leaves([&] { later.get(); }) == "cannot count");
}

TEST_CASE("a terminal signal stops a task, and a total one does not") {
    net::io_context context;
    asio::execution on(context);
    net::cancellation_signal signal;
    int told = -1;
    asio::async_run(on, wait_to_be_stopped(),
                    net::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr&, int value) { told = value; }));
    run_ready(context);
    signal.emit(net::cancellation_type::total);
    run_ready(context);
    CHECK(told == -1);
    signal.emit(net::cancellation_type::terminal);
    CHECK(told == -1);  // nothing completes inside emit()
    run_all(context);
    CHECK(told == 1);
    signal.emit(net::cancellation_type::terminal);  // too late, and harmless
    run_all(context);
}

TEST_CASE("a signal before the first turn stops a task, and request_stop stops those with slots too") {
    net::io_context context;
    asio::execution on(context);
    net::cancellation_signal early;
    net::cancellation_signal never;
    int told = 0;
    const auto add = [&](const std::exception_ptr&, int value) { told += value; };
    asio::async_run(on, wait_to_be_stopped(), net::bind_cancellation_slot(early.slot(), add));
    early.emit(net::cancellation_type::terminal);
    asio::async_run(on, wait_to_be_stopped(), net::bind_cancellation_slot(never.slot(), add));
    asio::async_run(on, wait_to_be_stopped(), add);
    net::steady_timer timer(context, 5ms);
    timer.async_wait([&](const boost::system::error_code&) { on.loop().request_stop(); });
    context.run();
    CHECK(told == 3);
}

TEST_CASE("a signal from inside a task does not complete anything inside emit") {
    net::io_context context;
    asio::execution on(context);
    net::cancellation_signal signal;
    bool emitting = false;
    int told = 0;
    asio::async_run(on, wait_to_be_stopped(),
                    net::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr&, int value) {
                        CHECK_FALSE(emitting);
                        told = value;
                    }));
    on.loop().spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        emitting = true;
        signal.emit(net::cancellation_type::terminal);
        emitting = false;
    });
    context.run();
    CHECK(told == 1);
}

TEST_CASE("a task that ends at once does not complete inside async_run, wherever that is called") {
    net::io_context context;
    asio::execution on(context);
    int told = 0;
    bool initiating = false;
    const auto start = [&] {
        initiating = true;
        asio::async_run(
            on, []() -> task<void> { co_return; },
            [&](const std::exception_ptr&) {
                CHECK_FALSE(initiating);
                ++told;
            });
        initiating = false;
    };
    start();
    net::post(context, start);
    net::post(on.strand(), start);
    on.loop().spawn([&]() -> task<void> {
        start();
        co_return;
    });
    asio::async_run(
        on, []() -> task<void> { co_return; }, [&](const std::exception_ptr&) { start(); });
    context.run();
    CHECK(told == 5);
}

TEST_CASE("nothing of the associated allocator is alive when a handler is called") {
    net::io_context context;
    asio::execution on(context);
    std::atomic<std::ptrdiff_t> alive = 0;
    std::atomic<std::ptrdiff_t> asked = 0;
    int told = 0;
    net::cancellation_signal signal;
    const auto check = [&](const std::exception_ptr&, const std::string&) {
        CHECK(alive == 0);
        ++told;
    };
    const counting_allocator<int> counts(alive, asked);
    asio::async_run(on, say("one"), net::bind_allocator(counts, check));
    CHECK(alive > 0);
    CHECK(asked == 1);
    context.run();
    asio::async_run(on, say("two"), net::bind_allocator(counts, net::bind_executor(context.get_executor(), check)));
    run_all(context);
    asio::async_run(on, say("three"),
                    net::bind_allocator(counts, net::bind_cancellation_slot(
                                                    signal.slot(), net::bind_executor(context.get_executor(), check))));
    run_all(context);
    CHECK(told == 3);
    CHECK(alive == 0);
}

TEST_CASE("a handler is called on its associated executor, whose context has work until then") {
    net::io_context context;
    asio::execution on(context);
    net::thread_pool pool(1);
    const auto strand = net::make_strand(context);
    bool in_strand = false;
    std::thread::id in_pool;
    asio::async_run(on, say("strand"), net::bind_executor(strand, [&](const std::exception_ptr&, const std::string&) {
                        in_strand = strand.running_in_this_thread();
                    }));
    asio::async_run(
        on, []() -> task<void> { static_cast<void>(co_await sleep_for(5ms)); },
        net::bind_executor(pool, [&](const std::exception_ptr&) { in_pool = std::this_thread::get_id(); }));
    std::thread runs([&] { context.run(); });
    const std::thread::id runner = runs.get_id();
    pool.join();  // which would end at once without work
    runs.join();
    CHECK(in_strand);
    CHECK(in_pool != std::thread::id());
    CHECK(in_pool != runner);
}

TEST_CASE("the io_context has work from the initiating call until the handler was called") {
    net::io_context context;
    net::io_context other;
    asio::execution on(context);
    run_ready(context);
    run_ready(other);
    bool called = false;
    asio::async_run(
        on, say("later"),
        net::bind_executor(other.get_executor(), [&](const std::exception_ptr&, const std::string&) { called = true; }));
    run_ready(other);
    CHECK_FALSE(other.stopped());  // a guard keeps it
    run_all(context);
    run_all(other);
    CHECK(called);
}

TEST_CASE("a handler that can only be moved is moved and called once") {
    net::io_context context;
    asio::execution on(context);
    int called = 0;
    asio::async_run(on, say("moved"), move_only([&](const std::exception_ptr&, const std::string&) { ++called; }));
    context.run();
    CHECK(called == 1);
}

TEST_CASE("tasks that are under way when their execution is destroyed end with closed") {
    net::io_context context;
    std::vector<std::error_code> told;
    net::cancellation_signal signal;
    const auto listen = [&](const std::exception_ptr& failure, int) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::system_error& error) { told.push_back(error.code()); }
    };
    {
        asio::execution on(context);
        asio::async_run(on, wait_to_be_stopped(), listen);
        asio::async_run(on, wait_to_be_stopped(), net::bind_cancellation_slot(signal.slot(), listen));
        run_ready(context);
        asio::async_run(on, wait_to_be_stopped(), listen);  // has not begun
        CHECK(told.empty());
    }
    CHECK(told.empty());
    run_all(context);
    REQUIRE(told.size() == 3);
    for (const std::error_code& each : told) { CHECK(each == errc::closed); }
}

TEST_CASE("async_run stands beside Asio's coroutines, in operators and in a parallel group") {
    using namespace net::experimental::awaitable_operators;
    net::io_context context;
    asio::execution on(context);
    std::size_t first = 99;
    std::string both;
    std::vector<int> order;
    net::co_spawn(
        context,
        [&]() -> net::awaitable<void> {
            net::steady_timer timer(context, 5ms);
            const auto won = co_await (asio::async_run(on, wait_to_be_stopped(), net::use_awaitable) ||
                                       timer.async_wait(net::use_awaitable));
            first = won.index();
            const auto [a, b] = co_await (asio::async_run(on, say("a"), net::use_awaitable) &&
                                          asio::async_run(on, say("b"), net::use_awaitable));
            both = a + b;
        },
        net::detached);
    int stopped = -1;
    net::steady_timer other(context, 5ms);
    net::experimental::make_parallel_group(asio::async_run(on, wait_to_be_stopped(), net::deferred),
                                           other.async_wait(net::deferred))
        .async_wait(net::experimental::wait_for_one(),
                    [&](const std::array<std::size_t, 2>& ended, const std::exception_ptr&, int value,
                        const boost::system::error_code&) {
                        order.assign(ended.begin(), ended.end());
                        stopped = value;
                    });
    context.run();
    CHECK(first == 1);
    CHECK(both == "ab");
    CHECK(order == std::vector<int>{1, 0});
    CHECK(stopped == 1);
}

namespace {

struct with_default_token : net::io_context::executor_type {
    using default_completion_token_type = net::use_future_t<>;
    with_default_token(const net::io_context::executor_type& of) noexcept : net::io_context::executor_type(of) {}
};

}  // namespace

TEST_CASE("an execution has a default token and can be rebound to one") {
    net::io_context context;
    asio::basic_execution<with_default_token> on(context);
    std::future<std::string> told = asio::async_run(on, say("future"));
    auto awaits = net::use_awaitable_t<>::as_default_on(asio::execution(context));
    std::string value;
    net::co_spawn(
        context, [&]() -> net::awaitable<void> { value = co_await asio::async_run(awaits, say("awaited")); }, net::detached);
    context.run();
    CHECK(told.get() == "future");
    CHECK(value == "awaited");
}
