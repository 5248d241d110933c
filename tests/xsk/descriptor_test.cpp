// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/descriptor.hpp"

#include <doctest/doctest.h>

#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include <linux/if_xdp.h>

static_assert(std::is_trivially_copyable_v<fluxnet::frame_addr> && std::totally_ordered<fluxnet::frame_addr>);
static_assert(std::is_trivially_copyable_v<fluxnet::frame_index> && std::totally_ordered<fluxnet::frame_index>);
static_assert(!std::is_convertible_v<fluxnet::frame_addr, fluxnet::frame_index>);
static_assert(!std::is_convertible_v<fluxnet::frame_index, fluxnet::frame_addr>);
static_assert(!std::is_convertible_v<std::uint64_t, fluxnet::frame_addr>);
static_assert(!std::is_convertible_v<std::uint32_t, fluxnet::frame_index>);
static_assert(!std::equality_comparable_with<fluxnet::frame_addr, fluxnet::frame_index>);

static_assert(std::is_trivially_copyable_v<fluxnet::xdp_desc> && std::is_standard_layout_v<fluxnet::xdp_desc>);
static_assert(sizeof(fluxnet::xdp_desc) == sizeof(::xdp_desc) && alignof(fluxnet::xdp_desc) == alignof(::xdp_desc));
static_assert(offsetof(fluxnet::xdp_desc, addr) == offsetof(::xdp_desc, addr));
static_assert(offsetof(fluxnet::xdp_desc, len) == offsetof(::xdp_desc, len));
static_assert(offsetof(fluxnet::xdp_desc, options) == offsetof(::xdp_desc, options));

TEST_CASE("a descriptor reads the same on the side of the kernel") {
    const fluxnet::xdp_desc ours{{0x1122'3344'5566'7788U}, 1514, 1};
    ::xdp_desc theirs{};
    std::memcpy(&theirs, &ours, sizeof theirs);
    CHECK(theirs.addr == 0x1122'3344'5566'7788U);
    CHECK(theirs.len == 1514);
    CHECK(theirs.options == 1);
}

TEST_CASE("descriptors and addresses start at zero") {
    const fluxnet::xdp_desc empty;
    CHECK(empty.addr.value == 0);
    CHECK(empty.len == 0);
    CHECK(empty.options == 0);
    CHECK(fluxnet::frame_addr{4096} > fluxnet::frame_addr{2048});
    CHECK(fluxnet::frame_index{3} == fluxnet::frame_index{3});
}
