// SPDX-License-Identifier: BSD-3-Clause
// async_run() of what is no task, and of results.
#include "fluxnet/runtime/asio/async_run.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <memory>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("Asio's coroutines await what is no task: a listener's next connection") {
    net::io_context context;
    asio::execution on(context);
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    int ended = 0;
    const auto serve = [&]() -> net::awaitable<void> {
        const auto join = [&] { return tcp_stream::connect(door.local_endpoint()); };
        const auto next = [&] { return door.accept(); };
        result<tcp_stream> near = co_await asio::async_run(on, join, net::use_awaitable);
        result<tcp_stream> far = co_await asio::async_run(on, next, net::use_awaitable);
        CHECK(near.has_value());
        CHECK(far.has_value());
        ++ended;
    };
    net::co_spawn(context, serve(), net::detached);
    context.run();
    CHECK(ended == 1);
    net::cancellation_signal signal;
    asio::async_run(
        on, [&] { return door.accept(); },
        net::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& failure, result<tcp_stream> next) {
            CHECK_FALSE(failure);
            CHECK(next.error().code == errc::operation_canceled);
            ++ended;
        }));
    run_ready(context);
    signal.emit(net::cancellation_type::terminal);
    run_all(context);
    CHECK(ended == 2);
}

TEST_CASE("a task's result tells of an exception beside it, and of an execution that has gone") {
    net::io_context context;
    auto on = std::make_unique<asio::execution>(context);
    const auto fail = []() -> task<result<tcp_stream>> {
        static_cast<void>(co_await yield());
        throw std::system_error(make_error_code(errc::interface_gone));
    };
    int ended = 0;
    asio::async_run(*on, fail(), [&](const std::exception_ptr& failure, const result<tcp_stream>& value) {
        CHECK(failure != nullptr);
        CHECK(value.error().code == errc::interface_gone);
        ++ended;
    });
    run_all(context);
    CHECK(ended == 1);
    asio::async_run(*on, fail(), [&](const std::exception_ptr& failure, const result<tcp_stream>& value) {
        CHECK(failure != nullptr);
        CHECK_FALSE(value.has_value());
        ++ended;
    });
    on.reset();
    run_all(context);
    CHECK(ended == 2);
}
