// SPDX-License-Identifier: BSD-3-Clause
// ip_host::settle(): whether what was closed has arrived. On a simulated wire, in virtual time.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "tests/runtime/host_streams.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

constexpr std::size_t more_than_the_window = 200'000;

[[nodiscard]] host::host_options small_window() {
    host::host_options options = host_number(2);
    options.tcp.v4.receive_limit = 64 * 1024;
    return options;
}

/// A connection whose near end is closed and has octets left, since nobody reads at the far end.
struct closed_end : virtual_wire {
    closed_end() {
        loop.spawn([](closed_end& self) -> task<void> {
            co_await join_hosts(self.left, self.right, v4_of(2), self.ends);
            io_result sent;
            co_await write_and_note(self.ends.near, more_than_the_window, sent);
            CHECK(sent.n == more_than_the_window);
            self.ends.near.close();
            static_cast<void>(co_await sleep_for(100ms));
        }(*this));
        loop.run();
        CHECK(left.tcp()->has_unsettled_orphans());
    }

    /// What settle() says that waits while `meanwhile` goes on.
    [[nodiscard]] wait_result settle(task<void> meanwhile) {
        wait_result settled = errc::closed;
        loop.spawn([](closed_end& self, wait_result& result) -> task<void> {
            result = co_await self.left.settle();
        }(*this, settled));
        loop.spawn(std::move(meanwhile));
        loop.run();
        CHECK_FALSE(left.tcp()->has_unsettled_orphans());
        return settled;
    }

    host::ip_host left = open(end::left, host_number(1));
    host::ip_host right = open(end::right, small_window());
    tcp_ends ends;
};

task<void> abort_soon(closed_end& bed) {
    static_cast<void>(co_await sleep_for(10ms));
    bed.ends.far.abort();
}

task<void> cut_the_wire_soon(closed_end& bed) {
    static_cast<void>(co_await sleep_for(10ms));
    bed.wire.set_link(end::right, wire_link::down);
}

}  // namespace

TEST_CASE("settle() says that all has arrived when it has") {
    closed_end bed;
    CHECK_FALSE(bed.settle(read_exactly(bed.ends.far, more_than_the_window)));
}

TEST_CASE("settle() ends with connection_reset when a peer resets what was closed before it has taken all") {
    closed_end bed;
    CHECK(bed.settle(abort_soon(bed)) == std::errc::connection_reset);
    const auto nothing = []() -> task<void> { co_return; };
    CHECK_FALSE(bed.settle(nothing()));  // it is told once
}

TEST_CASE("settle() ends with timed_out when a peer does not answer any more before it has taken all") {
    closed_end bed;
    CHECK(bed.settle(cut_the_wire_soon(bed)) == std::errc::timed_out);
    CHECK(bed.clock.elapsed() > 1min);
}

TEST_CASE("settle() does not mind a peer that resets what it has acknowledged, nor a stream that was aborted") {
    closed_end bed;
    tcp_ends more;
    CHECK_FALSE(bed.settle([](closed_end& at, tcp_ends& other) -> task<void> {
        co_await join_hosts(at.left, at.right, v4_of(2), other);
        io_result sent;
        co_await write_and_note(other.near, 1000, sent);
        other.near.close();
        static_cast<void>(co_await sleep_for(100ms));  // all is acknowledged, the end too
        other.far.abort();
        tcp_ends third;
        co_await join_hosts(at.left, at.right, v4_of(2), third);
        co_await write_and_note(third.near, more_than_the_window, sent);
        third.near.abort();
        third.near.close();
        static_cast<void>(co_await sleep_for(100ms));
        co_await read_exactly(at.ends.far, more_than_the_window);
    }(bed, more)));
}
