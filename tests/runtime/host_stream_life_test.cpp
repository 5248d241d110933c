// SPDX-License-Identifier: BSD-3-Clause
// How streams, listeners and what waits there end, in whatever order they and their host go. On a simulated wire, in virtual
// time.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/runtime/host_streams.hpp"
#include "tests/runtime/leaves_nothing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

task<void> note_accept(host::tcp_listener& at, std::error_code& ended) {
    const auto got = co_await at.accept();
    ended = got.has_value() ? no_error : got.error().code;
}

task<void> note_connect(host::ip_host& from, proto::ip_endpoint to, std::error_code& ended) {
    const auto made = co_await from.connect(to);
    ended = made.has_value() ? no_error : made.error().code;
}

task<void> note_settle(host::ip_host& at, std::error_code& ended) {
    const wait_result settled = co_await at.settle();
    ended = settled;
}

/// All that can wait at a host's TCP, and what it waits at.
struct waiting_streams : mortal_hosts {
    waiting_streams() {
        door.emplace(left->listen({v4_of(1), 81}).value());
        near.emplace(joined(*this));
        near_too.emplace(joined(*this));
        loop.spawn([](waiting_streams& self) -> task<void> {
            io_result sent;
            co_await write_and_note(self.near->far, 1000, sent);
            auto got = co_await self.near->near.read_borrowed();
            self.lent.emplace(std::move(got.buffer));
            co_await write_and_note(self.near_too->near, 400'000, sent);  // more than the window of a peer that does not read
            self.near_too->near.close();
        }(*this));
        loop.run();
        loop.spawn_background(note_read(near->near, read));
        loop.spawn_background(write_and_note(near->near, 1'000'000, written));
        loop.spawn_background(note_accept(*door, accepted));
        loop.spawn_background(note_connect(*left, {v4_of(99), 80}, connected));
        loop.spawn_background(note_settle(*left, settled));
        pass(10ms);
    }

    io_result read;
    io_result written;
    std::error_code accepted;
    std::error_code connected;
    std::error_code settled;
    std::optional<tcp_ends> near;
    std::optional<tcp_ends> near_too;
    std::optional<host::tcp_listener> door;
    std::optional<host::tcp_buffer> lent;
};

}  // namespace

TEST_CASE("a stream and a listener that go end what waits there with `closed`") {
    two_hosts bed;
    tcp_ends ends = joined(bed);
    std::optional<host::tcp_listener> door = bed.left.listen({v4_of(1), 81}).value();
    io_result read;
    io_result written;
    std::error_code accepted;
    bed.loop.spawn(note_read(ends.near, read));
    bed.loop.spawn(write_and_note(ends.near, 1'000'000, written));
    bed.loop.spawn(note_accept(*door, accepted));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(10ms));
        ends.near.close();
        door.reset();
    });
    bed.loop.run();
    CHECK(read.ec == errc::closed);
    CHECK(written.ec == errc::closed);
    CHECK(accepted == errc::closed);
    CHECK(bed.clock.elapsed() < 1s);
}

TEST_CASE("hosts, streams, listeners, lent octets and waiting coroutines end in any order and leave nothing") {
    std::array<int, 4> order{0, 1, 2, 3};
    leaves_nothing(
        [&](std::uint64_t) {
            {
                waiting_streams bed;
                for (const int which : order) {
                    switch (which) {
                        case 0: bed.left.reset(); break;
                        case 1: bed.near.reset(); break;
                        case 2: bed.door.reset(); break;
                        default: bed.lent.reset();
                    }
                }
                bed.pass(1ms);
                CHECK(bed.read.ec == errc::closed);
                CHECK(bed.written.ec == errc::closed);
                CHECK(bed.accepted == errc::closed);
                CHECK(bed.connected == errc::closed);
                CHECK(bed.settled == errc::closed);
                CHECK(bed.frames_are_home(end::left));
            }
            std::ranges::next_permutation(order);
        },
        24);
}

TEST_CASE("an executor that goes before its hosts' streams takes what waits there along and leaves nothing") {
    leaves_nothing([](std::uint64_t round) {
        waiting_streams bed;
        bed.loop.discard_tasks();  // as the executor does at its end
        if (round % 2 == 0) { bed.left.reset(); }
        CHECK_FALSE(bed.read.ec);
    });
}

TEST_CASE("a host that rests is woken by an accept that completes at once") {
    two_hosts bed;
    host::tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
    host::tcp_stream first;
    bed.loop.spawn(dial(bed.left, door.local_endpoint(), first));
    bed.loop.run();
    bed.loop.run([]() -> task<void> { co_return; }());  // ends the tasks of both hosts
    bed.loop.spawn([&]() -> task<void> {
        auto called = co_await door.accept();
        CHECK(called.has_value());
        static_cast<void>(co_await sleep_for(1s));
    });
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        auto second = co_await bed.left.connect(door.local_endpoint());
        CHECK(second.has_value());
    });
    bed.loop.run();
    CHECK(bed.clock.elapsed() < 10s);
}
