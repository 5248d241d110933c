// SPDX-License-Identifier: BSD-3-Clause
// redis_lite's server in virtual time: over streams in memory, and over TCP of hosts in user space on a simulated wire.
#include "examples/redis_lite/server.hpp"

#include "tests/runtime/host_bed.hpp"
#include "tests/runtime/memory_world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace redis_example;
using namespace std::chrono_literals;

namespace {

[[nodiscard]] server_options strict_redis() {
    server_options options;
    options.idle = 50ms;
    options.answer = 30ms;
    options.linger = 7ms;
    options.sweep = 20ms;
    return options;
}

/// Runs `clients` beside a server, and then cancels that. Returns how the server has ended.
template <listener L>
std::error_code redis_while(executor& loop, L& door, redis_server& server, task<void> clients) {
    std::error_code ended;
    const auto serving = [](redis_server& of, L& at, std::error_code& how) -> task<void> { how = co_await of.serve(at); };
    loop.spawn_background(serving(server, door, ended));
    loop.run(std::move(clients));
    return ended;
}

/// A server on a network where nothing takes time.
struct redis_world {
    explicit redis_world(const server_options& options = strict_redis(), const memory_options& how = {})
        : server(options), world(how) {}

    std::error_code play(task<void> clients) {
        memory_listener door = world.net.listen(at(6379)).value();
        const std::error_code ended = redis_while(world.loop, door, server, std::move(clients));
        CHECK(server.counts().open == 0);
        return ended;
    }

    [[nodiscard]] task<memory_stream> connect() {
        result<memory_stream> made = co_await world.net.connect(at(6379));
        co_return std::move(made).value();
    }

    [[nodiscard]] std::chrono::nanoseconds now() const { return world.clock.elapsed(); }

    redis_server server;
    memory_world world;
};

template <stream S>
task<void> tell(S& to, std::string text) {
    const io_result put = co_await to.write(std::as_bytes(std::span(text)));
    CHECK_FALSE(put.ec);
}

/// Reads so much, or to the end of the stream, and notes what that was.
template <stream S>
task<std::string> read_text(S& from, std::size_t size, std::error_code* ended = nullptr) {
    std::string text;
    std::vector<std::byte> room(65'536);
    while (text.size() != size) {
        const io_result got = co_await from.read(std::span(room).first(std::min(room.size(), size - text.size())));
        text.append(reinterpret_cast<const char*>(room.data()), got.n);
        if (got.ec) {
            if (ended != nullptr) { *ended = got.ec; }
            break;
        }
    }
    co_return text;
}

constexpr std::size_t to_its_end = std::size_t(-1);

/// Sends a text, and checks what comes back.
template <stream S>
task<void> exchange(S& peer, std::string text, std::string expected) {
    co_await tell(peer, text);
    const std::string got = co_await read_text(peer, expected.size());
    CHECK(got == expected);
}

/// Expects that the server ends the connection in order, without saying more.
template <stream S>
task<void> expect_end(S& peer, std::string last = "") {
    std::error_code ended;
    const std::string got = co_await read_text(peer, to_its_end, &ended);
    CHECK(got == last);
    CHECK(ended == errc::end_of_stream);
}

/// Sets and gets a key of its own, many at a time, and then ends its side.
template <stream S>
task<void> use_redis(S peer, std::string key, std::size_t value_bytes, int rounds) {
    for (int round = 0; round != rounds; ++round) {
        const std::string value(value_bytes, static_cast<char>('a' + round % 26));
        const std::string length = std::to_string(value.size());
        const std::string bulk = "$" + length + "\r\n" + value + "\r\n";
        const std::string key_bulk = "$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
        const std::string get = "*2\r\n$3\r\nGET\r\n" + key_bulk;
        co_await exchange(peer, "*3\r\n$3\r\nSET\r\n" + key_bulk + bulk + get + get + "*2\r\n$3\r\nDEL\r\n" + key_bulk + get,
                          "+OK\r\n" + bulk + bulk + ":1\r\n$-1\r\n");
    }
    static_cast<void>(co_await peer.shutdown_write());
    co_await expect_end(peer);
}

}  // namespace

TEST_CASE("redis_lite answers all that one write had, and what a client sent before it ended its side") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        co_await tell(peer, "*1\r\n$4\r\nPING\r\nSET a 1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nINCR a\r\nBREW\r\nPING half");
        static_cast<void>(co_await peer.shutdown_write());
        co_await expect_end(peer, "+PONG\r\n+OK\r\n$1\r\n1\r\n:2\r\n-ERR unknown command 'BREW'\r\n");
        CHECK(in.now() == 0ms);
        CHECK(in.server.counts().commands == 5);
    }(here));
}

