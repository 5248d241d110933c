// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/rings_state.hpp"

#include <doctest/doctest.h>

#include <type_traits>

using namespace fluxnet;

static_assert(std::is_trivially_copyable_v<raw_rings_state>);

TEST_CASE("the state of a ring is what its indices say across the end of the index") {
    std::uint32_t producer = 3;
    std::uint32_t consumer = 0xffff'fffeU;
    std::uint32_t flags = 0;
    ring_memory<frame_addr> memory{&producer, &consumer, &flags, nullptr, 8};
    ring_state state = ring_state::of(memory);
    CHECK(state.size == 8);
    CHECK(state.producer == 3);
    CHECK(state.consumer == 0xffff'fffeU);
    CHECK(state.waiting == 5);
    CHECK(state.free == 3);
    CHECK_FALSE(state.needs_wakeup);
    CHECK_FALSE(state.corrupt);

    flags = 1;
    producer = 6;
    state = ring_state::of(memory);
    CHECK(state.waiting == 8);
    CHECK(state.free == 0);
    CHECK(state.needs_wakeup);
    CHECK_FALSE(state.corrupt);
}

TEST_CASE("a ring with more entries than slots is corrupt and has no room") {
    std::uint32_t producer = 9;
    std::uint32_t consumer = 0;
    std::uint32_t flags = 0;
    const ring_state state = ring_state::of(ring_memory<fluxnet::xdp_desc>{&producer, &consumer, &flags, nullptr, 8});
    CHECK(state.corrupt);
    CHECK(state.waiting == 9);
    CHECK(state.free == 0);
}

TEST_CASE("the text names each ring with its numbers and only those flags that are set") {
    raw_rings_state rings;
    rings.rx = {64, 10, 8, 2, 62, false, false};
    rings.fill = {64, 40, 10, 30, 34, true, false};
    rings.tx = {32, 0, 0, 0, 32, false, false};
    rings.comp = {32, 40, 4, 36, 0, false, true};
    CHECK(to_string(rings) ==
          "rx: size 64 producer 10 consumer 8 waiting 2 free 62\n"
          "fill: size 64 producer 40 consumer 10 waiting 30 free 34 needs_wakeup\n"
          "tx: size 32 producer 0 consumer 0 waiting 0 free 32\n"
          "comp: size 32 producer 40 consumer 4 waiting 36 free 0 corrupt\n");
}
