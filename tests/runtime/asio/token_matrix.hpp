// SPDX-License-Identifier: BSD-3-Clause
// `every_cell<Row>()`: an asynchronous function of fluxnet::asio with every completion token and every way to be told.
//
// A row is a function: a class template over what a cell works with, whose start() begins it. A column is a way; each cell
// is a world of its own.
#pragma once

#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace fluxnet::test {

using namespace std::chrono_literals;

/// What a cell works with.
template <class Executor>
struct cell_world : asio_port<Executor> {
    using stream_type = asio::async_stream<unix_stream, Executor>;

    cell_world() : cell_world(unix_stream::pair().value()) {}
    explicit cell_world(std::pair<unix_stream, unix_stream> ends)
        : near(this->on, std::move(ends.first)), far(this->on, std::move(ends.second)) {}

    stream_type near;
    stream_type far;
};

/// How often a handler was called, and whether it may be now.
struct told_well {
    int calls = 0;
    bool forbidden = false;  // inside the initiating function or emit()

    template <class First, class... Rest>
    void operator()(const First& first, const Rest&...) {
        CHECK_FALSE(forbidden);
        CHECK(!first);
        ++calls;
    }
    /// Begins something inside of which nothing may complete.
    template <class F>
    void outside(F function) {
        forbidden = true;
        function();
        forbidden = false;
    }
};

// Columns.

template <template <class> class Row, class World>
void by_callback() {
    World in;
    Row<World> row(in, true);
    told_well told;
    told.outside([&] { row.start([&](const auto&... args) { told(args...); }); });
    run_all(*in.context);
    CHECK(told.calls == 1);
}

/// The initiating function is called where it may begin at once: in the context, in the execution's strand, and in a task.
template <template <class> class Row, class World>
void by_callback_inside() {
    for (int where = 0; where < 3; ++where) {
        CAPTURE(where);
        World in;
        Row<World> row(in, true);
        told_well told;
        const auto begin = [&] { told.outside([&] { row.start([&](const auto&... args) { told(args...); }); }); };
        if (where == 0) { net::post(*in.context, begin); }
        if (where == 1) { net::post(in.on.strand(), begin); }
        if (where == 2) {
            in.on.loop().spawn([&]() -> task<void> {
                begin();
                co_return;
            });
        }
        run_all(*in.context);
        CHECK(told.calls == 1);
    }
}