TEST_CASE("redis_lite tells a client that its bytes are no commands, closes its connection, and serves others") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        memory_stream good = co_await in.connect();
        memory_stream bad = co_await in.connect();
        co_await tell(bad, "PING\r\n*1\r\n$-7\r\n" + std::string(3000, 'x'));
        co_await expect_end(bad, "+PONG\r\n-ERR Protocol error: expected '$' and a length that is allowed\r\n");
        CHECK(in.server.counts().refused == 1);
        co_await exchange(good, "PING\r\n", "+PONG\r\n");
        CHECK(in.server.counts().open == 2);
        static_cast<void>(co_await sleep_for(8ms));  // it lingers no longer
        CHECK(in.server.counts().open == 1);
        co_await exchange(good, "PING\r\n", "+PONG\r\n");
    }(here));
}

TEST_CASE("redis_lite's keys end at their time, and are freed though nobody asks for them") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        memory_stream peer = co_await in.connect();
        co_await exchange(peer, "SET a 1 PX 30\r\nSET b 1 EX 1\r\n", "+OK\r\n+OK\r\n");
        static_cast<void>(co_await sleep_for(29ms));
        co_await exchange(peer, "GET a\r\n", "$1\r\n1\r\n");
        static_cast<void>(co_await sleep_for(1ms));
        co_await exchange(peer, "GET a\r\n", "$-1\r\n");
        co_await exchange(peer, "SET a 1 PX 1\r\n", "+OK\r\n");
        CHECK(in.server.store().size() == 2);
        static_cast<void>(co_await sleep_for(11ms));
        CHECK(in.server.store().size() == 1);
    }(here));
}

TEST_CASE("redis_lite ends a connection on which nothing comes for too long") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        memory_stream silent = co_await in.connect();
        memory_stream peer = co_await in.connect();
        static_cast<void>(co_await sleep_for(40ms));
        co_await exchange(peer, "PING\r\n", "+PONG\r\n");
        co_await expect_end(silent);
        CHECK(in.now() == 50ms);
        co_await expect_end(peer);
        CHECK(in.now() == 90ms);
        CHECK(in.server.counts().late == 2);
    }(here));
}

TEST_CASE("redis_lite cuts off a client that asks for much and reads nothing, and serves others meanwhile") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        memory_stream greedy = co_await in.connect();
        memory_stream peer = co_await in.connect();
        co_await exchange(greedy, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$60000\r\n" + std::string(60'000, 'x') + "\r\n", "+OK\r\n");
        std::string gets;
        for (int i = 0; i != 1000; ++i) { gets += "GET a\r\n"; }
        co_await tell(greedy, gets);
        static_cast<void>(co_await sleep_for(29ms));
        co_await exchange(peer, "PING\r\n", "+PONG\r\n");
        CHECK(in.server.counts().commands < 10);
        CHECK(in.server.counts().open == 2);
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(in.server.counts().open == 1);
        CHECK(in.server.counts().late == 1);
        co_await exchange(peer, "PING\r\n", "+PONG\r\n");
    }(here));
}

