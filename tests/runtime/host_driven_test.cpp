// SPDX-License-Identifier: BSD-3-Clause
// Hosts whose executor somebody else's loop drives, by poll(), prepare_sleep() and after_sleep(): what such a loop does with
// their handles itself is sent, whenever that is. On a simulated wire, in real time.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/runtime/host_streams.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <poll.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

struct driven_hosts {
    driven_hosts() {
        loop.spawn(join_hosts(left, right, v4_of(2), ends));
        loop.run();
        turn();
    }

    [[nodiscard]] host::ip_host open(end which, std::uint8_t number) {
        auto sockets = open_async(loop, socket_over(which == end::left ? left_memory : right_memory, wire, which)).value();
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), host_number(number)).value();
    }

    /// Turns until nothing goes on any more; each may have a packet arrive for the next.
    void turn() {
        for (int i = 0; i != 20; ++i) {
            while (loop.poll()) {}
        }
    }

    /// Sleeps, and calls `act` meanwhile. Returns whether that has ended the sleep.
    template <class Act>
    [[nodiscard]] bool wakes(Act act) {
        for (int tries = 0; tries != 1000; ++tries) {
            const auto plan = loop.prepare_sleep();
            if (!plan) {
                turn();
                continue;
            }
            pollfd entry{plan->fd, POLLIN, 0};
            REQUIRE(::poll(&entry, 1, 0) == 0);
            act();
            const bool woken = ::poll(&entry, 1, 0) == 1;
            loop.after_sleep();
            turn();
            return woken;
        }
        FAIL("it never sleeps");
        return false;
    }

    umem left_memory;
    umem right_memory;
    simulated_wire wire;
    executor loop;
    host::ip_host left = open(end::left, 1);
    host::ip_host right = open(end::right, 2);
    tcp_ends ends;
};

}  // namespace

TEST_CASE("what a loop closes while the executor sleeps wakes it, and the peer is told") {
    for (const bool in_order : {true, false}) {
        driven_hosts bed;
        CHECK(bed.wakes([&] { in_order ? bed.ends.near.close() : bed.ends.near.abort(); }));
        using proto::tcp::state;
        CHECK(bed.ends.far.info().state == (in_order ? state::close_wait : state::closed));
    }
}

TEST_CASE("octets that a loop gives back while the executor sleeps open the peer's window") {
    driven_hosts bed;
    io_result sent;
    constexpr std::size_t size = 200'000;
    bed.loop.spawn(write_and_note(bed.ends.near, size, sent));
    std::vector<host::tcp_buffer> all;
    bed.loop.spawn([&]() -> task<void> {
        for (std::size_t at = 0; at != size;) {
            auto got = co_await bed.ends.far.read_borrowed();
            REQUIRE_FALSE(got.ec);
            at += got.buffer.bytes().size();
            all.push_back(std::move(got.buffer));
        }
    });
    bed.loop.run();
    bed.turn();
    const std::uint32_t before = bed.ends.near.info().send_window;
    CHECK(bed.wakes([&] { all.clear(); }));
    CHECK(bed.ends.near.info().send_window > before);
}

TEST_CASE("what a loop closes between its turns and a sleep is sent") {
    driven_hosts bed;
    bed.ends.near.close();
    for (int tries = 0; tries != 1000 && bed.ends.far.info().state != proto::tcp::state::close_wait; ++tries) {
        const auto plan = bed.loop.prepare_sleep();
        if (plan) {
            REQUIRE(plan->deadline.has_value());
            CHECK(*plan->deadline <= std::chrono::steady_clock::now());
            bed.loop.after_sleep();
        }
        bed.turn();
    }
    CHECK(bed.ends.far.info().state == proto::tcp::state::close_wait);
}
