// SPDX-License-Identifier: BSD-3-Clause
// redis_lite with the clients of Redis: on a host in user space, with the kernel's TCP at the other end of a veth pair, and
// the program over the kernel's own TCP.
#include "examples/redis_lite/server.hpp"

#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/programs.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace redis_example;
using namespace std::chrono_literals;

namespace {

std::optional<std::string> why_no_redis() {
    if (auto why = testbed::why_not_available()) { return why; }
    return why_no_program({"redis-cli", "redis-benchmark"});
}

/// A server on a host, in the background.
struct redis_host : host_testbed {
    explicit redis_host(const server_options& options = {}) : server(options) {
        loop.spawn_background([](redis_host& in) -> task<void> {
            const std::error_code ended = co_await in.server.serve(in.door);
            CHECK(ended == errc::operation_canceled);
        }(*this));
    }

    std::string cli(bool v4, std::vector<std::string> words) {
        words.insert(words.begin(), {"redis-cli", "-h", host_text(v4)});
        return run_at_peer(words);
    }

    std::string benchmark(bool v4, const std::vector<std::string>& more) {
        std::vector<std::string> words{"redis-benchmark", "-h", host_text(v4), "-q", "-t", "ping,set,get"};
        words.insert(words.end(), more.begin(), more.end());
        return run_at_peer(words);
    }

    redis_server server;
    host::tcp_listener door = here->listen({proto::ip_address(proto::ipv6_address()), 6379}).value();
};

void check_benchmark(const std::string& output) {
    for (const char* const test : {"PING_INLINE: ", "PING_MBULK: ", "SET: ", "GET: "}) {
        const std::size_t at = output.rfind(test);
        const bool is_told = at != std::string::npos && output.find(" requests per second", at) != std::string::npos;
        CHECK_MESSAGE(is_told, output);
    }
    CHECK_MESSAGE(output.find("rror") == std::string::npos, output);
}

/// What comes back, to the end of the connection, when a kernel's client sends some bytes.
task<std::string> answer_to(network_namespace const& place, proto::ip_endpoint to, std::string bytes) {
    auto dialling = [&] {
        const network_namespace::scoped_enter there(place);
        return tcp_stream::connect(to);
    }();
    auto made = co_await dialling;
    tcp_stream peer = std::move(made).value();
    const io_result sent = co_await peer.write(std::as_bytes(std::span(bytes)));
    CHECK_FALSE(sent.ec);
    std::string text;
    std::vector<std::byte> room(4096);
    for (;;) {
        const io_result got = co_await peer.read(room);
        text.append(reinterpret_cast<const char*>(room.data()), got.n);
        if (!got.ec) { continue; }
        CHECK(got.ec == errc::end_of_stream);
        co_return text;
    }
}

/// The program, when it has said where it listens.
process start_redis(const network_namespace& place, const std::vector<std::string>& more, std::string& port) {
    std::vector<std::string> argv{FLUXNET_REDIS_LITE};
    argv.insert(argv.end(), more.begin(), more.end());
    process child(argv, {.netns_fd = place.fd()});
    REQUIRE_MESSAGE(child.read_until("listening on ", 20s), child.output());
    while (child.output().back() != '\n') {}  // the line is written at once
    const std::string said = child.output();
    port = said.substr(said.rfind(' ') + 1);
    port.pop_back();
    return child;
}

}  // namespace

TEST_CASE("redis-cli sets and gets keys of redis_lite on a host, over both versions of IP") {
    FLUXNET_SKIP_IF(why_no_redis());
    redis_host bed;
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        CHECK(bed.cli(v4, {"ping"}) == "PONG\n");
        CHECK(bed.cli(v4, {"set", "colour", "dark blue"}) == "OK\n");
        CHECK(bed.cli(v4, {"get", "colour"}) == "dark blue\n");
        CHECK(bed.cli(v4, {"set", "short", "1", "px", "1"}) == "OK\n");
        bed.loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(2ms)); }());
        bed.loop.run();
        CHECK(bed.cli(v4, {"exists", "colour", "short", "other"}) == "1\n");
        CHECK(bed.cli(v4, {"del", "colour"}) == "1\n");
        CHECK(bed.cli(v4, {"get", "colour"}) == "\n");
        CHECK(bed.cli(v4, {"brew", "tea"}).starts_with("ERR unknown command 'brew'"));
    }
    CHECK(bed.server.counts().open == 0);
}

TEST_CASE("redis-benchmark has an answer from redis_lite on a host to every PING, SET and GET") {
    FLUXNET_SKIP_IF(why_no_redis());
    redis_host bed;
    check_benchmark(bed.benchmark(true, {"-n", "1000", "-c", "50"}));
    check_benchmark(bed.benchmark(false, {"-n", "2000", "-c", "20", "-P", "16", "-r", "100"}));
    check_benchmark(bed.benchmark(true, {"-n", "200", "-c", "5", "-d", "50000"}));
    CHECK(bed.server.counts().commands >= 4 * (1000 + 2000 + 200));
    CHECK(bed.server.counts().refused == 0);
    CHECK(bed.server.counts().late == 0);
}

