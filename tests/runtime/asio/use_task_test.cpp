// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/use_task.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/support/open_descriptors.hpp"

#include <doctest/doctest.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// An operation that ends with what it is given, in another handler.
template <class Signature, class... Args>
auto async_echo(net::io_context& context, Args... args) {
    return net::async_initiate<const asio::use_task_t&, Signature>(
        [&context](auto handler, Args... told) {
            net::post(context, [handler = std::move(handler), told = std::tuple<Args...>(std::move(told)...)]() mutable {
                const auto on = net::get_associated_executor(handler);
                net::dispatch(on, [handler = std::move(handler), told = std::move(told)]() mutable {
                    std::apply(std::move(handler), std::move(told));
                });
            });
        },
        asio::use_task, std::move(args)...);
}

using error_code = boost::system::error_code;

/// Runs a task to its end in a context of its own.
template <class Body>
void in_execution(Body body) {
    net::io_context context;
    asio::execution on(context);
    bool ended = false;
    asio::async_run(
        on, [&]() -> task<void> { return body(context); },
        [&](const std::exception_ptr& failure) {
            ended = true;
            if (failure) { std::rethrow_exception(failure); }
        });
    context.run();
    CHECK(ended);
}

}  // namespace

TEST_CASE("what an await with use_task gives follows from the signature") {
    in_execution([](net::io_context& context) -> task<void> {
        co_await async_echo<void()>(context);
        const auto waited = co_await async_echo<void(error_code)>(context, error_code(net::error::connection_reset));
        static_assert(std::is_same_v<decltype(waited), const wait_result>);
        CHECK(waited == std::errc::connection_reset);
        const auto moved =
            co_await async_echo<void(error_code, std::size_t)>(context, error_code(net::error::eof), std::size_t(7));
        static_assert(std::is_same_v<decltype(moved), const io_result>);
        CHECK(moved.ec == errc::end_of_stream);
        CHECK(moved.n == 7);
        const auto made =
            co_await async_echo<void(error_code, std::unique_ptr<int>)>(context, error_code(), std::make_unique<int>(3));
        static_assert(std::is_same_v<decltype(made), const std::tuple<std::error_code, std::unique_ptr<int>>>);
        CHECK(!std::get<0>(made));
        CHECK(*std::get<1>(made) == 3);
        const std::string one = co_await async_echo<void(std::string)>(context, std::string("one"));
        CHECK(one == "one");
        const std::tuple<int, char> two = co_await async_echo<void(int, char)>(context, 1, 'b');
        CHECK(two == std::tuple(1, 'b'));
        const int value = co_await async_echo<void(std::exception_ptr, int)>(context, std::exception_ptr(), 5);
        CHECK(value == 5);
        const std::exception_ptr failure = std::make_exception_ptr(std::runtime_error("thrown there"));
        std::string seen;
        try {
            co_await async_echo<void(std::exception_ptr)>(context, failure);
        } catch (const std::runtime_error& thrown) { seen = thrown.what(); }
        CHECK(seen == "thrown there");
    });
}

TEST_CASE("a task awaits Asio's timer and a coroutine of Asio's") {
    in_execution([](net::io_context& context) -> task<void> {
        net::steady_timer timer(context, 2ms);
        const wait_result rung = co_await timer.async_wait(asio::use_task);
        CHECK(!rung);
        const auto count = []() -> net::awaitable<int> { co_return 12; };
        const int value = co_await net::co_spawn(context, count(), asio::use_task);
        CHECK(value == 12);
    });
}

TEST_CASE("tasks talk over Asio's sockets by composed operations") {
    in_execution([](net::io_context& context) -> task<void> {
        net::local::stream_protocol::socket near(context);
        net::local::stream_protocol::socket far(context);
        net::local::connect_pair(near, far);
        const std::string sent(1'000'000, 'x');
        std::string got(sent.size(), ' ');
        scope both;
        both.spawn([&]() -> task<void> {
            const io_result written = co_await net::async_write(near, net::buffer(sent), asio::use_task);
            CHECK(!written.ec);
            CHECK(written.n == sent.size());
            near.close();
        });
        const io_result all = co_await net::async_read(far, net::buffer(got), asio::use_task);
        CHECK(!all.ec);
        CHECK(got == sent);
        const io_result end = co_await far.async_read_some(net::buffer(got), asio::use_task);
        CHECK(end.ec == errc::end_of_stream);
        static_cast<void>(co_await both.join());
    });
}

