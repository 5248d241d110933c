// SPDX-License-Identifier: BSD-3-Clause
// What the tests of hazards share: the initial sequence numbers that each runs with, and segments made by hand.
#pragma once

#include "tests/proto/tcp/pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <utility>

namespace tcp_test {

namespace flag = fluxnet::proto::tcp_flag;

/// Runs a test near the places where 32-bit arithmetic goes wrong: the numbers of both ends pass 0, 2^31 or 2^32 meanwhile.
template <class Test>
void at_each_start(Test run) {
    for (const std::uint32_t start : {0U, 0x7fff'fff0U, 0xffff'fff0U, 0x7fff'0000U, 0xffff'0000U}) {
        CAPTURE(start);
        run(start);
    }
}

/// A pair that is connected, with nothing on the way.
inline void open(pair& wire) {
    wire.connect();
    REQUIRE(wire.run([&] {
        return wire.a.c->state() == tcp::state::established && wire.b.c->state() == tcp::state::established &&
               wire.flying.empty();
    }, 10s));
}

[[nodiscard]] inline bool arrived(const pair& wire) {
    return wire.b.received.size() == wire.a.to_write.size() && wire.a.received.size() == wire.b.to_write.size();
}

/// Everything is written, read and closed in order, and every buffer is back.
inline void finish_in_order(pair& wire) {
    wire.a.shut_when_written = wire.b.shut_when_written = true;
    wire.flush();
    const bool over = wire.run([&] {
        return wire.a.c->state() == tcp::state::closed && wire.b.c->state() == tcp::state::closed;
    });
    REQUIRE_MESSAGE(over, wire.describe());
    CHECK(wire.a.c->ending() == tcp::ending::closed);
    CHECK(wire.b.c->ending() == tcp::ending::closed);
    CHECK(wire.b.received == wire.a.to_write);
    CHECK(wire.a.received == wire.b.to_write);
    wire.expect_clean();
}

/// Puts octets behind those that are to be written.
inline void more(pair& wire, end& from, std::size_t count) {
    const auto octets = pattern(count, from.to_write.size() + 1);
    from.to_write.insert(from.to_write.end(), octets.begin(), octets.end());
    wire.flush();
}

/// Hands a segment to an end that its peer might have sent, but has not. Returns what the end answers.
inline std::vector<tcp::outgoing> forge(pair& wire, end& to, tcp::segment made) {
    const bool kept = to.c->receive(made, 0, wire.now);
    REQUIRE_FALSE(kept);
    std::vector<tcp::outgoing> answers;
    for (tcp::outgoing out; to.c->next_segment(out, wire.now);) { answers.push_back(out); }
    return answers;
}

}  // namespace tcp_test
