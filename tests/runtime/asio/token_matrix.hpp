// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_TOKEN_ROW(function, row)`: an asynchronous function of fluxnet::asio with every completion token and every way to
// be told.
//
// A row is a function: a class template over what a cell works with. It is made ready to end by itself, if it `ends`, and
// its start() begins it. `can_wait` tells whether it can be made to wait, `tells_code` whether its handler is told an
// error_code. A column is a way; each cell is a world of its own.
#pragma once

#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/runtime/asio/token_table.hpp"

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
    CHECK(later.wait_for(0s) == std::future_status::timeout);
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
    CHECK(calls == 0);
    run_all(*in.context);
    CHECK(calls == 1);
    CHECK(!code == Row<World>::tells_code);
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
    for (const bool bound : {false, true}) {
        CAPTURE(bound);
        World in;
        Row<World> row(in, true);
        told_well told;
        std::atomic<std::ptrdiff_t> alive = 0;
        std::atomic<std::ptrdiff_t> asked = 0;
        auto handler = net::bind_allocator(counting_allocator<char>(alive, asked), [&](const auto&... args) {
            CHECK(alive == 0);
            told(args...);
        });
        if (bound) {
            row.start(net::bind_executor(in.context->get_executor(), std::move(handler)));
        } else {
            row.start(std::move(handler));
        }
        CHECK(alive > 0);
        run_all(*in.context);
        CHECK(asked >= 1);
        CHECK(told.calls == 1);
    }
}

/// The handler of one begins the next, inside of which that does not complete either.
template <template <class> class Row, class World>
class chain {
public:
    explicit chain(World& in) : in_(in) {}

    void begin() {
        const auto after = std::move(row_);
        row_ = std::make_unique<Row<World>>(in_, true);
        inside_ = true;
        row_->start(net::bind_allocator(counting_allocator<char>(alive_, asked_), [this](const auto&... args) {
            CHECK(alive_ == 0);
            CHECK_FALSE(inside_);
            told_(args...);
            if (told_.calls < 5) { begin(); }
        }));
        inside_ = false;
    }
    [[nodiscard]] int calls() const { return told_.calls; }

private:
    World& in_;
    std::unique_ptr<Row<World>> row_;
    told_well told_;
    std::atomic<std::ptrdiff_t> alive_ = 0;
    std::atomic<std::ptrdiff_t> asked_ = 0;
    bool inside_ = false;
};

template <template <class> class Row, class World>
void in_chain() {
    World in;
    chain<Row, World> links(in);
    links.begin();
    run_all(*in.context);
    CHECK(links.calls() == 5);
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

/// The context goes after each number of handlers that it may have called before this one.
template <template <class> class Row, class World>
void context_destroyed_late() {
    int told = 0;
    for (int handlers = 0; told == 0 && handlers != 100; ++handlers) {
        CAPTURE(handlers);
        const auto kept = std::make_shared<int>();
        World in;
        Row<World> row(in, true);
        row.start(net::bind_executor(net::make_strand(*in.context), [kept, &told](const auto&...) { ++told; }));
        for (int i = 0; i != handlers && told == 0; ++i) { in.context->run_one(); }
        in.context.reset();
        CHECK(kept.use_count() == 1);
    }
    CHECK(told == 1);
}

/// All that depends on the executor, with that of an io_context itself instead of one that holds any.
template <template <class> class Row>
void with_concrete_executor() {
    using world = cell_world<net::io_context::executor_type>;
    by_callback<Row, world>();
    with_allocator<Row, world>();
    in_chain<Row, world>();
    with_slot<Row, world>();
    context_destroyed<Row, world>();
}

/// All cells of a row.
template <template <class> class Row>
std::vector<token_cell> cells_of() {
    using world = cell_world<net::any_io_executor>;
    const char* const no_slot = Row<world>::can_wait ? nullptr : "it never waits, so nothing is there to cancel";
    return {
        {"callback", by_callback<Row, world>},
        {"callback, begun in the context, in the strand and in a task", by_callback_inside<Row, world>},
        {"callback that begins the next one", in_chain<Row, world>},
        {"handler that is an lvalue", by_lvalue_handler<Row, world>},
        {"handler that can only be moved", by_move_only_handler<Row, world>},
        {"use_awaitable", by_use_awaitable<Row, world>},
        {"use_future", by_use_future<Row, world>},
        {"deferred", by_deferred<Row, world>},
        {"as_tuple", by_as_tuple<Row, world>},
        {"redirect_error", by_redirect_error<Row, world>},
        {"use_task", by_use_task<Row, world>},
        {"bind_executor to a strand", in_strand<Row, world>},
        {"bind_executor to a thread pool", in_thread_pool<Row, world>},
        {"bind_allocator: none of its bytes alive in the handler", with_allocator<Row, world>},
        {"bind_cancellation_slot", with_slot<Row, world>, no_slot},
        {"io_context destroyed while it waits", context_destroyed<Row, world>},
        {"io_context destroyed between any two handlers", context_destroyed_late<Row, world>},
        {"io_context::executor_type in place of any_io_executor", with_concrete_executor<Row>},
    };
}

}  // namespace fluxnet::test

/// The cells of a row as one test case.
#define FLUXNET_TOKEN_ROW(function, row)                                        \
    static const fluxnet::test::token_row registered_##row{function};           \
    TEST_CASE("token matrix: " function) {                                      \
        fluxnet::test::run_token_row(function, fluxnet::test::cells_of<row>()); \
    }