TEST_CASE("a stop of a task cancels what it awaits of Asio's") {
    in_execution([](net::io_context& context) -> task<void> {
        net::steady_timer timer(context, 1h);
        const auto late = co_await timeout(2ms, timer.async_wait(asio::use_task));
        CHECK(late.expired);
        CHECK(late.value == errc::operation_canceled);
        net::local::stream_protocol::socket near(context);
        net::local::stream_protocol::socket far(context);
        net::local::connect_pair(near, far);
        std::array<char, 100> room{};
        CHECK(net::write(far, net::buffer("some", 4)) == 4);
        const auto part = co_await timeout(2ms, net::async_read(near, net::buffer(room), asio::use_task));
        CHECK(part.expired);
        CHECK(part.value.ec == errc::operation_canceled);
        CHECK(part.value.n == 4);
    });
}

TEST_CASE("a task that was stopped before cancels what it begins, and what cannot be cancelled ends") {
    in_execution([](net::io_context& context) -> task<void> {
        scope one;
        one.request_stop();
        net::steady_timer timer(context, 1h);
        one.spawn([&]() -> task<void> {
            const wait_result rung = co_await timer.async_wait(asio::use_task);
            CHECK(rung == errc::operation_canceled);
            co_await net::post(context, asio::use_task);
        });
        static_cast<void>(co_await one.join());
    });
}

TEST_CASE("an operation that was begun by anything convertible is awaited under a limit, and after a move") {
    in_execution([](net::io_context& context) -> task<void> {
        const auto count = [](net::io_context& in) -> net::awaitable<int> {
            net::steady_timer timer(in, 1ms);
            co_await timer.async_wait(net::use_awaitable);
            co_return 12;
        };
        const auto soon = co_await timeout(1h, net::co_spawn(context, count(context), asio::use_task));
        CHECK(!soon.expired);
        CHECK(soon.value == 12);
        auto stored = net::co_spawn(context, count(context), asio::use_task);
        auto moved = std::move(stored);
        const int value = co_await std::move(moved);
        CHECK(value == 12);
        auto limited = timeout(1h, net::co_spawn(context, count(context), asio::use_task));  // owns the operation
        const auto later = co_await limited;
        CHECK(later.value == 12);
        net::steady_timer timer(context, 1h);
        auto wait = timer.async_wait(asio::use_task);
        const auto late = co_await timeout(2ms, std::move(wait));
        CHECK(late.expired);
        CHECK(late.value == errc::operation_canceled);
    });
}

TEST_CASE("one of several operations of Asio's that are awaited beside each other ends first") {
    in_execution([](net::io_context& context) -> task<void> {
        const auto run = [](auto operation) -> task<int> { co_return co_await std::move(operation); };
        const auto count = [](net::io_context& in, net::steady_timer::duration after, int value) -> net::awaitable<int> {
            net::steady_timer timer(in, after);
            co_await timer.async_wait(net::use_awaitable);
            co_return value;
        };
        const auto first = co_await when_any(run(net::co_spawn(context, count(context, 1h, 1), asio::use_task)),
                                             run(net::co_spawn(context, count(context, 1ms, 2), asio::use_task)));
        CHECK(first.index == 1);
        CHECK(std::get<1>(first.values) == 2);
    });
}

TEST_CASE("an operation that is awaited twice, or was moved from, says so") {
    in_execution([](net::io_context& context) -> task<void> {
        const auto refused = [](auto& operation) -> task<bool> {
            try {
                static_cast<void>(co_await operation);
            } catch (const std::system_error& failure) { co_return failure.code() == errc::not_awaitable; }
            co_return false;
        };
        const auto count = []() -> net::awaitable<int> { co_return 12; };
        auto once = net::co_spawn(context, count(), asio::use_task);
        const int value = co_await once;
        CHECK(value == 12);
        const bool twice = co_await refused(once);
        CHECK(twice);
        auto given = net::co_spawn(context, count(), asio::use_task);
        auto taken = std::move(given);
        const bool moved = co_await refused(given);
        CHECK(moved);
        const int other = co_await taken;
        CHECK(other == 12);
        net::steady_timer timer(context, 1ms);
        auto wait = timer.async_wait(asio::use_task);
        const wait_result rung = co_await wait;
        CHECK(!rung);
        const bool again = co_await refused(wait);
        CHECK(again);
    });
}

