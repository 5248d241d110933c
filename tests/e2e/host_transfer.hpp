// SPDX-License-Identifier: BSD-3-Clause
// Octets by TCP between a host in user space and the kernel at the other end of a veth pair: which ones they are, who sends
// them, and that nothing is kept of them.
//
// Functions for the thread of a host_testbed's executor.
#pragma once

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/deadline.hpp"
#include "tests/support/network_namespace.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// Octets of a row that no shift makes look the same: number i is i % 251, as in /bytes/N of tcp_stack_async. At most
/// `most_octets`, which stay where they are.
constexpr std::size_t most_octets = 65'536;
[[nodiscard]] inline std::span<const std::byte> octets_from(std::uint64_t offset, std::size_t count) {
    static const std::vector<std::byte> row = [] {
        std::vector<std::byte> made(251 + most_octets);
        for (std::size_t i = 0; i != made.size(); ++i) { made[i] = static_cast<std::byte>(i % 251); }
        return made;
    }();
    return std::span(row).subspan(offset % 251, count);
}

/// Sends the first `total` octets of the row, and ends the direction.
template <stream S>
task<void> send_octets(S& to, std::uint64_t total) {
    for (std::uint64_t at = 0; at != total;) {
        const auto part = octets_from(at, std::min<std::uint64_t>(most_octets, total - at));
        const io_result sent = co_await to.write(part);
        REQUIRE_MESSAGE(!sent.ec, sent.ec.message());
        at += part.size();
    }
    const wait_result ended = co_await to.shutdown_write();
    CHECK_FALSE(ended);
}

/// Receives octets of the row until the stream ends somehow. Tells how, and how many octets came.
template <stream S>
task<io_result> receive_all(S& from, std::uint64_t at = 0) {
    std::vector<std::byte> room(most_octets);
    const std::uint64_t first = at;
    for (;;) {
        const io_result got = co_await from.read(room);
        if (got.ec) { co_return io_result{got.ec, static_cast<std::size_t>(at - first)}; }
        const bool intact = std::memcmp(room.data(), octets_from(at, got.n).data(), got.n) == 0;
        REQUIRE(intact);
        at += got.n;
    }
}

/// Receives the first `total` octets of the row and the end of the direction.
template <stream S>
task<void> receive_octets(S& from, std::uint64_t total) {
    const io_result got = co_await receive_all(from);
    CHECK_MESSAGE(got.ec == errc::end_of_stream, got.ec.message());
    CHECK(got.n == total);
}

/// A connection between the host, which has the first end, and the kernel.
inline task<std::pair<host::tcp_stream, tcp_stream>> connect_both(host_testbed& bed, bool v4, bool host_calls) {
    if (host_calls) {
        tcp_listener door = [&] {
            const network_namespace::scoped_enter there(bed.bed.peer());
            return tcp_listener::listen({ip(peer_text(v4)), 0}).value();
        }();
        auto calling = co_await bed.here->connect(door.local_endpoint());
        auto called = co_await door.accept();
        co_return std::pair(std::move(calling).value(), std::move(called).value());
    }
    host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 0}).value();
    auto dialling = [&] {
        const network_namespace::scoped_enter there(bed.bed.peer());
        return tcp_stream::connect(door.local_endpoint());
    }();
    auto calling = co_await dialling;
    auto called = co_await door.accept();
    co_return std::pair(std::move(called).value(), std::move(calling).value());
}

/// Waits until the host keeps nothing of connections that are over; of those in TIME-WAIT it keeps the names.
inline task<void> wait_until_nothing_is_kept(host_testbed& bed) {
    const fluxnet::test::deadline limit = std::chrono::seconds(60);
    const auto is_clear = [&bed] {
        const proto::tcp::stack& tcp = *bed.here->tcp();
        return tcp.connections() == 0 && tcp.buffers() == 0 && tcp.ranges() == 0 && bed.frames_are_home();
    };
    while (!is_clear() && !limit.passed()) { static_cast<void>(co_await sleep_for(std::chrono::milliseconds(2))); }
    CHECK(bed.here->tcp()->connections() == 0);
    CHECK(bed.here->tcp()->orphans() == 0);
    CHECK(bed.here->tcp()->embryonic() == 0);
    CHECK(bed.here->tcp()->buffers() == 0);
    CHECK(bed.here->tcp()->ranges() == 0);
    const frame_census census = bed.pool->census();
    CAPTURE(census.user);
    CAPTURE(census.tx);
    CAPTURE(census.sum());
    CAPTURE(census.exact);
    CHECK(bed.frames_are_home());
}

/// Runs something as a task of the bed's, then waits until the host keeps nothing of it.
inline void run_and_clear(host_testbed& bed, task<void> work) {
    bed.loop.spawn(std::move(work));
    bed.loop.run();
    bed.loop.spawn(wait_until_nothing_is_kept(bed));
    bed.loop.run();
}

}  // namespace fluxnet::test