TEST_CASE("redis_lite serves no more connections than it may, and the next when one has ended") {
    server_options options = strict_redis();
    options.connections = 2;
    redis_world here(options);
    here.play([](redis_world& in) -> task<void> {
        std::vector<memory_stream> peers;
        for (int i = 0; i != 3; ++i) {
            peers.push_back(co_await in.connect());
            co_await tell(peers.back(), "PING\r\n");
        }
        for (int i = 0; i != 2; ++i) { co_await exchange(peers[static_cast<std::size_t>(i)], "", "+PONG\r\n"); }
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(in.server.counts().connections == 2);
        peers.erase(peers.begin());
        co_await exchange(peers.back(), "", "+PONG\r\n");
        CHECK(in.now() == 1ms);
    }(here));
}

TEST_CASE("redis_lite ends silent connections sooner while all places are taken") {
    server_options options = strict_redis();
    options.connections = 2;
    options.crowded = 5ms;
    redis_world here(options);
    here.play([](redis_world& in) -> task<void> {
        memory_stream first = co_await in.connect();
        memory_stream second = co_await in.connect();
        static_cast<void>(co_await sleep_for(3ms));
        co_await exchange(second, "PING\r\n", "+PONG\r\n");
        memory_stream third = co_await in.connect();
        co_await exchange(third, "PING\r\n", "+PONG\r\n");
        CHECK(in.now() == 5ms);  // has the place of the first
        co_await expect_end(first);
        CHECK(in.now() == 5ms);
        co_await expect_end(second);
        CHECK(in.now() == 8ms);
        co_await expect_end(third);
        CHECK(in.now() == 55ms);
        CHECK(in.server.counts().late == 3);
    }(here));
}

TEST_CASE("redis_lite ends all connections when it is cancelled") {
    redis_world here;
    std::vector<memory_stream> peers;
    const std::error_code ended = here.play([](redis_world& in, std::vector<memory_stream>& all) -> task<void> {
        for (int i = 0; i != 3; ++i) { all.push_back(co_await in.connect()); }
        co_await exchange(all[0], "PING\r\n", "+PONG\r\n");
    }(here, peers));
    CHECK(ended == errc::operation_canceled);
}

TEST_CASE("redis_lite serves clients whose bytes come late and in pieces") {
    memory_options slow_pieces = slow();
    slow_pieces.fragmentation = 0.9;
    slow_pieces.buffer_bytes = 5000;
    server_options options;
    redis_world here(options, slow_pieces);
    here.play([](redis_world& in) -> task<void> {
        scope clients;
        for (int i = 0; i != 4; ++i) {
            memory_stream peer = co_await in.connect();
            clients.spawn(use_redis(std::move(peer), "key" + std::to_string(i), i % 2 == 0 ? 3 : 1500, 20));
        }
        static_cast<void>(co_await clients.join());
        CHECK(in.server.counts().commands == 4 * 20 * 5);
    }(here));
}

TEST_CASE("redis_lite comes to the end of every connection on which octets of any kind come") {
    redis_world here;
    here.play([](redis_world& in) -> task<void> {
        std::mt19937_64 draw(9);
        const std::string_view letters("*$0123-:\r\n\r\nPING \0\xff", 20);
        for (int round = 0; round != 300; ++round) {
            memory_stream peer = co_await in.connect();
            std::string bytes(draw() % 300, ' ');
            for (char& each : bytes) { each = letters[draw() % letters.size()]; }
            co_await tell(peer, bytes);
            static_cast<void>(co_await peer.shutdown_write());
            std::error_code ended;
            const std::string got = co_await read_text(peer, to_its_end, &ended);
            CHECK(ended == errc::end_of_stream);
            CHECK((got.empty() || got.ends_with("\r\n")));
        }
    }(here));
    CHECK(here.server.counts().connections == 300);
    CHECK(here.server.counts().late == 0);
}

