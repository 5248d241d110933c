// SPDX-License-Identifier: BSD-3-Clause
// What is TLS's own; what all streams promise is in tls_conformance_test.cpp.
#include "fluxnet/runtime/tls/tls_stream.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/memory_world.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/runtime/tls_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

using tls_memory = tls_stream<memory_stream>;
static_assert(stream<tls_memory> && stream<tls_stream<tcp_stream>> && stream<tls_stream<tls_memory>>);
static_assert(!std::is_copy_constructible_v<tls_memory> && std::is_nothrow_move_constructible_v<tls_memory>);

namespace {

template <class S>
task<void> write_whole(S& to, std::size_t size, std::byte value) {
    const std::vector<std::byte> bytes(size, value);
    const io_result sent = co_await to.write(bytes);
    CHECK(!sent.ec);
    CHECK(sent.n == size);
    const wait_result ended = co_await to.shutdown_write();
    CHECK(!ended);
}

template <class S>
task<void> read_whole(S& from, std::size_t size, std::byte value) {
    std::vector<std::byte> room(10'000);
    std::size_t there = 0;
    for (;;) {
        const io_result got = co_await from.read(room);
        if (got.ec) {
            CHECK(got.ec == errc::end_of_stream);
            break;
        }
        const bool intact =
            std::vector<std::byte>(got.n, value) == std::vector(room.begin(), room.begin() + std::ptrdiff_t(got.n));
        CHECK(intact);
        there += got.n;
    }
    CHECK(there == size);
}

/// Runs `body` with a pair of TLS streams in memory.
template <class Body>
void with_tls_pair(Body body) {
    memory_world here;
    const auto whole = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        auto both = co_await tls_pair<memory_stream>(std::move(two.first), std::move(two.second));
        co_await body(both.first, both.second);
    };
    here.loop.run(whole());
}

}  // namespace

TEST_CASE("TLS over kernel TCP carries a mebibyte in both directions") {
    executor loop;
    const auto body = [&]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        auto both = co_await tls_pair<tcp_stream>(std::move(ends.near), std::move(ends.far));
        scope four;
        four.spawn(write_whole(both.first, 1'048'576, std::byte{1}));
        four.spawn(write_whole(both.second, 1'048'576, std::byte{2}));
        four.spawn(read_whole(both.second, 1'048'576, std::byte{1}));
        four.spawn(read_whole(both.first, 1'048'576, std::byte{2}));
        const wait_result ended = co_await four.join();
        CHECK(!ended);
    };
    loop.run(body());
}

TEST_CASE("a peer that does not speak TLS is named") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        static_cast<void>(co_await two.second.write(bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n")));
        const auto near = co_await tls_memory::connect(std::move(two.first), some_client(), "server.test");
        REQUIRE(!near);
        CHECK(near.error().code == tls_errc::not_tls);
        auto more = memory_pair(here.net);
        static_cast<void>(co_await more.first.write(bytes_of("GET / HTTP/1.1\r\nHost: server.test\r\n\r\n")));
        const auto far = co_await tls_memory::accept(std::move(more.second), some_server());
        REQUIRE(!far);
        CHECK(far.error().code == tls_errc::not_tls);
        CHECK(far.error().message().find("TLS handshake as the server: http request") == 0);
    };
    here.loop.run(body());
}

TEST_CASE("a connection that ends in the handshake is told") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        static_cast<void>(co_await two.second.shutdown_write());
        const auto near = co_await tls_memory::connect(std::move(two.first), some_client(), "server.test");
        REQUIRE(!near);
        CHECK(near.error().code == tls_errc::truncated);
    };
    here.loop.run(body());
}

TEST_CASE("a handshake is cancelled and its stream is closed") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        const auto near = co_await timeout(1s, tls_memory::connect(std::move(two.first), some_client(), "server.test"));
        CHECK(near.expired);
        REQUIRE(!near.value);
        CHECK(near.value.error().code == errc::operation_canceled);
        std::array<std::byte, 4096> hello{};
        io_result got;
        while (!got.ec) { got = co_await two.second.read(hello); }
        CHECK(got.ec == errc::end_of_stream);
    };
    here.loop.run(body());
}

TEST_CASE("a connection that is cut is told as that and not as the end of the stream") {
    with_tls_pair([](tls_memory& near, tls_memory& far) -> task<void> {
        static_cast<void>(co_await near.write(bytes_of("all of it?")));
        near.close();  // without a close_notify
        std::array<std::byte, 100> room{};
        std::size_t there = 0;
        io_result got;
        while (!got.ec) {
            got = co_await far.read(room);
            there += got.n;
        }
        CHECK(there == 10);
        for (int i = 0; i != 2; ++i) {
            CHECK(got.ec == tls_errc::truncated);
            CHECK(got.ec == std::errc::connection_reset);
            got = co_await far.read(room);
        }
        CHECK(far.failure_text().find("close_notify") != std::string::npos);
        const io_result put = co_await far.write(room);
        CHECK(put.ec == tls_errc::truncated);
        const wait_result ended = co_await far.shutdown_write();
        CHECK(ended == tls_errc::truncated);
    });
}

