// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/task_stream.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

using asio_local = net::local::stream_protocol::socket;
using local_stream = asio::task_stream<asio_local>;
static_assert(stream<local_stream> && stream<asio::task_stream<net::ip::tcp::socket>>);
static_assert(stream<asio::task_stream<asio::async_stream<unix_stream>>>);

namespace {

std::pair<local_stream, local_stream> local_ends(net::io_context& context) {
    asio_local near(context);
    asio_local far(context);
    net::local::connect_pair(near, far);
    return {local_stream(std::move(near)), local_stream(std::move(far))};
}

/// Runs a task with two ends to its end.
template <class Body>
void with_local_ends(Body body) {
    net::io_context context;
    asio::execution on(context);
    bool ended = false;
    {
        auto ends = local_ends(context);
        asio::async_run(
            on, [&]() -> task<void> { return body(ends.first, ends.second); },
            [&](const std::exception_ptr& failure) {
                CHECK(!failure);
                ended = true;
            });
        context.run();
    }
    CHECK(ended);
}

task<void> send_and_end(local_stream& to, std::span<const std::byte> bytes) {
    const io_result sent = co_await to.write(bytes);
    CHECK(!sent.ec);
    CHECK(sent.n == bytes.size());
    const wait_result ended = co_await to.shutdown_write();
    CHECK(!ended);
}

}  // namespace

TEST_CASE("a stream of Asio's carries a mebibyte to its end") {
    with_local_ends([](local_stream& near, local_stream& far) -> task<void> {
        const std::vector<std::byte> bytes(1'048'576, std::byte{7});
        scope sender;
        sender.spawn(send_and_end(near, bytes));
        std::vector<std::byte> got;
        std::vector<std::byte> room(10'000);
        std::error_code end;
        while (!end) {
            const io_result some = co_await far.read(room);
            end = some.ec;
            got.insert(got.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(some.n));
        }
        CHECK(end == errc::end_of_stream);
        CHECK(got == bytes);
        static_cast<void>(co_await sender.join());
    });
}

TEST_CASE("a stream of Asio's lends what has arrived") {
    with_local_ends([](local_stream& near, local_stream& far) -> task<void> {
        const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
        static_cast<void>(co_await near.write(bytes));
        const auto lent = co_await far.read_borrowed();
        CHECK(!lent.ec);
        CHECK(lent.buffer.bytes().size() == 3);
        near.close();
        const auto end = co_await far.read_borrowed();
        CHECK(end.ec == errc::end_of_stream);
        CHECK(end.buffer.bytes().empty());
    });
}

TEST_CASE("a second reader of a stream of Asio's is refused, a stop cancels, and nothing is lost") {
    with_local_ends([](local_stream& near, local_stream& far) -> task<void> {
        std::array<std::byte, 8> room{};
        std::array<std::byte, 8> other{};
        scope reader;
        io_result first;
        reader.spawn([&]() -> task<void> { first = co_await far.read(room); });
        const auto late = co_await timeout(2ms, near.read(other));
        CHECK(late.value.ec == errc::operation_canceled);
        const io_result second = co_await far.read(other);
        CHECK(second.ec == errc::handle_in_use);
        static_cast<void>(co_await near.write(std::span(other).first(2)));
        static_cast<void>(co_await reader.join());
        CHECK(first.n == 2);
        const io_result nothing = co_await far.read({});
        CHECK(!nothing.ec);
    });
}

TEST_CASE("a stream of Asio's that is closed under a reader ends the read") {
    with_local_ends([](local_stream& near, local_stream& far) -> task<void> {
        std::array<std::byte, 8> room{};
        scope reader;
        io_result end;
        reader.spawn([&]() -> task<void> { end = co_await far.read(room); });
        static_cast<void>(co_await timeout(2ms, near.read(room)));
        far.close();
        static_cast<void>(co_await reader.join());
        CHECK(end.ec == errc::operation_canceled);
        const io_result later = co_await far.read(room);
        CHECK(later.ec == errc::closed);
    });
}

TEST_CASE("our stream as Asio's as ours reads what was written") {
    net::io_context context;
    asio::execution on(context);
    auto ends = unix_stream::pair().value();
    asio::task_stream<asio::async_stream<unix_stream>> near(asio::async_stream<unix_stream>(on, std::move(ends.first)));
    asio::task_stream<asio::async_stream<unix_stream>> far(asio::async_stream<unix_stream>(on, std::move(ends.second)));
    bool ended = false;
    const auto talk = [&]() -> task<void> {
        std::array<std::byte, 4> room{};
        const io_result sent = co_await near.write(room);
        CHECK(sent.n == 4);
        const io_result got = co_await far.read(room);
        CHECK(got.n == 4);
        const wait_result end = co_await near.shutdown_write();
        CHECK(!end);
        const io_result none = co_await far.read(room);
        CHECK(none.ec == errc::end_of_stream);
        ended = true;
    };
    on.loop().spawn(talk);
    context.run();
    CHECK(ended);
}
