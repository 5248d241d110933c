// SPDX-License-Identifier: BSD-3-Clause
// The server's limits, to the nanosecond: in virtual time, over an in-memory network.
#include "examples/http_counters/server.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/examples/http_answers.hpp"
#include "tests/runtime/memory_world.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace http_example;
using namespace std::chrono_literals;

namespace {

[[nodiscard]] server_options strict_options() {
    server_options options;
    options.idle = 50ms;
    options.request = 20ms;
    options.response = 30ms;
    options.linger = 7ms;
    options.grace = 11ms;
    options.wall_clock = nullptr;
    return options;
}

[[nodiscard]] std::optional<page> test_page(std::string_view path) {
    if (path == "/") { return page{"text/plain", "home\n"}; }
    if (path == "/big") { return page{"text/plain", std::string(1'000'000, 'x')}; }
    if (path == "/broken") { throw std::runtime_error("broken"); }
    return std::nullopt;
}

/// A server, and a network on which nothing takes time.
struct http_world {
    explicit http_world(const server_options& options = strict_options()) : server(test_page, options) {}

    http_server server;
    memory_world world;
    std::error_code ended = make_error_code(errc::closed);

    /// Runs `clients` beside the server, and then ends it.
    void play(task<void> clients) {
        world.loop.spawn([&]() -> task<void> { ended = co_await server.serve(world.net.listen(at(80)).value()); });
        world.loop.spawn([&]() -> task<void> {
            co_await std::move(clients);
            server.end();
        });
        world.loop.run();
        CHECK(server.counts().open == 0);
    }

    [[nodiscard]] task<memory_stream> connect() {
        result<memory_stream> made = co_await world.net.connect(at(80));
        co_return std::move(made).value();
    }

    [[nodiscard]] std::chrono::nanoseconds now() const { return world.clock.elapsed(); }
};

task<void> say(memory_stream& to, std::string text) {
    const io_result put = co_await to.write(std::as_bytes(std::span(text)));
    CHECK_FALSE(put.ec);
}

/// Reads to the end of the connection, and returns what it ended with.
task<std::error_code> hear(memory_stream& from, http_answers& came) {
    std::vector<std::byte> room(4096);
    for (;;) {
        const io_result got = co_await from.read(room);
        came.received(std::span(room).first(got.n));
        if (got.ec) { co_return got.ec; }
    }
}

/// The statuses of the whole answers, in order.
std::vector<unsigned> statuses_in(http_answers& came) {
    std::vector<unsigned> all;
    while (const auto next = came.next()) { all.push_back(next->status); }
    return all;
}

const std::string get_home = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

}  // namespace

TEST_CASE("the HTTP server ends a connection that is idle for too long, before a request and after one") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        http_answers came;
        const std::error_code ended = co_await hear(peer, came);
        CHECK(ended == errc::end_of_stream);
        CHECK(in.now() == 50ms);
        memory_stream other = co_await in.connect();
        static_cast<void>(co_await sleep_for(30ms));
        co_await say(other, get_home);
        static_cast<void>(co_await hear(other, came));
        CHECK(in.now() == 130ms);
        CHECK(statuses_in(came) == std::vector<unsigned>{200});
        CHECK(came.rest().empty());
    }(here));
    CHECK_FALSE(here.ended);
}

TEST_CASE("the HTTP server answers 408 when a request does not come to its end, though bytes come all the time") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        static_cast<void>(co_await sleep_for(5ms));
        co_await say(peer, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < 19; ++i) {
            static_cast<void>(co_await sleep_for(1ms));
            co_await say(peer, "A: b\r\n");
        }
        http_answers came;
        static_cast<void>(co_await hear(peer, came));
        CHECK(in.now() == 25ms);  // 5 of silence, and 20 for the request
        CHECK(statuses_in(came) == std::vector<unsigned>{408});
    }(here));
}

TEST_CASE("the HTTP server cuts off a client that does not read") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        co_await say(peer, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        static_cast<void>(co_await sleep_for(29ms));
        CHECK(in.server.counts().open == 1);
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(in.server.counts().open == 0);
        CHECK(in.server.counts().cut_off == 1);
        http_answers came;
        static_cast<void>(co_await hear(peer, came));
        CHECK(statuses_in(came).empty());  // half an answer is none
        CHECK_FALSE(came.rest().empty());
    }(here));
    CHECK(here.server.counts().answers.empty());
}

