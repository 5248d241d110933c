// SPDX-License-Identifier: BSD-3-Clause
// Executions whose turns, on two threads, reach for each other's objects at the same time.
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/support/fake_kernel.hpp"

#include <doctest/doctest.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

using pair_of_executions = std::array<std::unique_ptr<asio::execution>, 2>;

pair_of_executions two_executions(net::io_context& context) {
    return {std::make_unique<asio::execution>(context), std::make_unique<asio::execution>(context)};
}

/// Runs the context on two threads, on which a task of each execution calls `reach(the other one's number)` while the other
/// one's turn is under way.
template <class Reach>
void reach_across(net::io_context& context, const pair_of_executions& both, Reach reach) {
    std::barrier meeting(2);
    const auto work = [&](std::size_t other) -> task<void> {
        meeting.arrive_and_wait();
        reach(other);
        meeting.arrive_and_wait();
        co_return;
    };
    for (std::size_t i = 0; i != 2; ++i) { asio::async_run(*both[i], work(1 - i), net::detached); }
    context.restart();
    std::thread second([&] { context.run(); });
    context.run();
    second.join();
}

}  // namespace

TEST_CASE("a turn destroys streams of another execution, whose turn destroys its own, without waiting") {
    net::io_context context;
    const auto both = two_executions(context);
    std::array<std::optional<asio::async_stream<unix_stream>>, 2> near;
    std::array<std::optional<asio::async_stream<unix_stream>>, 2> far;
    std::array<boost::system::error_code, 2> aborted;
    std::array<std::byte, 2> room{};
    for (std::size_t i = 0; i != 2; ++i) {
        auto ends = unix_stream::pair().value();
        near[i].emplace(*both[i], std::move(ends.first));
        far[i].emplace(*both[i], std::move(ends.second));
        near[i]->async_read_some(net::buffer(&room[i], 1),
                                 [&, i](const boost::system::error_code& code, std::size_t) { aborted[i] = code; });
    }
    reach_across(context, both, [&](std::size_t other) {
        near[other]->close();
        CHECK_FALSE(near[other]->is_open());
        near[other].reset();
    });
    std::array<boost::system::error_code, 2> eof;
    for (std::size_t i = 0; i != 2; ++i) {
        CHECK(aborted[i] == net::error::operation_aborted);
        far[i]->async_read_some(net::buffer(&room[i], 1),
                                [&, i](const boost::system::error_code& code, std::size_t) { eof[i] = code; });
    }
    run_all(context);
    for (const boost::system::error_code& each : eof) { CHECK(each == net::error::eof); }
}

TEST_CASE("a turn gets no packets of another execution's port while that one's turn is under way, and does not wait") {
    net::io_context context;
    std::array<fake_kernel, 2> kernels;
    const auto both = two_executions(context);
    std::array<std::optional<asio::port>, 2> ports;
    for (std::size_t i = 0; i != 2; ++i) { ports[i].emplace(*both[i], fake_port::open(both[i]->loop(), kernels[i])); }
    std::array<std::uint32_t, 2> made{7, 7};
    reach_across(context, both, [&](std::size_t other) {
        std::array<packet, 4> out;
        made[other] = ports[other]->allocate(out);
    });
    CHECK(made[0] == 0);
    CHECK(made[1] == 0);
    std::array<packet, 4> out;
    CHECK(ports[0]->allocate(out) == 4);
    // In a turn of another one while its own is not under way:
    asio::async_run(
        *both[0],
        [&]() -> task<void> {
            std::array<packet, 4> more;
            CHECK(ports[1]->allocate(more) == 4);
            co_return;
        },
        net::detached);
    run_all(context);
}

TEST_CASE("two executions that destroy each other in their turns end, and so do their tasks") {
    net::io_context context;
    auto both = two_executions(context);
    std::array<std::exception_ptr, 2> told;
    for (std::size_t i = 0; i != 2; ++i) {
        const auto work = []() -> task<void> { static_cast<void>(co_await sleep_for(1h)); };
        asio::async_run(*both[i], work, [&, i](const std::exception_ptr& failure) { told[i] = failure; });
    }
    reach_across(context, both, [&](std::size_t other) { both[other].reset(); });
    for (const std::exception_ptr& each : told) { CHECK(each); }
}

TEST_CASE("a turn opens no port on another execution, but makes one of a socket that is open") {
    net::io_context context;
    fake_kernel kernel;
    const auto both = two_executions(context);
    std::optional<asio::port> made;
    auto sockets = fake_port::open(both[1]->loop(), kernel);
    asio::async_run(
        *both[0],
        [&]() -> task<void> {
            CHECK(asio::port::open(*both[1], builder("lo")).error().code == errc::wrong_executor);
            made.emplace(*both[1], std::move(sockets));
            co_return;
        },
        net::detached);
    run_all(context);
    REQUIRE(made);
    CHECK(made->is_open());
}