TEST_CASE("Asio cancels what a task awaits") {
    in_execution([](net::io_context& context) -> task<void> {
        net::steady_timer timer(context, 1h);
        net::post(context, [&] { timer.cancel(); });
        const wait_result rung = co_await timer.async_wait(asio::use_task);
        CHECK(rung == errc::operation_canceled);
    });
}

TEST_CASE("as_tuple and redirect_error leave Asio's codes as they are") {
    in_execution([](net::io_context& context) -> task<void> {
        net::steady_timer timer(context, 1h);
        net::post(context, [&] { timer.cancel(); });
        const std::tuple<error_code> told = co_await timer.async_wait(net::as_tuple(asio::use_task));
        CHECK(std::get<0>(told) == net::error::operation_aborted);
        error_code code;
        net::post(context, [&] { timer.cancel(); });
        co_await timer.async_wait(net::redirect_error(asio::use_task, code));
        CHECK(code == net::error::operation_aborted);
    });
}

TEST_CASE("objects of Asio's may have use_task as their default token") {
    in_execution([](net::io_context& context) -> task<void> {
        auto timer = asio::use_task_t::as_default_on(net::steady_timer(context, 1ms));
        const wait_result rung = co_await timer.async_wait();
        CHECK(!rung);
        using socket = asio::use_task_t::as_default_on_t<net::ip::tcp::socket>;
        static_assert(std::is_same_v<socket::executor_type::default_completion_token_type, asio::use_task_t>);
    });
}

TEST_CASE("a coroutine that is destroyed while it awaits lets go of the operation, which is cancelled") {
    in_execution([](net::io_context& context) -> task<void> {
        net::steady_timer timer(context, 1h);
        int waits = 0;
        {
            scope one;
            one.spawn([&]() -> task<void> {
                ++waits;
                static_cast<void>(co_await timer.async_wait(asio::use_task));
                ++waits;
            });
            net::steady_timer other(context, 1ms);
            static_cast<void>(co_await other.async_wait(asio::use_task));
        }
        CHECK(waits == 1);
        CHECK(timer.cancel() == 0);  // nobody waits there any more
    });
}

TEST_CASE("a composed operation whose coroutine is destroyed between two of its steps goes no further") {
    net::io_context context;
    asio::execution on(context);
    net::local::stream_protocol::socket near(context);
    net::local::stream_protocol::socket far(context);
    net::local::stream_protocol::socket third(context);
    net::local::stream_protocol::socket fourth(context);
    net::local::connect_pair(near, far);
    net::local::connect_pair(third, fourth);
    far.non_blocking(true);
    const std::vector<char> large(10'000'000, 'x');
    std::array<char, 1> room{};
    bool began = false;
    on.loop().spawn([&]() -> task<void> {
        {
            scope one;  // which destroys its child after the first piece was written, before Asio tells of that
            one.spawn([&]() -> task<void> {
                began = true;
                static_cast<void>(co_await net::async_write(near, net::buffer(large), asio::use_task));
            });
            static_cast<void>(co_await yield());
        }
        // These have cancellation states of their own, for which they ask while that of the other is still in use. The
        // address sanitizer sees whose memory it was.
        scope more;
        for (auto* const each : {&third, &fourth, &far}) {
            more.spawn([each, &room]() -> task<void> {
                static_cast<void>(co_await net::async_read(*each, net::buffer(room), asio::use_task));
            });
        }
        static_cast<void>(co_await more.join());
    });
    std::vector<char> bytes(1'000'000);
    std::size_t arrived = 0;
    for (int dry = 0; dry != 3;) {
        const bool ran = context.poll() != 0;
        boost::system::error_code code;
        const std::size_t some = far.read_some(net::buffer(bytes), code);
        arrived += some;
        dry = ran || some != 0 ? 0 : dry + 1;
    }
    CHECK(began);
    CHECK(arrived > 0);
    CHECK(arrived < large.size());
}