TEST_CASE("redis_lite serves hosts on a wire that loses, doubles and holds back frames, over both versions of IP") {
    wire_options bad;
    bad.to_left.loss = bad.to_right.loss = 0.02;
    bad.to_left.duplication = bad.to_right.duplication = 0.02;
    bad.to_left.reordering = bad.to_right.reordering = 0.05;
    bad.to_left.delay = bad.to_right.delay = 1ms;
    redis_server server;
    two_hosts bed(bad);
    auto door = bed.left.listen({proto::ipv6_address(), 6379}).value();
    const auto clients = [](two_hosts& in) -> task<void> {
        scope all;
        for (int i = 0; i != 6; ++i) {
            const proto::ip_endpoint to{address_of(i % 2 == 0, 1), 6379};
            auto made = co_await in.right.connect(to);
            all.spawn(use_redis(std::move(made).value(), "key" + std::to_string(i), i < 2 ? 60'000 : 100, 10));
        }
        static_cast<void>(co_await all.join());
    };
    CHECK(redis_while(bed.loop, door, server, clients(bed)) == errc::operation_canceled);
    CHECK(server.counts().commands == 6 * 10 * 5);
    CHECK(server.counts().open == 0);
    CHECK(server.store().size() == 0);
}

TEST_CASE("redis_lite tells a host of a protocol error, though more of its octets lie unread") {
    redis_server server;
    two_hosts bed;
    auto door = bed.left.listen({v4_of(1), 6379}).value();
    const auto client = [](two_hosts& in) -> task<void> {
        const proto::ip_endpoint to{v4_of(1), 6379};
        auto made = co_await in.right.connect(to);
        host::tcp_stream peer = std::move(made).value();
        co_await tell(peer, "*9999\r\n" + std::string(40'000, 'x'));
        co_await expect_end(peer, "-ERR Protocol error: invalid multibulk length\r\n");
    };
    static_cast<void>(redis_while(bed.loop, door, server, client(bed)));
}

TEST_CASE("redis_lite loses nothing of its own by clients that break their connections at any moment") {
    wire_options bad;
    bad.to_left.loss = bad.to_right.loss = 0.01;
    bad.to_left.delay = bad.to_right.delay = 100us;
    redis_server server;
    virtual_wire bed(bad);
    {
        host::ip_host left = bed.open(virtual_wire::end::left, host_number(1));
        host::ip_host right = bed.open(virtual_wire::end::right, host_number(2));
        auto door = left.listen({v4_of(1), 6379}).value();
        const auto client = [](host::ip_host& from, std::uint64_t seed) -> task<void> {
            std::mt19937_64 draw(seed);
            const proto::ip_endpoint to{v4_of(1), 6379};
            for (int round = 0; round != 20; ++round) {
                auto made = co_await from.connect(to);
                host::tcp_stream peer = std::move(made).value();
                std::string asks = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$60000\r\n" + std::string(60'000, 'x') + "\r\n";
                for (std::uint64_t gets = draw() % 9; gets != 0; --gets) { asks += "GET a\r\n"; }
                asks.resize(draw() % 3 == 0 ? draw() % asks.size() : asks.size());
                static_cast<void>(co_await peer.write(std::as_bytes(std::span(asks))));
                static_cast<void>(co_await sleep_for(std::chrono::microseconds(draw() % 3000)));
                if (draw() % 2 == 0) { peer.abort(); }
            }
        };
        const auto clients = [client](host::ip_host& from, const redis_server& of) -> task<void> {
            scope all;
            for (std::uint64_t seed = 1; seed != 6; ++seed) { all.spawn(client(from, seed)); }
            static_cast<void>(co_await all.join());
            static_cast<void>(co_await sleep_for(10min));
            CHECK(of.counts().open == 0);
            CHECK(of.counts().connections == 100);
        };
        static_cast<void>(redis_while(bed.loop, door, server, clients(right, server)));
        CHECK(left.tcp()->connections() == 0);
        CHECK(right.tcp()->connections() == 0);
    }
    bed.pass(1s);
    CHECK(bed.frames_are_home(virtual_wire::end::left));
    CHECK(bed.frames_are_home(virtual_wire::end::right));
}
