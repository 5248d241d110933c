// SPDX-License-Identifier: BSD-3-Clause
// A program as Boost.Asio's documentation has them, with a port and a stream of ours among Asio's own objects.
#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <chrono>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using namespace net::experimental::awaitable_operators;

namespace {

/// A port, and both ends of a stream.
struct program_world : asio_port<> {
    program_world() : program_world(unix_stream::pair().value()) {}
    explicit program_world(std::pair<unix_stream, unix_stream> ends)
        : near(on, std::move(ends.first)), far(on, std::move(ends.second)) {}

    /// Runs a coroutine of Asio's to its end.
    void run(net::awaitable<void> body) {
        std::future<void> ended = net::co_spawn(*context, std::move(body), net::use_future);
        run_all(*context);
        REQUIRE(ended.wait_for(0s) == std::future_status::ready);
        ended.get();
    }

    asio::async_stream<unix_stream> near;
    asio::async_stream<unix_stream> far;
};

net::awaitable<void> pause(net::io_context& context, std::chrono::milliseconds how_long = 1ms) {
    net::steady_timer timer(context, how_long);
    co_await timer.async_wait(net::use_awaitable);
}

task<int> count_later(int value) {
    static_cast<void>(co_await sleep_for(1ms));
    co_return value;
}

}  // namespace

TEST_CASE("a time limit by Asio's operator or loses no packet") {
    program_world in;
    std::vector<std::uint32_t> got;
    in.run([](program_world& world, std::vector<std::uint32_t>& into) -> net::awaitable<void> {
        for (std::uint32_t next = 0; next != 20;) {
            std::array<packet, 4> batch;
            const auto first = co_await (world.port.async_receive(batch, net::use_awaitable) || pause(*world.context));
            if (first.index() == 1) {
                world.arrive(next++);  // while nothing receives: the next one finds it
                continue;
            }
            world.quieten();
            for (std::size_t i = 0; i != std::get<0>(first); ++i) { into.push_back(number_of(batch[i].data())); }
        }
        std::array<packet, 32> rest;
        if (into.size() == 20) { co_return; }
        const std::size_t n = co_await world.port.async_receive(rest, net::use_awaitable);
        for (std::size_t i = 0; i != n; ++i) { into.push_back(number_of(rest[i].data())); }
    }(in, got));
    CHECK(got == numbers(0, 20));
}

TEST_CASE("Asio's operator and joins a port, a stream and a task") {
    program_world in;
    std::string line;
    in.run([](program_world& world, std::string& got) -> net::awaitable<void> {
        std::vector<packet> packets = world.packets(3);
        std::array<packet, 4> batch;
        world.arrive(7);
        std::string room(5, ' ');
        const auto [sent, received, read, written, counted] = co_await (
            world.port.async_send(packets, net::use_awaitable) && world.port.async_receive(batch, net::use_awaitable) &&
            net::async_read(world.far, net::buffer(room), net::use_awaitable) &&
            net::async_write(world.near, net::buffer("hello", 5), net::use_awaitable) &&
            asio::async_run(world.on, count_later(42), net::use_awaitable));
        CHECK(sent == 3);
        CHECK(received == 1);
        CHECK(read == 5);
        CHECK(written == 5);
        CHECK(counted == 42);
        got = room;
    }(in, line));
    CHECK(line == "hello");
    CHECK(in.kernel.take_sent().size() == 3);
}

TEST_CASE("a parallel group ends with the first of its operations and cancels those of ours") {
    program_world in;
    std::array<packet, 4> batch;
    std::array<char, 8> room{};
    net::steady_timer timer(*in.context, 1ms);
    std::vector<std::size_t> order;
    std::array<boost::system::error_code, 3> codes;
    int stopped = 0;
    net::experimental::make_parallel_group(in.port.async_receive(batch, net::deferred),
                                           in.far.async_read_some(net::buffer(room), net::deferred),
                                           timer.async_wait(net::deferred),
                                           asio::async_run(
                                               in.on, [] { return count_later(1); }, net::deferred))
        .async_wait(net::experimental::wait_for_one(),
                    [&](const std::array<std::size_t, 4>& ended, const boost::system::error_code& received, std::size_t,
                        const boost::system::error_code& read, std::size_t, const boost::system::error_code& waited,
                        const std::exception_ptr& failure, int value) {
                        order.assign(ended.begin(), ended.end());
                        codes = {received, read, waited};
                        stopped = value;
                        CHECK(!failure);
                    });
    CHECK(order.empty());
    run_all(*in.context);
    REQUIRE(order.size() == 4);
    CHECK((order[0] == 2 || order[0] == 3));
    CHECK(codes[0] == net::error::operation_aborted);
    CHECK(codes[1] == net::error::operation_aborted);
    CHECK(stopped == 1);
    // Nothing of it is left: the next ones begin and end.
    in.arrive(5);
    int received = 0;
    in.port.async_receive(batch, [&](const boost::system::error_code& code, std::size_t n) {
        CHECK(!code);
        received += static_cast<int>(n);
    });
    run_all(*in.context);
    CHECK(received == 1);
}

TEST_CASE("coroutines on a thread pool use a port and a stream of an io_context that another thread runs") {
    program_world in;
    auto guard = net::make_work_guard(*in.context);
    std::thread runs([&] { in.context->run(); });
    net::thread_pool pool(2);
    const auto echo = [](program_world& world, const std::thread::id& runner) -> net::awaitable<int> {
        int wrong_thread = 0;
        for (std::uint32_t i = 0; i != 50; ++i) {
            std::array<packet, 4> batch;
            std::array<char, 1> room{'x'};
            REQUIRE(world.kernel.deliver(numbered_frame(i)));
            const std::uint64_t one = 1;
            REQUIRE(::write(world.fd, &one, sizeof one) == sizeof one);
            const std::size_t n = co_await world.port.async_receive(batch, net::use_awaitable);
            CHECK(n == 1);
            wrong_thread += std::this_thread::get_id() == runner ? 1 : 0;
            co_await (net::async_write(world.near, net::buffer(room), net::use_awaitable) &&
                      net::async_read(world.far, net::buffer(room), net::use_awaitable));
            wrong_thread += std::this_thread::get_id() == runner ? 1 : 0;
        }
        co_return wrong_thread;
    };
    const std::thread::id runner = runs.get_id();
    std::future<int> ended = net::co_spawn(pool, echo(in, runner), net::use_future);
    CHECK(ended.get() == 0);
    pool.join();
    guard.reset();
    runs.join();
}
