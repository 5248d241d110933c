// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/async_stream.hpp"

#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/stream_traits.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

using async_unix = asio::async_stream<unix_stream>;
static_assert(std::is_nothrow_move_constructible_v<async_unix> && !std::is_copy_constructible_v<async_unix>);
// What Boost.Beast asks of a stream.
static_assert(boost::beast::is_async_stream<async_unix>::value);
static_assert(boost::beast::has_get_executor<async_unix>::value);
static_assert(std::is_same_v<boost::beast::executor_type<async_unix>, net::any_io_executor>);

namespace {

/// An io_context with two ends of a connection.
struct stream_world {
    stream_world()
        : on(context), ends(unix_stream::pair().value()), near(on, std::move(ends.first)), far(on, std::move(ends.second)) {}

    net::io_context context;
    asio::execution on;
    std::pair<unix_stream, unix_stream> ends;
    async_unix near;
    async_unix far;
};

struct stream_end {
    int calls = 0;
    boost::system::error_code code;
    std::size_t n = 0;
};

auto note(stream_end& to) {
    return [&to](const boost::system::error_code& code, std::size_t n) {
        ++to.calls;
        to.code = code;
        to.n = n;
    };
}

}  // namespace

TEST_CASE("composed operations of Asio's run over a stream of ours") {
    stream_world one;
    const std::string sent(1'000'000, 'y');
    std::string line;
    std::string got(sent.size(), ' ');
    stream_end ends[3];
    net::async_write(one.near, std::array{net::buffer("first\r\n", 7), net::buffer(sent)}, note(ends[0]));
    net::async_read_until(one.far, net::dynamic_buffer(line), "\r\n",
                          [&](const boost::system::error_code& code, std::size_t n) {
                              CHECK(!code);
                              CHECK(n == 7);
                              const std::size_t early = line.size() - n;
                              got.replace(0, early, line, n, early);
                              net::async_read(one.far, net::buffer(got) + early, note(ends[1]));
                          });
    one.context.run();
    CHECK(ends[0].calls == 1);
    CHECK(ends[0].n == 7 + sent.size());
    CHECK(ends[1].calls == 1);
    CHECK(got == sent);
}

TEST_CASE("a stream tells Asio of its end and of a reset") {
    stream_world one;
    std::array<char, 8> room{};
    stream_end ends[2];
    boost::system::error_code shut = net::error::fault;
    one.near.async_shutdown([&](const boost::system::error_code& code) { shut = code; });
    one.far.async_read_some(net::buffer(room), note(ends[0]));
    one.context.run();
    CHECK(!shut);
    CHECK(ends[0].calls == 1);
    CHECK(ends[0].code == net::error::eof);
    CHECK(ends[0].n == 0);
    one.near.close();
    one.far.async_write_some(net::buffer("x", 1), note(ends[1]));
    run_all(one.context);
    CHECK(ends[1].code == net::error::connection_reset);
}

TEST_CASE("buffers without bytes are passed over, and none at all end at once") {
    stream_world one;
    std::array<char, 4> room{};
    stream_end ends[3];
    one.near.async_write_some(std::vector<net::const_buffer>{net::buffer("", 0), net::buffer("abcd", 4)}, note(ends[0]));
    one.far.async_read_some(std::vector<net::mutable_buffer>{net::mutable_buffer(), net::buffer(room)}, note(ends[1]));
    one.context.run();
    CHECK(ends[0].n == 4);
    CHECK(ends[1].n == 4);
    one.far.async_read_some(std::vector<net::mutable_buffer>(), note(ends[2]));
    CHECK(ends[2].calls == 0);
    run_all(one.context);
    CHECK(ends[2].calls == 1);
    CHECK_FALSE(ends[2].code);
}

