// SPDX-License-Identifier: BSD-3-Clause
// ip_host against the kernel's stack across a veth pair.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> bytes_of(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i != size; ++i) { bytes[i] = static_cast<std::byte>((i * 7 + i / 251 + size) & 0xffU); }
    return bytes;
}

template <class Socket>
task<void> echo_times(Socket& socket, std::size_t count) {
    std::vector<std::byte> room(70'000);
    for (; count != 0; --count) {
        const datagram_result got = co_await socket.recv_from(room);
        REQUIRE_FALSE(got.ec);
        const io_result sent = co_await socket.send_to(std::span(room).first(got.n), got.from);
        CHECK_FALSE(sent.ec);
    }
}

template <class Socket>
task<void> exchange_each(Socket& socket, proto::ip_endpoint with, std::span<const std::size_t> sizes) {
    std::vector<std::byte> room(70'000);
    for (const std::size_t size : sizes) {
        const std::vector<std::byte> bytes = bytes_of(size);
        const io_result sent = co_await socket.send_to(bytes, with);
        CHECK_FALSE(sent.ec);
        const timed<datagram_result> got = co_await timeout(10s, socket.recv_from(room));
        CHECK_FALSE(got.value.ec);
        CHECK(got.value.from.address == with.address);
        const bool same = std::ranges::equal(std::span(room).first(got.value.n), bytes);
        CHECK(same);
    }
}

constexpr std::array<std::size_t, 9> exchanged{0, 1, 100, 1452, 1472, 1473, 4000, 20'000, 65'507};

/// Sends until something comes back, at most for some time that only a failure takes.
task<void> exchange_until_heard(host::udp_endpoint& from, proto::ip_endpoint to) {
    std::array<std::byte, 100> room{};
    for (int i = 0; i != 600; ++i) {
        const io_result sent = co_await from.send_to(std::span(room).first(10), to);
        const bool fine = !sent.ec || sent.ec == std::errc::host_unreachable;
        CHECK(fine);
        const timed<datagram_result> got = co_await timeout(50ms, from.recv_from(room));
        if (!got.value.ec) { co_return; }
    }
    FAIL("nothing came back");
}

/// An echo socket of the kernel that goes on until it is stopped.
task<void> echo_on(udp_socket& socket) {
    std::array<std::byte, 100> room{};
    for (;;) {
        const datagram_result got = co_await socket.recv_from(room);
        if (got.ec) { co_return; }
        static_cast<void>(co_await socket.send_to(std::span(room).first(got.n), got.from));
    }
}

/// Times so short that a test sees them pass.
host::host_options impatient() {
    host::host_options options;
    options.neighbour_table.reachable_time = 100ms;
    options.neighbour_table.delay_before_probe = 50ms;
    options.neighbour_table.retransmit_time = 50ms;
    options.neighbour_table.failed_for = 50ms;
    return options;
}

}  // namespace

TEST_CASE("the kernel pings a host over both versions and loses nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : {xdp_mode::native_copy, xdp_mode::generic}) {
        host_testbed bed({}, mode);
        bed.ping(true, 100, "56");
        bed.ping(false, 100, "56");
        const auto& counts = bed.here->counters();
        CHECK(counts.echoes >= 200);  // ping sends more while it waits for the last answers
        CHECK(counts.accounted() == counts.frames);
    }
}

TEST_CASE("the kernel pings a host with packets that take many fragments") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    for (const bool v4 : {true, false}) {
        for (const char* const size : {"1472", "1473", "4000", "20000", "60000"}) { bed.ping(v4, 10, size); }
    }
    CHECK(bed.here->counters().echoes >= 100);
    CHECK(bed.here->counters().no_room == 0);
}

TEST_CASE("the kernel's UDP and a host's exchange datagrams of every kind, whoever begins") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    for (const bool v4 : {true, false}) {
        host::udp_endpoint ours = bed.here->open_udp({ip(host_text(v4)), 7000}).value();
        udp_socket theirs = bed.kernel_socket(v4);
        bed.loop.spawn(echo_times(ours, exchanged.size()));
        bed.loop.spawn(exchange_each(theirs, ours.local_endpoint(), exchanged));
        bed.loop.run();
        bed.loop.spawn(echo_times(theirs, exchanged.size()));
        bed.loop.spawn(exchange_each(ours, theirs.local_endpoint(), exchanged));
        bed.loop.run();
    }
    const auto& counts = bed.here->counters();
    CHECK(counts.datagrams == 4 * exchanged.size());
    CHECK(counts.accounted() == counts.frames);
}

TEST_CASE("the kernel tells a host's endpoint that nobody listens on a port, and is told so by the host") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    for (const bool v4 : {true, false}) {
        host::udp_endpoint ours = bed.here->open_udp({ip(host_text(v4)), 0}).value();
        REQUIRE(ours.connect({ip(peer_text(v4)), 9}).has_value());
        bed.loop.spawn([](host::udp_endpoint& endpoint) -> task<void> {
            std::array<std::byte, 10> room{};
            const io_result sent = co_await endpoint.send(room);
            CHECK_FALSE(sent.ec);
            const datagram_result got = co_await endpoint.recv_from(room);
            CHECK(got.ec == std::errc::connection_refused);
        }(ours));
        bed.loop.run();
        udp_socket theirs = bed.kernel_socket(v4);
        REQUIRE(theirs.connect({ip(host_text(v4)), 9}).has_value());
        bed.loop.spawn([](udp_socket& socket) -> task<void> {
            std::array<std::byte, 10> room{};
            const io_result sent = co_await socket.send(room);
            CHECK_FALSE(sent.ec);
            const datagram_result got = co_await socket.recv_from(room);
            CHECK(got.ec == std::errc::connection_refused);
        }(theirs));
        bed.loop.run();
    }
}