TEST_CASE("damaged bytes break the connection") {
    with_tls_pair([](tls_memory& near, tls_memory& far) -> task<void> {
        const std::string record = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
        static_cast<void>(co_await near.below().write(bytes_of(record)));
        std::array<std::byte, 100> room{};
        const io_result got = co_await far.read(room);
        CHECK(got.ec == tls_errc::protocol_failure);
        CHECK(!far.failure_text().empty());
        const io_result put = co_await far.write(room);
        CHECK(put.ec == tls_errc::protocol_failure);
        const wait_result ended = co_await far.shutdown_write();  // which tells the peer
        CHECK(ended == tls_errc::protocol_failure);
        const io_result told = co_await near.read(room);
        CHECK(told.ec == tls_errc::alert_received);
        CHECK(near.failure_text().find("bad record mac") != std::string::npos);
    });
}

TEST_CASE("a cancelled write is continued by the next one") {
    with_tls_pair([](tls_memory& near, tls_memory& far) -> task<void> {
        const std::vector<std::byte> large(1'000'000, std::byte{7});
        const timed<io_result> first = co_await timeout(10ms, near.write(large));
        CHECK(first.expired);
        REQUIRE(first.value.n < large.size());
        scope reading;
        reading.spawn(read_whole(far, first.value.n + 5000, std::byte{7}));
        co_await write_whole(near, 5000, std::byte{7});
        const wait_result ended = co_await reading.join();
        CHECK(!ended);
    });
}

TEST_CASE("a write that is destroyed leaves a stream that reads and refuses to write") {
    with_tls_pair([](tls_memory& near, tls_memory& far) -> task<void> {
        const std::vector<std::byte> large(1'000'000);
        {
            scope writing;  // destroys its child as it goes
            writing.spawn([&]() -> task<void> { static_cast<void>(co_await near.write(large)); });
            static_cast<void>(co_await sleep_for(10ms));
        }
        const io_result again = co_await near.write(large);
        CHECK(again.ec == tls_errc::write_abandoned);
        CHECK(again.ec == std::errc::broken_pipe);
        CHECK(again.n == 0);
        const wait_result ended = co_await near.shutdown_write();
        CHECK(ended == tls_errc::write_abandoned);
        static_cast<void>(co_await far.write(bytes_of("go on")));
        std::array<std::byte, 100> room{};
        const io_result got = co_await near.read(room);
        CHECK(!got.ec);
        CHECK(text_of(std::span(room).first(got.n)) == "go on");
    });
}

TEST_CASE("a stream that is closed ends the coroutines that use it") {
    with_tls_pair([](tls_memory& near, tls_memory&) -> task<void> {
        const std::vector<std::byte> large(1'000'000);
        std::array<std::byte, 100> room{};
        io_result got;
        io_result put;
        scope using_it;
        using_it.spawn([&]() -> task<void> { got = co_await near.read(room); });
        using_it.spawn([&]() -> task<void> { put = co_await near.write(large); });
        static_cast<void>(co_await sleep_for(10ms));
        near.close();
        const wait_result ended = co_await using_it.join();
        CHECK(!ended);
        CHECK(got.ec == errc::closed);
        CHECK(put.ec == errc::closed);
        const io_result late = co_await near.read(room);
        CHECK(late.ec == errc::closed);
        const wait_result shut = co_await near.shutdown_write();
        CHECK(shut == errc::closed);
    });
}

namespace {

/// Stops one of two peers that shake hands, after a time. Tells whether it had got its stream by then.
bool stop_in_handshake(bool stops_client, bool destroys, std::chrono::milliseconds after) {
    using outcome = std::optional<result<tls_memory>>;
    memory_world here(slow());
    bool had_stream = false;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        outcome near;
        outcome far;
        std::optional<scope> connecting(std::in_place);
        std::optional<scope> accepting(std::in_place);
        connecting->spawn([&]() -> task<void> {
            near = co_await tls_memory::connect(std::move(two.first), some_client(), "server.test");
        });
        accepting->spawn([&]() -> task<void> { far = co_await tls_memory::accept(std::move(two.second), some_server()); });
        std::optional<scope>& stopping = stops_client ? connecting : accepting;
        outcome& stopped = stops_client ? near : far;
        static_cast<void>(co_await sleep_for(after));
        if (!destroys) {
            stopping->request_stop();
            const wait_result ended = co_await stopping->join();
            CHECK(!ended);
            REQUIRE(stopped.has_value());
            const bool told = stopped->has_value() || stopped->error().code == errc::operation_canceled;
            CHECK(told);
        }
        stopping.reset();
        had_stream = stopped.has_value() && stopped->has_value();
        stopped.reset();
        const wait_result ended = co_await (stops_client ? accepting : connecting)->join();
        CHECK(!ended);
        const outcome& left = stops_client ? far : near;
        REQUIRE(left.has_value());
        if (stops_client && !had_stream) { CHECK(!left->has_value()); }
    };
    here.loop.run(body());
    return had_stream;
}

}  // namespace

TEST_CASE("a handshake is cancelled or destroyed at any time and its peer does not hang") {
    for (const bool stops_client : {false, true}) {
        for (const bool destroys : {false, true}) {
            int streams = 0;
            for (int after = 0; after != 16; ++after) {
                CAPTURE(after);
                streams += stop_in_handshake(stops_client, destroys, std::chrono::milliseconds(after)) ? 1 : 0;
            }
            CHECK(streams > 0);
            CHECK(streams < 16);
        }
    }
}