TEST_CASE("several buffers are written as one piece, with the bytes that they have when the write begins") {
    stream_world one;
    std::string head = "?";
    const std::string body(20'000, 'b');
    std::string got(2 * body.size(), ' ');
    stream_end ends[3];
    const std::array<net::const_buffer, 4> all{net::buffer(head), net::const_buffer(), net::buffer("abc", 3),
                                               net::buffer(body)};
    auto later = one.near.async_write_some(std::array{all[0], all[1], all[2]}, net::deferred);
    head = "!";
    std::move(later)(note(ends[0]));
    one.far.async_read_some(net::buffer(got), note(ends[1]));
    run_all(one.context);
    CHECK(ends[0].n == 4);
    CHECK(ends[1].n == 4);
    CHECK(got.substr(0, 4) == "!abc");
    one.near.async_write_some(all, note(ends[0]));
    run_all(one.context);
    CHECK(ends[0].calls == 2);
    CHECK(ends[0].n == 16'384);
    net::async_read(one.far, net::buffer(got, ends[0].n), note(ends[1]));
    run_all(one.context);
    CHECK(got.substr(0, ends[0].n) == "!abc" + body.substr(0, ends[0].n - 4));
    one.near.async_write_some(std::array{all[3], all[0]}, note(ends[2]));
    run_all(one.context);
    CHECK(ends[2].n == body.size());  // a large one needs no copy
}

TEST_CASE("a second read of a stream is refused and the first one reads") {
    stream_world one;
    std::array<char, 4> room{};
    std::array<char, 4> other{};
    stream_end ends[3];
    one.far.async_read_some(net::buffer(room), note(ends[0]));
    one.far.async_read_some(net::buffer(other), note(ends[1]));
    run_ready(one.context);
    CHECK(ends[1].calls == 1);
    CHECK(ends[1].code == errc::handle_in_use);
    one.near.async_write_some(net::buffer("ab", 2), note(ends[2]));
    run_all(one.context);
    CHECK(ends[0].n == 2);
    CHECK(ends[2].n == 2);
}

TEST_CASE("a read is cancelled by its slot, and by closing the stream") {
    stream_world one;
    std::array<char, 4> room{};
    net::cancellation_signal signal;
    stream_end ends[2];
    one.far.async_read_some(net::buffer(room), net::bind_cancellation_slot(signal.slot(), note(ends[0])));
    run_ready(one.context);
    signal.emit(net::cancellation_type::total);
    CHECK(ends[0].calls == 0);
    run_all(one.context);
    CHECK(ends[0].calls == 1);
    CHECK(ends[0].code == net::error::operation_aborted);
    one.far.async_read_some(net::buffer(room), note(ends[1]));
    run_ready(one.context);
    one.far.close();
    CHECK(ends[1].calls == 0);
    run_all(one.context);
    CHECK(ends[1].calls == 1);
    CHECK(ends[1].code == net::error::operation_aborted);
}

TEST_CASE("the handlers of streams whose execution is destroyed are called once, by the context") {
    net::io_context context;
    auto on = std::make_unique<asio::execution>(context);
    auto ends = unix_stream::pair().value();
    async_unix near(*on, std::move(ends.first));
    async_unix far(*on, std::move(ends.second));
    std::array<char, 4> room{};
    stream_end told[3];
    near.async_read_some(net::buffer(room), note(told[0]));
    run_ready(context);
    near.async_write_some(net::buffer(room), note(told[1]));  // has not begun
    on.reset();
    CHECK(told[0].calls + told[1].calls == 0);
    far.async_read_some(net::buffer(room), note(told[2]));  // begins afterwards
    run_all(context);
    for (const stream_end& each : told) {
        CHECK(each.calls == 1);
        CHECK(each.code == net::error::operation_aborted);
        CHECK(each.n == 0);
    }
}

TEST_CASE("handlers that an execution leaves to its context go without a call when that is destroyed") {
    auto context = std::make_unique<net::io_context>();
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> seen = owned;
    std::array<char, 4> room{};
    {
        asio::execution on(*context);
        auto ends = unix_stream::pair().value();
        async_unix near(on, std::move(ends.first));
        near.async_read_some(net::buffer(room),
                             [own = std::move(owned)](const boost::system::error_code&, std::size_t) { CHECK(false); });
        run_ready(*context);
    }
    CHECK_FALSE(seen.expired());
    context.reset();
    CHECK(seen.expired());
}

TEST_CASE("a stream that was moved from is closed to Asio") {
    stream_world one;
    async_unix moved(std::move(one.near));
    std::array<char, 4> room{};
    stream_end told[3];
    boost::system::error_code shut;
    one.near.async_read_some(net::buffer(room), note(told[0]));
    one.near.async_write_some(net::buffer(room), note(told[1]));
    one.near.async_shutdown([&](const boost::system::error_code& code) { shut = code; });
    CHECK_FALSE(one.near.is_open());
    one.near.close();
    moved.async_write_some(net::buffer(room), note(told[2]));
    run_all(one.context);
    CHECK(told[0].code == net::error::operation_aborted);
    CHECK(told[1].code == net::error::operation_aborted);
    CHECK(shut == net::error::operation_aborted);
    CHECK(!told[2].code);
    CHECK(told[2].n == room.size());
}

TEST_CASE("a stream that its own handlers own goes with the io_context") {
    auto context = std::make_unique<net::io_context>();
    asio::execution on(*context);
    auto ends = unix_stream::pair().value();
    auto near = std::make_shared<async_unix>(on, std::move(ends.first));
    const std::weak_ptr<async_unix> seen = near;
    auto room = std::make_shared<std::array<char, 4>>();
    near->async_read_some(net::buffer(*room), [near, room](const boost::system::error_code&, std::size_t) { CHECK(false); });
    near.reset();
    run_ready(*context);
    context.reset();
    CHECK(seen.expired());
}

TEST_CASE("a stream can be rebound to a default token") {
    stream_world one;
    using rebound = net::use_awaitable_t<>::as_default_on_t<async_unix>;
    rebound near(std::move(one.near));
    rebound far(std::move(one.far));
    std::string got(5, ' ');
    net::co_spawn(
        one.context,
        [&]() -> net::awaitable<void> {
            const std::size_t sent = co_await net::async_write(near, net::buffer("hello", 5));
            CHECK(sent == 5);
            const std::size_t read = co_await far.async_read_some(net::buffer(got));
            CHECK(read == 5);
            co_await near.async_shutdown();
        },
        net::detached);
    one.context.run();
    CHECK(got == "hello");
}
