// SPDX-License-Identifier: BSD-3-Clause
// async_run() from several threads; the rest of it is in async_run_test.cpp.
#include "fluxnet/runtime/asio/async_run.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("tasks are started on several threads at once") {
    net::io_context context;
    auto guard = net::make_work_guard(context);
    asio::execution on(context);
    std::atomic<int> told = 0;
    constexpr int each = 200;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] { context.run(); });
    }
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            for (int k = 0; k < each; ++k) {
                asio::async_run(
                    on, []() -> task<void> { co_return; }, [&](const std::exception_ptr&) { ++told; });
            }
        });
    }
    while (told != 2 * each) { std::this_thread::yield(); }
    guard.reset();
    for (std::thread& one : threads) { one.join(); }
    CHECK(told == 2 * each);
}

TEST_CASE("signals from the handler's strand race with the end of tasks on another thread") {
    net::io_context context;
    asio::execution on(context);
    std::atomic<int> told = 0;
    struct racing {
        explicit racing(net::io_context& of) : strand(net::make_strand(of)), timer(strand, 50us) {}
        net::strand<net::io_context::executor_type> strand;
        net::steady_timer timer;
        net::cancellation_signal signal;
    };
    std::vector<std::unique_ptr<racing>> all;
    for (int i = 0; i < 200; ++i) {
        all.push_back(std::make_unique<racing>(context));
        racing& one = *all.back();
        net::dispatch(one.strand, [&] {
            asio::async_run(
                on, []() -> task<void> { static_cast<void>(co_await sleep_for(50us)); },
                net::bind_cancellation_slot(one.signal.slot(),
                                            net::bind_executor(one.strand, [&](const std::exception_ptr&) { ++told; })));
            one.timer.async_wait(
                [&one](const boost::system::error_code&) { one.signal.emit(net::cancellation_type::terminal); });
        });
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { context.run(); });
    }
    for (std::thread& each : threads) { each.join(); }
    CHECK(told == 200);
}