TEST_CASE("a host and the kernel find each other again after either has forgotten the other") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(impatient());
    for (const bool v4 : {true, false}) {
        host::udp_endpoint ours = bed.here->open_udp({ip(host_text(v4)), 7000}).value();
        udp_socket theirs = bed.kernel_socket(v4);
        bed.loop.spawn([](host_testbed& at, host::udp_endpoint& near, udp_socket& far, bool four) -> task<void> {
            scope echo;
            echo.spawn(echo_on(far));
            const std::uint64_t asked = at.here->counters().questions_sent;
            // The host asks again as its entry grows old; the kernel is flushed meanwhile.
            for (int i = 0; i != 20; ++i) {
                co_await exchange_until_heard(near, far.local_endpoint());
                if (i % 5 == 0) { at.shell(side::peer, "ip neigh flush all"); }
                static_cast<void>(co_await sleep_for(40ms));
            }
            CHECK(at.here->counters().questions_sent > asked + 1);
            CHECK(at.here->neighbour(ip(peer_text(four))).hardware == proto::mac_address(testbed::mac(side::peer)));
            echo.request_stop();
            static_cast<void>(co_await echo.join());
        }(bed, ours, theirs, v4));
        bed.loop.run();
        bed.shell(side::peer, "ip neigh flush all");
        bed.ping(v4, 5, "56");
    }
    CHECK(bed.here->counters().neighbours_failed == 0);
}

TEST_CASE("a host follows the kernel to another link address") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        host_testbed bed(impatient());
        host::udp_endpoint ours = bed.here->open_udp({ip(host_text(v4)), 7000}).value();
        udp_socket theirs = bed.kernel_socket(v4);
        const proto::mac_address moved({0x02, 0, 0, 0x99, 0, 0x42});
        bed.loop.spawn([](host_testbed& at, host::udp_endpoint& near, udp_socket& far, proto::mac_address to) -> task<void> {
            scope echo;
            echo.spawn(echo_on(far));
            co_await exchange_until_heard(near, far.local_endpoint());
            at.shell(side::peer, "ip link set peer0 address " + to.to_string());
            co_await exchange_until_heard(near, far.local_endpoint());
            CHECK(at.here->neighbour(far.local_endpoint().address).hardware == to);
            echo.request_stop();
            static_cast<void>(co_await echo.join());
        }(bed, ours, theirs, moved));
        bed.loop.run();
    }
}

TEST_CASE("a host takes the new link address of its interface, and says so to its neighbours") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    const proto::mac_address moved({0x02, 0, 0, 0x99, 0, 0x43});
    for (const bool v4 : {true, false}) { bed.ping(v4, 5, "56"); }
    bed.shell(side::host, "ip link set flux0 address " + moved.to_string());
    bed.loop.spawn([](host_testbed& at, proto::mac_address to) -> task<void> {
        const fluxnet::test::deadline limit = 10s;
        while (at.here->hardware() != to && !limit.passed()) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK(at.here->hardware() == to);
    }(bed, moved));
    bed.loop.run();
    for (const bool v4 : {true, false}) { bed.ping(v4, 5, "56"); }
    const std::string known = bed.run_at_peer({"ip", "neigh", "show", "dev", "peer0"});
    CHECK_MESSAGE(known.find("10.77.0.1 lladdr " + moved.to_string()) != std::string::npos, known);
    CHECK_MESSAGE(known.find("fd77::1 lladdr " + moved.to_string()) != std::string::npos, known);
}

TEST_CASE("a host whose interface is deleted ends what waits, with the reason, and gives its frames back") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    host::udp_endpoint ours = bed.here->open_udp({ip(host_text(true)), 7000}).value();
    bed.loop.spawn([](host_testbed& at, host::udp_endpoint& endpoint) -> task<void> {
        scope waiting;
        datagram_result got;
        io_result sent;
        std::array<std::byte, 10> room{};
        const auto receive = [&]() -> task<void> { got = co_await endpoint.recv_from(room); };
        const proto::ip_endpoint silent(ip("10.77.0.99"), 7);
        const auto send = [&]() -> task<void> { sent = co_await endpoint.send_to(room, silent); };
        waiting.spawn(receive());
        waiting.spawn(send());
        static_cast<void>(co_await sleep_for(5ms));
        at.bed.delete_link();
        static_cast<void>(co_await waiting.join());
        CHECK(got.ec == errc::interface_gone);
        CHECK(sent.ec == errc::interface_gone);
        got = co_await endpoint.recv_from(room);
        CHECK(got.ec == errc::interface_gone);
    }(bed, ours));
    bed.loop.run();
    CHECK(bed.here->failure() == errc::interface_gone);
}
