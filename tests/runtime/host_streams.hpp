// SPDX-License-Identifier: BSD-3-Clause
// Streams between the hosts of a bed (host_bed.hpp), and what coroutines do there.
//
// Owned by one test case and used on its thread.
#pragma once

#include "fluxnet/runtime/host/tcp_stream.hpp"
#include "tests/runtime/host_bed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

namespace fluxnet::test {

/// Both ends of a connection between the hosts of a bed.
struct tcp_ends {
    host::tcp_stream near;
    host::tcp_stream far;
};

/// Connects one host to another at that address of its.
inline task<void> join_hosts(host::ip_host& from, host::ip_host& to, proto::ip_address at, tcp_ends& made) {
    host::tcp_listener door = to.listen({at, 0}).value();
    auto calling = co_await from.connect(door.local_endpoint());
    REQUIRE(calling.has_value());
    auto called = co_await door.accept();
    REQUIRE(called.has_value());
    made.near = std::move(*calling);
    made.far = std::move(*called);
}

[[nodiscard]] inline tcp_ends joined(two_hosts& bed, bool v4 = true) {
    tcp_ends made;
    bed.loop.spawn(join_hosts(bed.left, bed.right, address_of(v4, 2), made));
    bed.loop.run();
    return made;
}
[[nodiscard]] inline tcp_ends joined(mortal_hosts& bed) {
    tcp_ends made;
    bed.loop.spawn(join_hosts(*bed.left, bed.right, v4_of(2), made));
    bed.loop.run();
    return made;
}

inline task<void> dial(host::ip_host& from, proto::ip_endpoint to, host::tcp_stream& made) {
    auto connected = co_await from.connect(to);
    REQUIRE(connected.has_value());
    made = std::move(*connected);
}

inline task<void> note_read(host::tcp_stream& at, io_result& got) {
    std::array<std::byte, 100> room{};
    got = co_await at.read(room);
}

inline task<void> write_and_note(host::tcp_stream& to, std::size_t size, io_result& sent) {
    const frame_bytes bytes = proto::test::counting(size);
    sent = co_await to.write(bytes);
}

inline task<void> read_exactly(host::tcp_stream& from, std::size_t size) {
    frame_bytes room(size);
    for (std::size_t at = 0; at != size;) {
        const io_result got = co_await from.read(std::span(room).subspan(at));
        REQUIRE_FALSE(got.ec);
        at += got.n;
    }
    const frame_bytes expected = proto::test::counting(size);
    CHECK(std::ranges::equal(room, expected));
}

}  // namespace fluxnet::test