TEST_CASE("operations that nothing awaits any more go with their io_context, even if they own their handlers") {
    const std::ptrdiff_t before = open_descriptors();
    {
        net::io_context context;
        net::steady_timer timer(context, 1h);
        net::steady_timer other(context, 1h);
        asio::execution on(context);
        on.loop().spawn([&]() -> task<void> {
            // A group keeps itself, and so its handler, in its cancellation slot.
            auto group =
                net::experimental::make_parallel_group(timer.async_wait(net::deferred), other.async_wait(net::deferred));
            static_cast<void>(co_await group.async_wait(net::experimental::wait_for_all(), asio::use_task));
        });
        run_ready(context);
    }
    CHECK(open_descriptors() == before);  // the executor's are closed
}

TEST_CASE("an execution that is destroyed while a task awaits Asio's timer leaves the handler without effect") {
    net::io_context context;
    net::steady_timer timer(context, 1h);
    {
        asio::execution on(context);
        on.loop().spawn([&]() -> task<void> { static_cast<void>(co_await timer.async_wait(asio::use_task)); });
        run_ready(context);
    }
    CHECK(timer.cancel() == 1);
    run_all(context);
}

TEST_CASE("an io_context that is destroyed while tasks await its operations destroys both") {
    auto context = std::make_unique<net::io_context>();
    asio::execution on(*context);
    on.loop().spawn([&]() -> task<void> {
        net::steady_timer timer(*context, 1h);
        net::local::stream_protocol::socket near(*context);
        net::local::stream_protocol::socket far(*context);
        net::local::connect_pair(near, far);
        std::array<char, 100> room{};
        scope both;
        both.spawn([&]() -> task<void> { static_cast<void>(co_await timer.async_wait(asio::use_task)); });
        both.spawn(
            [&]() -> task<void> { static_cast<void>(co_await net::async_read(near, net::buffer(room), asio::use_task)); });
        static_cast<void>(co_await both.join());
    });
    run_ready(*context);
    context.reset();
}

TEST_CASE("use_task says so on an executor that no execution drives") {
    net::io_context context;
    net::steady_timer timer(context, 1ms);
    executor loop;
    std::error_code seen;
    loop.spawn([&]() -> task<void> {
        try {
            static_cast<void>(co_await timer.async_wait(asio::use_task));
        } catch (const std::system_error& failure) { seen = failure.code(); }
    });
    loop.run();
    CHECK(seen == errc::wrong_executor);
}

TEST_CASE("tasks of several executions await timers and sockets of one io_context with several threads") {
    net::io_context context;
    std::vector<std::unique_ptr<asio::execution>> all;
    std::atomic<int> ended = 0;
    for (int i = 0; i < 3; ++i) {
        all.push_back(std::make_unique<asio::execution>(context));
        for (int k = 0; k < 8; ++k) {
            asio::async_run(
                *all.back(),
                [&context]() -> task<void> {
                    net::local::stream_protocol::socket near(context);
                    net::local::stream_protocol::socket far(context);
                    net::local::connect_pair(near, far);
                    std::array<char, 4> bytes{};
                    for (int round = 0; round < 20; ++round) {
                        const io_result sent = co_await net::async_write(near, net::buffer("ping", 4), asio::use_task);
                        CHECK(sent.n == 4);
                        const io_result got = co_await net::async_read(far, net::buffer(bytes), asio::use_task);
                        CHECK(got.n == 4);
                        net::steady_timer timer(context, 1h);
                        const auto late = co_await timeout(20us, timer.async_wait(asio::use_task));
                        CHECK(late.value == errc::operation_canceled);
                    }
                },
                [&](const std::exception_ptr& failure) {
                    CHECK(!failure);
                    ++ended;
                });
        }
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { context.run(); });
    }
    for (std::thread& each : threads) { each.join(); }
    CHECK(ended == 24);
}
