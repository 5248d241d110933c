// SPDX-License-Identifier: BSD-3-Clause
// 2^30 octets of HTTP between TCP in user space and the kernel's, each way and over both versions. No memory or disk has
// them.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/e2e/host_transfer.hpp"
#include "tests/e2e/tcp_stack_process.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t gigabyte = 1ULL << 30;
const std::string gigabyte_path = "bytes/1073741824";

/// The SHA-256 of the octets i % 251, 2^30 of them.
constexpr const char* gigabyte_digest = "9cc5601236c455c6af19a76e64d2d95953a93b10eeb8b8b756a57090e1499b3e";

/// Gets the page and compares its octets.
task<void> get_gigabyte(host::ip_host& here, proto::ip_endpoint at) {
    auto made = co_await here.connect(at);
    host::tcp_stream server = std::move(made).value();
    const std::string asked = "GET /" + gigabyte_path + " HTTP/1.0\r\n\r\n";
    const io_result sent = co_await server.write(std::as_bytes(std::span(asked)));
    CHECK_FALSE(sent.ec);
    std::string head;
    std::array<std::byte, 1> one;
    while (!head.ends_with("\r\n\r\n")) {
        const io_result got = co_await server.read(one);
        REQUIRE_MESSAGE(!got.ec, got.ec.message());
        head += std::to_integer<char>(one[0]);
    }
    CHECK_MESSAGE(head.find(" 200 OK\r\nContent-Length: 1073741824\r\n") != std::string::npos, head);
    co_await receive_octets(server, gigabyte);
}

}  // namespace

TEST_CASE("curl gets a gigabyte from TCP in user space, and its digest is that of what was to be sent") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        stack_testbed bed;
        process server = bed.serve(v4);
        const std::string line =
            "curl --silent --show-error --fail '" + stack_testbed::url(v4, gigabyte_path) + "' | sha256sum";
        const finished got = bed.run(side::peer, {"sh", "-c", line}, 900s);
        CHECK_MESSAGE(got.output == std::string(gigabyte_digest) + "  -\n", got.output);
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "1 connections, 1 requests, 1073741824 octets"), said);
    }
}

TEST_CASE("a host gets a gigabyte from an HTTP server on the kernel's TCP, octet by octet") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        host_testbed bed;
        process server =
            bed.bed.spawn(side::peer, {FLUXNET_TCP_STACK_ASYNC, "--kernel", "--address", peer_text(v4), "--quiet"});
        REQUIRE_MESSAGE(server.read_until("listening on ", 20s), server.output());
        run_and_clear(bed, get_gigabyte(*bed.here, {ip(peer_text(v4)), 80}));
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "1 connections, 1 requests, 1073741824 octets"), said);
    }
}
