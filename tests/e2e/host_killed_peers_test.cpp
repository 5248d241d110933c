// SPDX-License-Identifier: BSD-3-Clause
// Programs on the kernel's TCP that are killed while they transfer with a host: its stream tells how it has ended, and the
// host keeps nothing.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/e2e/host_transfer.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// When a transfer counts as under way.
constexpr std::uint64_t under_way_octets = 1 << 20;

void kill_for_good(process& victim) {
    CHECK(victim.signal(SIGKILL));
    const auto ended = victim.wait(20s);
    REQUIRE(ended);
    CHECK(ended->signal == SIGKILL);
}

task<void> write_text(host::tcp_stream& to, std::string_view text) {
    const io_result sent = co_await to.write(std::as_bytes(std::span(text)));
    CHECK_FALSE(sent.ec);
}

/// Writes without end, and kills the peer when so many octets were taken. Returns how the stream ended.
task<std::error_code> write_until_killed(host::tcp_stream& to, process& peer) {
    bool killed = false;
    for (std::uint64_t at = 0;; at += most_octets) {
        const io_result sent = co_await to.write(octets_from(at, most_octets));
        if (sent.ec) { co_return sent.ec; }
        if (!killed && at > under_way_octets) {
            kill_for_good(peer);
            killed = true;
        }
    }
}

/// Reads likewise.
task<std::error_code> read_until_killed(host::tcp_stream& from, process& peer) {
    bool killed = false;
    std::vector<std::byte> room(most_octets);
    for (std::uint64_t at = 0;;) {
        const io_result got = co_await from.read(room);
        if (got.ec) { co_return got.ec; }
        at += got.n;
        if (!killed && at > under_way_octets) {
            kill_for_good(peer);
            killed = true;
        }
    }
}

std::string address_of(bool v4) {
    return std::string("http://") + (v4 ? "10.77.0.1" : "[fd77::1]") + "/";
}

task<host::tcp_stream> next_client(host::tcp_listener& door) {
    auto accepted = co_await door.accept();
    co_return std::move(accepted).value();
}

/// The client has asked for something that has no end.
task<void> lose_downloader(host_testbed& bed, bool v4) {
    host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 80}).value();
    process client = bed.bed.spawn(side::peer, {"curl", "--silent", "--output", "/dev/null", address_of(v4)});
    host::tcp_stream peer = co_await next_client(door);
    co_await write_text(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    const std::error_code ended = co_await write_until_killed(peer, client);
    CHECK_MESSAGE(ended == std::errc::connection_reset, ended.message());
    const io_result again = co_await peer.write(octets_from(0, 1));
    CHECK_MESSAGE(again.ec == std::errc::connection_reset, again.ec.message());
}

/// The client sends something that has no end. Its kernel sends what it has taken, and an end.
task<void> lose_uploader(host_testbed& bed, bool v4) {
    host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 80}).value();
    process client =
        bed.bed.spawn(side::peer, {"curl", "--silent", "--header", "Expect:", "--upload-file", "/dev/zero", address_of(v4)});
    host::tcp_stream peer = co_await next_client(door);
    const std::error_code ended = co_await read_until_killed(peer, client);
    CHECK_MESSAGE(ended == errc::end_of_stream, ended.message());
}

task<void> write_to_end(host::tcp_stream& to, std::error_code& told) {
    for (std::uint64_t at = 0; !told; at += most_octets) {
        const io_result sent = co_await to.write(octets_from(at, most_octets));
        told = sent.ec;
    }
}

