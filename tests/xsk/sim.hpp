// SPDX-License-Identifier: BSD-3-Clause
// What the tests of sockets over a fake kernel share: a builder without a program, packets to tell apart, and the census at
// the end.
#pragma once

#include "fluxnet/xsk/builder.hpp"
#include "tests/support/fake_kernel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fluxnet::test {

/// A small socket on the fake interface: copy mode and no program.
[[nodiscard]] inline builder sim_builder(fake_kernel& fake, std::uint32_t frames = 64, std::uint32_t ring = 64) {
    builder options("fake0");
    options.calls(fake).attach(false).mode(xdp_mode::native_copy).frames(frames);
    options.rx_ring(ring).tx_ring(ring).fill_ring(ring).completion_ring(ring);
    return options;
}

/// Bytes that depend on `seed`.
[[nodiscard]] inline std::vector<std::byte> payload(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) { bytes[i] = static_cast<std::byte>((i * 7 + seed * 13 + seed / 256) & 0xff); }
    return bytes;
}

[[nodiscard]] inline bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::ranges::equal(a, b);
}

[[nodiscard]] inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Checks that no frame is lost, and what users and the TX side still have.
inline void check_census(frame_pool& pool, std::int64_t user = 0, std::int64_t tx = 0) {
    const frame_census census = pool.census();
    CHECK(census.exact);
    CHECK(census.sum() == census.frames);
    CHECK(census.user == user);
    CHECK(census.tx + census.completion == tx);
    CHECK(census.free >= 0);
    CHECK(census.fill >= 0);
    CHECK(census.rx >= 0);
    if constexpr (fluxnet::detail::checked_build) {
        using fluxnet::detail::frame_state;
        CHECK(pool.checker().count(frame_state::user) == census.user);
        CHECK(pool.checker().count(frame_state::tx) == census.tx + census.completion);
        CHECK(pool.checker().count(frame_state::free) == census.free);
        CHECK(pool.checker().count(frame_state::fill) == census.fill + census.rx);
    }
}

/// Checks that every descriptor was closed and every ring unmapped.
inline void check_nothing_left(const fake_kernel& fake) {
    CHECK(fake.live_fds() == 0);
    CHECK(fake.live_mappings() == 0);
}

}  // namespace fluxnet::test