template <template <class> class Row, class World>
void by_lvalue_handler() {
    World in;
    Row<World> row(in, true);
    told_well told;
    const auto kept = std::make_shared<int>();
    auto handler = [&told, kept](const auto&... args) { told(args...); };
    told.outside([&] { row.start(handler); });
    CHECK(kept.use_count() == 3);  // copied, not moved from
    run_all(*in.context);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void by_use_awaitable() {
    World in;
    Row<World> row(in, true);
    bool done = false;
    net::co_spawn(
        *in.context,
        [&]() -> net::awaitable<void> {
            static_cast<void>(co_await row.start(net::use_awaitable));
            done = true;
        },
        net::detached);
    run_all(*in.context);
    CHECK(done);
}

template <template <class> class Row, class World>
void by_use_future() {
    World in;
    Row<World> row(in, true);
    auto later = row.start(net::use_future);
    run_all(*in.context);
    REQUIRE(later.wait_for(0s) == std::future_status::ready);
    CHECK_NOTHROW(static_cast<void>(later.get()));
}

template <template <class> class Row, class World>
void by_use_task() {
    World in;
    Row<World> row(in, true);
    bool done = false;
    in.on.loop().spawn([&]() -> task<void> {
        static_cast<void>(co_await row.start(asio::use_task));
        done = true;
    });
    run_all(*in.context);
    CHECK(done);
}

template <template <class> class Row, class World>
void by_deferred() {
    World in;
    Row<World> row(in, true);
    told_well told;
    auto later = row.start(net::deferred);
    run_all(*in.context);
    CHECK(told.calls == 0);
    told.outside([&] { std::move(later)([&](const auto&... args) { told(args...); }); });
    run_all(*in.context);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void by_as_tuple() {
    World in;
    Row<World> row(in, true);
    told_well told;
    told.outside([&] { row.start(net::as_tuple([&](const auto& all) { std::apply(told, all); })); });
    run_all(*in.context);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void by_redirect_error() {
    World in;
    Row<World> row(in, true);
    int calls = 0;
    boost::system::error_code code = net::error::fault;
    row.start(net::redirect_error([&](const auto&...) { ++calls; }, code));
    run_all(*in.context);
    CHECK(calls == 1);
}

template <template <class> class Row, class World>
void in_strand() {
    World in;
    Row<World> row(in, true);
    told_well told;
    const auto strand = net::make_strand(*in.context);
    told.outside([&] {
        row.start(net::bind_executor(strand, [&](const auto&... args) {
            CHECK(strand.running_in_this_thread());
            told(args...);
        }));
    });
    run_all(*in.context);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void in_thread_pool() {
    World in;
    Row<World> row(in, true);
    net::thread_pool pool(1);
    std::atomic<int> calls = 0;
    const std::thread::id here = std::this_thread::get_id();
    row.start(net::bind_executor(pool, [&](const auto&...) {
        CHECK(std::this_thread::get_id() != here);
        ++calls;
    }));
    run_all(*in.context);
    pool.join();
    CHECK(calls == 1);
}

template <template <class> class Row, class World>
void with_allocator() {
    World in;
    Row<World> row(in, true);
    told_well told;
    std::atomic<std::ptrdiff_t> alive = 0;
    std::atomic<std::ptrdiff_t> asked = 0;
    row.start(net::bind_executor(in.context->get_executor(),
                                 net::bind_allocator(counting_allocator<char>(alive, asked), [&](const auto&... args) {
                                     CHECK(alive == 0);
                                     told(args...);
                                 })));
    CHECK(alive > 0);
    run_all(*in.context);
    CHECK(asked >= 1);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void with_slot() {
    if constexpr (Row<World>::can_wait) {
        World in;
        Row<World> row(in, false);
        int calls = 0;
        bool emitting = false;
        net::cancellation_signal signal;
        row.start(net::bind_cancellation_slot(signal.slot(), [&](const auto&...) {
            CHECK_FALSE(emitting);
            ++calls;
        }));
        run_ready(*in.context);
        CHECK(calls == 0);
        emitting = true;
        signal.emit(net::cancellation_type::terminal);
        emitting = false;
        run_ready(*in.context);
        CHECK(calls == 1);
        signal.emit(net::cancellation_type::all);
        run_ready(*in.context);
        CHECK(calls == 1);
    }
}

template <template <class> class Row, class World>
void by_move_only_handler() {
    World in;
    Row<World> row(in, true);
    told_well told;
    told.outside([&] { row.start(move_only([&](const auto&... args) { told(args...); })); });
    run_all(*in.context);
    CHECK(told.calls == 1);
}

template <template <class> class Row, class World>
void context_destroyed() {
    for (const bool begun : {false, true}) {
        CAPTURE(begun);
        const auto kept = std::make_shared<int>();
        World in;
        Row<World> row(in, !Row<World>::can_wait);
        row.start([kept](const auto&...) { CHECK(false); });
        if (begun && Row<World>::can_wait) { run_ready(*in.context); }
        CHECK(kept.use_count() > 1);
        in.context.reset();
        CHECK(kept.use_count() == 1);
    }
}

/// Makes all cells of a row.
template <template <class> class Row>
void every_cell() {
    using any_world = cell_world<net::any_io_executor>;
    by_callback<Row, any_world>();
    by_callback_inside<Row, any_world>();
    by_lvalue_handler<Row, any_world>();
    by_use_awaitable<Row, any_world>();
    by_use_future<Row, any_world>();
    by_use_task<Row, any_world>();
    by_deferred<Row, any_world>();
    by_as_tuple<Row, any_world>();
    by_redirect_error<Row, any_world>();
    in_strand<Row, any_world>();
    in_thread_pool<Row, any_world>();
    with_allocator<Row, any_world>();
    with_slot<Row, any_world>();
    by_move_only_handler<Row, any_world>();
    context_destroyed<Row, any_world>();
    // The executor of an io_context itself instead of one that holds any.
    using concrete_world = cell_world<net::io_context::executor_type>;
    by_callback<Row, concrete_world>();
    with_allocator<Row, concrete_world>();
    with_slot<Row, concrete_world>();
}

}  // namespace fluxnet::test