/// Writes without end to a peer that is stopped when something has come from it, and killed when its window is shut: its
/// kernel has octets that nobody has read, and resets the connection. What came before that can still be read.
task<void> lose_deaf_peer(host::tcp_stream& stream, process& peer) {
    const fluxnet::test::deadline limit = 60s;
    scope writing;
    std::error_code ended;
    writing.spawn(write_to_end(stream, ended));
    while (stream.info().readable == 0 && !limit.passed()) { static_cast<void>(co_await sleep_for(1ms)); }
    CHECK(peer.signal(SIGSTOP));
    const auto is_shut = [&stream] {
        const proto::tcp::connection_info known = stream.info();
        return known.unsent != 0 && known.send_window < known.in_flight + known.segment;
    };
    while (!is_shut() && !limit.passed()) { static_cast<void>(co_await sleep_for(1ms)); }
    CHECK(is_shut());
    kill_for_good(peer);
    const wait_result joined = co_await writing.join();
    CHECK_FALSE(joined);
    CHECK_MESSAGE(ended == std::errc::connection_reset, ended.message());
    std::uint64_t came = 0;
    std::vector<std::byte> room(most_octets);
    io_result got = co_await stream.read(room);
    while (!got.ec) {
        came += got.n;
        got = co_await stream.read(room);
    }
    CHECK(came != 0);
    CHECK_MESSAGE(got.ec == std::errc::connection_reset, got.ec.message());
}

task<void> lose_deaf_client(host_testbed& bed, bool v4) {
    host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 80}).value();
    process client = bed.bed.spawn(side::peer, {"curl", "--silent", "--output", "/dev/null", address_of(v4)});
    host::tcp_stream peer = co_await next_client(door);
    co_await write_text(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    co_await lose_deaf_peer(peer, client);
}

/// A server of HTTP and echo on the kernel's TCP, which listens.
process kernel_service(host_testbed& bed, bool v4) {
    process server = bed.bed.spawn(
        side::peer, {FLUXNET_TCP_STACK_ASYNC, "--kernel", "--address", peer_text(v4), "--echo-port", "7", "--quiet"});
    REQUIRE_MESSAGE(server.read_until("listening on ", 60s), server.output());
    return server;
}

/// The server has much more to send. Its kernel sends what it has taken, and an end.
task<void> lose_sending_server(host_testbed& bed, bool v4) {
    process server = kernel_service(bed, v4);
    const proto::ip_endpoint at(ip(peer_text(v4)), 80);
    auto made = co_await bed.here->connect(at);
    host::tcp_stream peer = std::move(made).value();
    co_await write_text(peer, "GET /bytes/1000000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::error_code ended = co_await read_until_killed(peer, server);
    CHECK_MESSAGE(ended == errc::end_of_stream, ended.message());
}

/// The server sends back what comes.
task<void> lose_deaf_server(host_testbed& bed, bool v4) {
    process server = kernel_service(bed, v4);
    const proto::ip_endpoint at(ip(peer_text(v4)), 7);
    auto made = co_await bed.here->connect(at);
    host::tcp_stream peer = std::move(made).value();
    co_await lose_deaf_peer(peer, server);
}

using loss = task<void> (*)(host_testbed&, bool);

/// Several times, because a place that leaks once may not show.
void lose_over_and_over(loss lose) {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    for (const bool v4 : {true, false, true, false}) {
        CAPTURE(v4);
        run_and_clear(bed, lose(bed, v4));
    }
    CHECK(bed.here->tcp()->listeners() == 0);
    bed.ping(true, 3, "56");
}

}  // namespace

TEST_CASE("a client on the kernel's TCP that is killed while a host sends to it is told as a reset") {
    lose_over_and_over(lose_downloader);
}

TEST_CASE("a client on the kernel's TCP that is killed while it sends to a host has ended its direction") {
    lose_over_and_over(lose_uploader);
}

TEST_CASE("a client on the kernel's TCP that is killed with octets unread, its window shut, is told as a reset") {
    lose_over_and_over(lose_deaf_client);
}

TEST_CASE("a server on the kernel's TCP that is killed while it sends to a host has ended its direction") {
    lose_over_and_over(lose_sending_server);
}

TEST_CASE("a server on the kernel's TCP that is killed with octets unread, its window shut, is told as a reset") {
    lose_over_and_over(lose_deaf_server);
}
