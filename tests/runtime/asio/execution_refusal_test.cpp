// SPDX-License-Identifier: BSD-3-Clause
// What an execution does when the system refuses it something, and when it was moved from.
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/without_descriptors.hpp"

#include <doctest/doctest.h>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<void> sleep_a_while() {
    static_cast<void>(co_await sleep_for(1ms));
}

std::error_code code_in(const std::exception_ptr& failure) {
    if (!failure) { return {}; }
    try {
        std::rethrow_exception(failure);
    } catch (const std::system_error& error) { return error.code(); }
}

}  // namespace

TEST_CASE("an execution that gets no descriptor when it first sleeps goes on as soon as there are descriptors") {
    FLUXNET_SKIP_IF(why_not_without_descriptors());
    net::io_context context;
    asio::execution on(context);
    const pipe_ends pipe;
    int ended = 0;
    const auto wait = [&]() -> task<void> {
        const std::error_code ec = co_await readable(pipe.read.get());
        CHECK_FALSE(ec);
    };
    asio::async_run(on, wait, [&](const std::exception_ptr&) { ++ended; });
    {
        const descriptor_limit none(lowest_free_descriptor());
        CHECK_THROWS_AS(context.run(), std::system_error);
        CHECK_THROWS_AS(context.run(), std::system_error);  // it tries again, and says so again
    }
    CHECK(ended == 0);
    context.poll();
    CHECK(ended == 0);
    pipe.put();
    context.run_for(10s);
    CHECK(ended == 1);
    CHECK(context.stopped());
}

TEST_CASE("what another thread posts to an execution that got no descriptor is run") {
    FLUXNET_SKIP_IF(why_not_without_descriptors());
    net::io_context context;
    asio::execution on(context);
    executor::work_guard guard(on.loop());
    {
        const descriptor_limit none(lowest_free_descriptor());
        CHECK_THROWS_AS(context.run(), std::system_error);
    }
    bool posted = false;
    std::thread([&] {
        on.loop().post([&] {
            posted = true;
            guard.release();
        });
    }).join();
    context.run_for(10s);
    CHECK(posted);
    CHECK(context.stopped());
}

TEST_CASE("an execution that was moved from is closed") {
    net::io_context context;
    asio::execution first(context);
    const asio::execution second(std::move(first));
    CHECK(first.get_executor() == second.get_executor());
    first.wake();

    int told = 0;
    std::error_code code;
    asio::async_run(first, sleep_a_while(), [&](const std::exception_ptr& failure) {
        ++told;
        code = code_in(failure);
    });
    CHECK(told == 0);

    auto ends = unix_stream::pair().value();
    asio::async_stream<unix_stream> stream(first, std::move(ends.first));
    CHECK_FALSE(stream.is_open());
    std::array<std::byte, 4> room;
    boost::system::error_code aborted;
    stream.async_read_some(net::buffer(room), [&](const boost::system::error_code& end, std::size_t) {
        ++told;
        aborted = end;
    });
    CHECK(told == 0);
    run_all(context);
    CHECK(told == 2);
    CHECK(code == errc::closed);
    CHECK(aborted == net::error::operation_aborted);
    CHECK(asio::port::open(first, builder("lo")).error().code == errc::closed);
}
