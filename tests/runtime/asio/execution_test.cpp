// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/execution.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<asio::execution> && !std::is_copy_constructible_v<asio::execution>);
static_assert(std::is_same_v<asio::execution::executor_type, net::any_io_executor>);

namespace {

task<void> sleep_and_count(int& count, std::chrono::nanoseconds time = 1ms) {
    const std::error_code ec = co_await sleep_for(time);
    if (!ec) { ++count; }
}

/// Counts in turns of the executor, until it is stopped.
task<void> yield_for_ever(long& count) {
    for (;;) {
        const std::error_code ec = co_await yield();
        if (ec) { co_return; }
        ++count;
    }
}

}  // namespace

TEST_CASE("an execution that has nothing to do does not keep its io_context from ending") {
    net::io_context context;
    asio::execution on(context);
    context.run();
    CHECK(context.stopped());
    CHECK_FALSE(on.loop().has_work());
}

TEST_CASE("tasks run in the io_context, which ends when they have ended") {
    net::io_context context;
    asio::execution on(context);
    int count = 0;
    std::thread::id ran_on;
    on.loop().spawn(sleep_and_count(count));
    on.loop().spawn([&]() -> task<void> {
        ran_on = std::this_thread::get_id();
        co_return;
    });
    context.run();
    CHECK(count == 1);
    CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("an execution waits for descriptors and timers together with Asio's own") {
    net::io_context context;
    asio::execution on(context);
    const pipe_ends pipe;
    char got = 0;
    on.loop().spawn([&]() -> task<void> {
        const std::error_code ec = co_await readable(pipe.read.get());
        CHECK(!ec);
        CHECK(::read(pipe.read.get(), &got, 1) == 1);
    });
    net::steady_timer timer(context, 5ms);
    timer.async_wait([&](const boost::system::error_code& code) {
        CHECK(!code);
        pipe.put();
    });
    context.run();
    CHECK(got != 0);
}

TEST_CASE("an execution that waits is not woken while nothing happens") {
    net::io_context context;
    asio::execution on(context);
    const pipe_ends pipe;
    on.loop().spawn([&]() -> task<void> { static_cast<void>(co_await readable(pipe.read.get())); });
    run_ready(context);
    const std::uint64_t turns = on.loop().turns();
    context.restart();
    CHECK(context.run_for(300ms) == 0);
    CHECK(on.loop().turns() == turns);
    pipe.put();
    run_all(context);
    CHECK_FALSE(on.loop().has_work());
}

TEST_CASE("a work_guard keeps the io_context from ending and posts of other threads arrive") {
    net::io_context context;
    asio::execution on(context);
    std::optional<executor::work_guard> guard(std::in_place, on.loop());
    std::atomic<int> ran = 0;
    std::thread elsewhere([&] {
        for (int i = 0; i < 100; ++i) {
            on.loop().post([&] { ++ran; });
        }
        while (ran != 100) { std::this_thread::yield(); }
        guard.reset();
    });
    context.run();
    elsewhere.join();
    CHECK(ran == 100);
}

TEST_CASE("what is spawned on an execution at rest begins, in a handler as well as while no thread runs the context") {
    net::io_context context;
    asio::execution on(context);
    context.run();
    int count = 0;
    net::post(on.strand(), [&] { on.loop().spawn(sleep_and_count(count)); });
    run_all(context);
    CHECK(count == 1);
    on.loop().spawn(sleep_and_count(count));
    run_all(context);
    CHECK(count == 2);
    on.loop().spawn_background(sleep_and_count(count, 0ns));
    run_all(context);
    CHECK(on.loop().turns() > 0);
}

TEST_CASE("what is posted to an execution at rest is run, from any thread") {
    net::io_context context;
    asio::execution on(context);
    context.run();
    for (int i = 0; i < 200; ++i) {
        bool ran = false;
        auto kept = net::make_work_guard(context);
        std::thread elsewhere([&] {
            on.loop().post([&] {
                ran = true;
                kept.reset();
            });
        });
        context.restart();
        context.run();  // for ever, if it is not
        elsewhere.join();
        CHECK(ran);
    }
    // An executor that has been woken rests again: nothing of it is in the context.
    run_all(context);
    CHECK(context.stopped());
}

TEST_CASE("a work_guard on an execution at rest keeps the io_context, and lets it end") {
    net::io_context context;
    asio::execution on(context);
    context.run();
    for (int i = 0; i < 3; ++i) {
        std::optional<executor::work_guard> guard(on.loop());
        run_ready(context);
        CHECK_FALSE(context.stopped());
        bool ran = false;
        on.loop().post([&] { ran = true; });
        while (!ran) { context.run_one(); }
        CHECK_FALSE(context.stopped());
        std::thread elsewhere([&] { guard.reset(); });
        run_all(context);
        elsewhere.join();
    }
}

TEST_CASE("an execution at rest goes although a thread that has posted to it is still returning") {
    for (int i = 0; i < 200; ++i) {
        net::io_context context;
        auto on = std::make_unique<asio::execution>(context);
        context.run();
        auto kept = net::make_work_guard(context);
        std::thread elsewhere([&, loop = &on->loop()] {
            loop->post([&] {
                net::post(context, [&] {
                    on.reset();
                    kept.reset();
                });
            });
        });
        context.restart();
        context.run();
        elsewhere.join();
        CHECK(on == nullptr);
    }
}

TEST_CASE("an exception that leaves a task leaves the io_context's run and the others go on") {
    net::io_context context;
    asio::execution on(context);
    int count = 0;
    on.loop().spawn([]() -> task<void> {
        throw std::runtime_error("left a task");
        co_return;
    });
    on.loop().spawn(sleep_and_count(count));
    CHECK_THROWS_WITH_AS(context.run(), "left a task", std::runtime_error);
    run_all(context);
    CHECK(count == 1);
}

TEST_CASE("a busy executor lets Asio's handlers run between its turns") {
    net::io_context context;
    asio::execution on(context);
    long yields = 0;
    int handlers = 0;
    on.loop().spawn(yield_for_ever(yields));
    const std::function<void()> again = [&] {
        if (++handlers == 100) {
            on.loop().request_stop();
        } else {
            net::post(context, again);
        }
    };
    net::post(context, again);
    context.run();
    CHECK(handlers == 100);
    CHECK(yields > 0);
}

TEST_CASE("no turn is made after the io_context was stopped, until it runs again") {
    net::io_context context;
    asio::execution on(context);
    long yields = 0;
    on.loop().spawn(yield_for_ever(yields));
    on.loop().spawn([&]() -> task<void> {
        context.stop();
        co_return;
    });
    context.run();
    const std::uint64_t turns = on.loop().turns();
    CHECK(turns == 1);
    const long before = yields;
    CHECK(context.poll() == 0);
    CHECK(yields == before);
    net::post(context, [&] { on.loop().request_stop(); });
    run_all(context);
    CHECK(on.loop().turns() > turns);
    CHECK_FALSE(on.loop().has_work());
}

TEST_CASE("a stopped executor does not keep the io_context, and goes on after restart") {
    net::io_context context;
    asio::execution on(context);
    int count = 0;
    on.loop().spawn(sleep_and_count(count));
    on.loop().stop();
    context.run();
    CHECK(count == 0);
    on.loop().restart();
    run_all(context);
    CHECK(count == 1);
    on.loop().stop();  // at rest
    bool ran = false;
    on.loop().post([&] { ran = true; });
    run_all(context);
    CHECK_FALSE(ran);
    on.loop().restart();
    run_all(context);
    CHECK(ran);
}

TEST_CASE("a timer that is taken back lets the io_context end") {
    net::io_context context;
    asio::execution on(context);
    int count = 0;
    on.loop().spawn(sleep_and_count(count, 1h));
    run_ready(context);
    net::post(on.strand(), [&] { on.loop().request_stop(); });
    run_all(context);
    CHECK(count == 0);
    CHECK_FALSE(on.loop().has_work());
}

TEST_CASE("several executions run on one io_context of several threads, each in its strand") {
    constexpr int tasks = 16;
    constexpr int rounds = 40;
    struct one {
        explicit one(net::io_context& context) : on(context) {}
        asio::execution on;
        int count = 0;  // what the strand guards
    };
    net::io_context context;
    std::vector<std::unique_ptr<one>> all;
    for (int i = 0; i < 3; ++i) { all.push_back(std::make_unique<one>(context)); }
    std::atomic<int> ended = 0;
    for (const auto& each : all) {
        for (int i = 0; i < tasks; ++i) {
            asio::async_run(
                each->on,
                [&each]() -> task<void> {
                    for (int round = 0; round < rounds; ++round) {
                        ++each->count;
                        if (round % 4 == 0) {
                            static_cast<void>(co_await sleep_for(10us));
                        } else {
                            static_cast<void>(co_await yield());
                        }
                    }
                },
                [&](const std::exception_ptr& failure) {
                    CHECK(!failure);
                    ++ended;
                });
        }
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { context.run(); });
    }
    for (std::thread& each : threads) { each.join(); }
    CHECK(ended == 3 * tasks);
    for (const auto& each : all) { CHECK(each->count == tasks * rounds); }
}