TEST_CASE("redis_lite on a host tells the kernel's client of a protocol error, though more of its octets lie unread") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    redis_host bed;
    for (const bool v4 : {true, false}) {
        const proto::ip_endpoint to{ip(host_text(v4)), 6379};
        std::string came;
        bed.loop.spawn([](redis_host& in, proto::ip_endpoint at, std::string& text) -> task<void> {
            text = co_await answer_to(in.bed.peer(), at, "PING\r\n*1\r\n$-5\r\n" + std::string(20'000, 'x'));
        }(bed, to, came));
        bed.loop.run();
        CHECK(came == "+PONG\r\n-ERR Protocol error: expected '$' and a length that is allowed\r\n");
    }
    CHECK(bed.server.counts().refused == 2);
}

TEST_CASE("redis_lite on a host waits for a client that does not read, and has all its answers for it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    redis_host bed;
    bed.loop.spawn([](redis_host& in) -> task<void> {
        auto dialling = [&] {
            const network_namespace::scoped_enter there(in.bed.peer());
            return tcp_stream::connect({ip(host_text(true)), 6379});
        }();
        auto made = co_await dialling;
        tcp_stream peer = std::move(made).value();
        std::string value(60'000, ' ');
        for (std::size_t i = 0; i != value.size(); ++i) { value[i] = static_cast<char>('a' + i % 23); }
        std::string asks = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$60000\r\n" + value + "\r\n";
        std::string expected = "+OK\r\n";
        constexpr std::uint64_t gets = 300;
        for (std::uint64_t i = 0; i != gets; ++i) {
            asks += "GET a\r\n";
            expected += "$60000\r\n" + value + "\r\n";
        }
        const io_result sent = co_await peer.write(std::as_bytes(std::span(asks)));
        CHECK_FALSE(sent.ec);
        std::uint64_t seen = 0;
        do {
            seen = in.server.counts().commands;
            static_cast<void>(co_await sleep_for(100ms));
        } while (in.server.counts().commands != seen || seen == 0);
        CHECK(seen < gets);
        std::string came;
        std::vector<std::byte> room(65'536);
        while (came.size() < expected.size()) {
            const io_result got = co_await peer.read(room);
            REQUIRE_FALSE(got.ec);
            came.append(reinterpret_cast<const char*>(room.data()), got.n);
        }
        const bool is_whole = came == expected;
        CHECK(is_whole);
    }(bed));
    bed.loop.run();
    CHECK(bed.server.counts().late == 0);
}

TEST_CASE("redis_lite serves the clients of Redis over the kernel's TCP, and says what it has done") {
    FLUXNET_SKIP_IF(why_no_redis());
    const network_namespace place;
    std::string port;
    process server = start_redis(place, {"--kernel", "--port", "0", "--connections", "30"}, port);
    const finished counted = run({"redis-cli", "-p", port, "incr", "visits"}, {.netns_fd = place.fd()}, 20s);
    CHECK_MESSAGE(counted.output == "1\n", counted.output);
    const finished measured =
        run({"redis-benchmark", "-p", port, "-q", "-t", "ping,set,get", "-n", "1000", "-c", "30", "-P", "4"},
            {.netns_fd = place.fd()}, 60s);
    check_benchmark(measured.output);
    server.signal(15);
    const auto ended = server.wait(20s);
    CHECK_MESSAGE((ended && ended->success()), server.output());
    CHECK_MESSAGE(server.output().find(" 0 refused, 0 late; 2 keys\n") != std::string::npos, server.output());
}

TEST_CASE("redis_lite on an interface is ended by a signal and by the interface's end, and its client is told") {
    FLUXNET_SKIP_IF(why_no_redis());
    for (const bool by_signal : {true, false}) {
        CAPTURE(by_signal);
        testbed bed;
        const char* const addresses =
            "echo 0 >/proc/sys/net/ipv6/conf/peer0/disable_ipv6; ip -6 address add fd77::2/64 dev peer0 nodad";
        REQUIRE(bed.run(side::peer, {"sh", "-e", "-c", addresses}, 10s).success());
        std::string port;
        process server = start_redis(bed.host(), {"--interface", bed.name(side::host), "--address", "fd77::1"}, port);
        CHECK(port == "6379");
        // The host asks for its address on the link first.
        const char* const until_it_answers =
            "until [ \"$(redis-cli -h fd77::1 ping)\" = PONG ]; do sleep 0.1; done; "
            "exec redis-cli -h fd77::1 -r -1 -i 0.05 ping";
        process client = bed.spawn(side::peer, {"sh", "-c", until_it_answers});
        CHECK_MESSAGE(client.read_until("PONG\nPONG\n", 60s), client.output());
        if (by_signal) {
            server.signal(15);
        } else {
            bed.delete_link();
        }
        const auto ended = server.wait(20s);
        REQUIRE_MESSAGE(ended.has_value(), server.output());
        CHECK_MESSAGE(ended->exit_code == (by_signal ? 0 : 1), server.output());
        const bool is_named = server.output().find("stopped on " + bed.name(side::host)) != std::string::npos;
        CHECK_MESSAGE(is_named == !by_signal, server.output());
        if (by_signal) { CHECK_MESSAGE(client.read_until("closed the connection", 20s), client.output()); }
    }
}

TEST_CASE("redis_lite says what is wrong with how it was started, and talks to itself on a simulated wire") {
    const auto ended_as = [](std::vector<std::string> arguments, int code, const std::string& said) {
        arguments.insert(arguments.begin(), FLUXNET_REDIS_LITE);
        const finished done = run(arguments, {}, 60s);
        CHECK_MESSAGE((done.exit_code == code && done.output.find(said) != std::string::npos), done.output);
    };
    ended_as({"--kernel", "--address", "here"}, 2, "check --address 'here'");
    ended_as({"--interface", "none0", "--address", "10.0.0.1/33"}, 2, "check --address '10.0.0.1/33'");
    ended_as({"--interface", "none0", "--address", "10.0.0.1"}, 1, "none0");
    ended_as({"--sim"}, 0, "+PONG\r\n+OK\r\n$4\r\nblue\r\n");
    ended_as({"--sim", "--ask", "INCR a", "INCR a"}, 0, ":1\r\n:2\r\n1 connections, 2 commands");
}
