// SPDX-License-Identifier: BSD-3-Clause
// `bare_pair`: a bare socket on each end of a simulated wire, for tests of what the kernel's side does at each call.
#pragma once

#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/xsk/bare_socket.hpp"

#include <doctest/doctest.h>

#include <cstdint>

namespace fluxnet::test {

inline constexpr int with_flags = XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP;
inline constexpr int without_flags = XDP_ZEROCOPY;

[[nodiscard]] inline wire_options zero_copy_wire() {
    wire_options options;
    options.zero_copy = true;
    return options;
}

/// A bare socket on each end; the left one sends from frame 0, the right one receives.
struct bare_pair {
    using end = simulated_wire::end;

    explicit bare_pair(int flags, const wire_options& options = zero_copy_wire()) : wire(options) {
        REQUIRE(left.make_all(memory));
        REQUIRE(left.bind(1, 0, flags) == 0);
        REQUIRE(right.make_all(memory));
        REQUIRE(right.bind(2, 0, flags) == 0);
    }

    void queue() { REQUIRE(left.tx.reserve(1).push({{0}, 60, 0})); }
    void give(unsigned frames) {
        auto slots = right.fill.reserve(frames);
        for (unsigned i = 0; i < frames; ++i) { REQUIRE(slots.push({(8 + next_frame++ % 8) * 2048ULL})); }
    }
    /// Sends one packet from the left, whatever its driver does.
    void send() {
        const std::uint64_t before = sent();
        queue();
        left.kick_tx();
        wire.advance_to(wire.now());
        REQUIRE(sent() == before + 1);
        wire.advance_to(wire.now());
        REQUIRE(left.comp.consume().next().value == 0);
    }
    [[nodiscard]] std::uint64_t sent() const { return wire.counts(end::left).offered; }
    [[nodiscard]] wire_counts counts() const { return wire.counts(end::left); }

    umem memory = small_umem();
    simulated_wire wire;
    bare_socket left{wire.side(end::left)};
    bare_socket right{wire.side(end::right)};
    std::uint64_t next_frame = 0;
};

}  // namespace fluxnet::test