TEST_CASE("an execution runs on a thread pool, and on a strand of the user's") {
    net::thread_pool pool(2);
    const auto strand = net::make_strand(pool);
    int count = 0;
    {
        asio::execution on(pool.get_executor());
        asio::basic_execution<net::strand<net::thread_pool::executor_type>> other(strand);
        std::atomic<int> ended = 0;
        asio::async_run(on, sleep_and_count(count), [&](const std::exception_ptr&) { ++ended; });
        int others = 0;
        asio::async_run(other, sleep_and_count(others), [&](const std::exception_ptr&) {
            CHECK(strand.running_in_this_thread());
            ++ended;
        });
        while (ended != 2) { std::this_thread::yield(); }
        pool.join();
        CHECK(others == 1);
    }
    CHECK(count == 1);
}

namespace {

struct gone_marker {
    explicit gone_marker(bool& to) : gone(to) {}
    ~gone_marker() { gone = true; }
    bool& gone;
};

task<void> wait_marked(bool& gone) {
    const gone_marker at_the_end(gone);
    static_cast<void>(co_await sleep_for(1h));
}

}  // namespace

TEST_CASE("an execution that is destroyed takes its tasks with it and lets the io_context end") {
    net::io_context context;
    bool gone = false;
    {
        asio::execution on(context);
        on.loop().spawn(wait_marked(gone));
        run_ready(context);
        CHECK_FALSE(gone);
    }
    CHECK(gone);
    run_all(context);
}