TEST_CASE("the HTTP server waits for a client to end its side after the last answer, and not for ever") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        co_await say(peer, "GET / HTTP/1.0\r\n\r\nand more");
        http_answers came;
        const std::error_code ended = co_await hear(peer, came);
        CHECK(ended == errc::end_of_stream);
        CHECK(statuses_in(came) == std::vector<unsigned>{200});
        CHECK(in.now() == 0ms);
        CHECK(in.server.counts().open == 1);
        static_cast<void>(co_await sleep_for(8ms));
        CHECK(in.server.counts().open == 0);
        memory_stream other = co_await in.connect();
        co_await say(other, "GET / HTTP/1.0\r\n\r\n");
        static_cast<void>(co_await hear(other, came));
        other.close();
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(in.server.counts().open == 0);
    }(here));
}

TEST_CASE("the HTTP server answers several requests of one write in their order, also those behind a page that fails") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        co_await say(peer, get_home + "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n" + "GET /other HTTP/1.1\r\nHost: a\r\n\r\n" +
                               "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n" + "BREW / HTTP/1.1\r\nHost: a\r\n\r\n" + get_home);
        static_cast<void>(co_await peer.shutdown_write());
        http_answers came;
        static_cast<void>(co_await hear(peer, came));
        CHECK(statuses_in(came) == std::vector<unsigned>{200, 500, 404, 405, 501, 200});
        CHECK(in.now() == 0ms);
    }(here));
}

TEST_CASE("the HTTP server makes room by ending idle connections, and never one that is at work") {
    server_options options = strict_options();
    options.connections = 1;
    http_world here(options);
    here.play([](http_world& in) -> task<void> {
        http_answers came;
        memory_stream idle = co_await in.connect();
        co_await say(idle, get_home);
        static_cast<void>(co_await sleep_for(1ms));
        memory_stream busy = co_await in.connect();
        static_cast<void>(co_await hear(idle, came));
        CHECK(in.now() == 1ms);
        CHECK(statuses_in(came) == std::vector<unsigned>{200});
        co_await say(busy, "GET / HTTP/1.1\r\n");
        static_cast<void>(co_await sleep_for(1ms));
        memory_stream next = co_await in.connect();
        co_await say(next, "GET / HTTP/1.0\r\n\r\n");
        static_cast<void>(co_await sleep_for(1ms));
        co_await say(busy, "Host: a\r\n\r\n");
        static_cast<void>(co_await hear(busy, came));  // has its answer, is idle then, and makes room
        CHECK(statuses_in(came) == std::vector<unsigned>{200});
        static_cast<void>(co_await hear(next, came));
        CHECK(statuses_in(came) == std::vector<unsigned>{200});
        CHECK(in.now() == 3ms);
        CHECK(in.server.counts().dismissed == 2);
        CHECK(in.server.counts().connections == 3);
    }(here));
}

TEST_CASE("the HTTP server's end lets requests under way end, for a time") {
    http_world here;
    http_answers whole;
    http_answers half;
    here.play([](http_world& in, http_answers& first, http_answers& second) -> task<void> {
        memory_stream quick = co_await in.connect();
        memory_stream slow = co_await in.connect();
        memory_stream idle = co_await in.connect();
        co_await say(quick, "GET / HTTP/1.1\r\nHost: a\r\n");
        co_await say(slow, "GET / HTTP/1.1\r\n");
        static_cast<void>(co_await sleep_for(1ms));
        in.server.end();
        http_answers none;
        static_cast<void>(co_await hear(idle, none));
        CHECK(none.rest().empty());
        CHECK(in.now() == 1ms);
        static_cast<void>(co_await sleep_for(1ms));
        const result<memory_stream> refused = co_await in.world.net.connect(at(80));
        CHECK_FALSE(refused.has_value());
        static_cast<void>(co_await sleep_for(4ms));
        co_await say(quick, "\r\n");
        static_cast<void>(co_await hear(quick, first));
        CHECK(in.now() == 6ms);
        quick.close();
        static_cast<void>(co_await hear(slow, second));
        CHECK(in.now() == 12ms);
    }(here, whole, half));
    const auto answer = whole.next();
    REQUIRE(answer.has_value());
    CHECK(answer->has("Connection: close"));
    CHECK(half.rest().empty());
    CHECK_FALSE(here.ended);
}

TEST_CASE("an HTTP server that is cancelled ends everything at once") {
    http_world here;
    here.play([](http_world& in) -> task<void> {
        memory_stream busy = co_await in.connect();
        memory_stream idle = co_await in.connect();
        co_await say(busy, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(in.server.counts().open == 2);
        in.world.loop.request_stop();
        static_cast<void>(co_await sleep_for(1ms));
    }(here));
    CHECK(here.ended == errc::operation_canceled);
    CHECK(here.now() == 1ms);
}