TEST_CASE("a task may destroy its execution, whose tasks go when the turn ends") {
    net::io_context context;
    bool gone = false;
    bool went_on = false;
    auto on = std::make_unique<asio::execution>(context);
    on->loop().spawn(wait_marked(gone));
    on->loop().spawn([&]() -> task<void> {
        on.reset();
        CHECK_FALSE(gone);
        went_on = true;
        co_return;
    });
    context.run();
    CHECK(went_on);
    CHECK(gone);
}

TEST_CASE("an execution is destroyed on another thread while its turns are made") {
    for (int round = 0; round < 20; ++round) {
        net::io_context context;
        auto guard = net::make_work_guard(context);
        std::thread runs([&] { context.run(); });
        long yields = 0;
        {
            asio::execution on(context);
            asio::async_run(on, yield_for_ever(yields), net::detached);
            while (on.loop().turns() < 3) { std::this_thread::yield(); }
        }
        const long before = yields;  // nothing counts any more
        guard.reset();
        runs.join();
        CHECK(yields == before);
    }
}

TEST_CASE("an io_context that is destroyed destroys the tasks of its executions") {
    bool gone = false;
    bool handler_gone = false;
    auto context = std::make_unique<net::io_context>();
    auto on = std::make_shared<asio::execution>(*context);
    on->loop().spawn(wait_marked(gone));
    asio::async_run(*on, wait_marked(gone),
                    [on, marker = std::make_unique<gone_marker>(handler_gone)](const std::exception_ptr&) { CHECK(false); });
    const std::weak_ptr<asio::execution> seen = on;
    on.reset();  // the handler owns it
    run_ready(*context);
    CHECK_FALSE(seen.expired());
    context.reset();
    CHECK(gone);
    CHECK(handler_gone);
    CHECK(seen.expired());
}

TEST_CASE("an execution is moved, and replaced by another") {
    net::io_context context;
    int count = 0;
    asio::execution first(context);
    first.loop().spawn(sleep_and_count(count));
    asio::execution second(std::move(first));
    bool gone = false;
    asio::execution third(context);
    third.loop().spawn(wait_marked(gone));
    run_ready(context);
    third = std::move(second);
    CHECK(gone);
    run_all(context);
    CHECK(count == 1);
}
