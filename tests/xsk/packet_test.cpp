// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/packet.hpp"

#include "fluxnet/xsk/memory/umem.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;

static_assert(!std::is_copy_constructible_v<packet> && !std::is_copy_assignable_v<packet>);
static_assert(std::is_nothrow_move_constructible_v<packet> && std::is_nothrow_move_assignable_v<packet>);
static_assert(std::is_nothrow_default_constructible_v<packet> && std::is_nothrow_destructible_v<packet>);
static_assert(sizeof(packet) <= 32);

namespace {

struct packet_fixture {
    explicit packet_fixture(std::uint32_t frame_size = 2048) {
        umem_config config;
        config.frame_count = 4;
        config.frame_size = frame_size;
        memory = umem::create(config).value();
        home = memory.pool().make_home(4);
        home->adopt();
    }
    ~packet_fixture() { home->release(); }

    packet make(std::uint32_t headroom = 256, std::uint32_t size = 0) {
        const frame_index frame = *home->take();
        return packet::from_raw(*home, {home->addr_of(home->at(frame) + headroom), size, 0});
    }

    std::int64_t held() { return memory.pool().census().user; }

    umem memory;
    frame_home* home = nullptr;
};

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) { bytes[i] = static_cast<std::byte>((i * 31 + seed) & 0xff); }
    return bytes;
}

bool holds(const packet& one, const std::vector<std::byte>& bytes) {
    return std::ranges::equal(one.data(), bytes);
}

}  // namespace

TEST_CASE("an empty handle has no frame and no bytes") {
    packet none;
    CHECK_FALSE(none);
    CHECK(none.empty());
    CHECK(none.size() == 0);
    CHECK(none.headroom() == 0);
    CHECK(none.capacity() == 0);
    CHECK(none.data().empty());
    CHECK(none.home() == nullptr);
    CHECK_FALSE(none.set_len(1));
    CHECK_FALSE(none.assign(pattern(1, 0)));
    CHECK_FALSE(none.adjust_head(-1));
    CHECK_FALSE(none.adjust_head(1));
    none.reset();
    packet other = std::move(none);
    CHECK_FALSE(other);
}

TEST_CASE("a dropped packet returns its frame to the home") {
    packet_fixture f;
    {
        const packet one = f.make();
        CHECK(one);
        CHECK(one.home() == f.home);
        CHECK(f.held() == 1);
    }
    CHECK(f.held() == 0);
    packet two = f.make();
    two.reset();
    CHECK_FALSE(two);
    two.reset();
    CHECK(f.held() == 0);
}

TEST_CASE("a moved packet leaves an empty handle behind") {
    packet_fixture f;
    packet first = f.make();
    REQUIRE(first.assign(pattern(60, 1)));
    packet second = std::move(first);
    CHECK_FALSE(first);
    CHECK(first.size() == 0);
    CHECK(first.data().empty());
    CHECK(first.headroom() == 0);
    CHECK_FALSE(first.adjust_head(-4));
    CHECK_FALSE(first.adjust_head(4));
    CHECK(holds(second, pattern(60, 1)));
    CHECK(f.held() == 1);

    packet third = f.make();
    CHECK(f.held() == 2);
    third = std::move(second);
    CHECK(f.held() == 1);
    CHECK(holds(third, pattern(60, 1)));
    third = packet();
    CHECK(f.held() == 0);
}

TEST_CASE("a packet moved to itself stays") {
    packet_fixture f;
    packet one = f.make();
    REQUIRE(one.assign(pattern(64, 2)));
    packet& same = one;
    one = std::move(same);
    CHECK(one);
    CHECK(holds(one, pattern(64, 2)));
    CHECK(f.held() == 1);
    std::swap(one, same);
    CHECK(holds(one, pattern(64, 2)));
}

TEST_CASE("the head moves within the frame and the packet") {
    for (const std::uint32_t size : {2048U, 4096U}) {
        packet_fixture f(size);
        packet one = f.make(256);
        REQUIRE(one.assign(pattern(100, 3)));
        const std::byte* start = one.data().data();

        CHECK(one.adjust_head(-256));
        CHECK(one.headroom() == 0);
        CHECK(one.size() == 356);
        CHECK(one.capacity() == size);
        CHECK(one.data().data() == start - 256);
        CHECK_FALSE(one.adjust_head(-1));
        CHECK_FALSE(one.adjust_head(std::numeric_limits<std::int32_t>::min()));
        CHECK_FALSE(one.adjust_head(357));
        CHECK_FALSE(one.adjust_head(std::numeric_limits<std::int32_t>::max()));
        CHECK(one.size() == 356);
        CHECK(one.headroom() == 0);
        CHECK(one.adjust_head(356));
        CHECK(one.empty());
        CHECK(one.headroom() == 356);
        CHECK_FALSE(one.adjust_head(1));
        CHECK(one.adjust_head(-100));
        CHECK(holds(one, pattern(100, 3)));
        CHECK(one.adjust_head(0));
        one.reset();
        CHECK(f.held() == 0);
    }
}

TEST_CASE("a packet returns its own frame wherever its head stands") {
    packet_fixture f;
    packet one = f.make(0);
    REQUIRE(one.set_len(2048));
    REQUIRE(one.adjust_head(2047));
    CHECK_FALSE(one.adjust_head(1));  // the first byte behind the frame is another frame's
    CHECK(one.size() == 1);
    CHECK(one.capacity() == 1);
    one.reset();
    CHECK(f.held() == 0);
}

TEST_CASE("the length is bounded by the end of the frame") {
    packet_fixture f;
    packet one = f.make(256);
    CHECK(one.capacity() == 2048 - 256);
    CHECK(one.set_len(one.capacity()));
    CHECK_FALSE(one.set_len(one.capacity() + 1));
    CHECK_FALSE(one.set_len(std::numeric_limits<std::size_t>::max()));
    CHECK_FALSE(one.set_len(std::size_t{1} << 32));
    CHECK(one.size() == 2048 - 256);
    CHECK(one.set_len(0));
    CHECK(one.empty());
    CHECK(one);
}

TEST_CASE("assigning replaces the bytes or changes nothing") {
    packet_fixture f;
    packet one = f.make(256);
    REQUIRE(one.assign(pattern(1792, 4)));
    CHECK(holds(one, pattern(1792, 4)));
    CHECK_FALSE(one.assign(pattern(1793, 5)));
    CHECK(holds(one, pattern(1792, 4)));
    CHECK(one.assign(pattern(14, 6)));
    CHECK(holds(one, pattern(14, 6)));
    CHECK(one.assign({}));
    CHECK(one.empty());
}

TEST_CASE("bytes gained by growing keep what the frame held") {
    packet_fixture f;
    packet one = f.make();
    REQUIRE(one.assign(pattern(200, 7)));
    REQUIRE(one.set_len(50));
    REQUIRE(one.set_len(200));
    CHECK(holds(one, pattern(200, 7)));
}

TEST_CASE("a packet becomes a descriptor and a packet again") {
    packet_fixture f;
    packet one = f.make(256);
    REQUIRE(one.assign(pattern(77, 8)));
    REQUIRE(one.adjust_head(7));
    const fluxnet::xdp_desc desc = std::move(one).into_raw();
    CHECK_FALSE(one);
    CHECK(desc.len == 70);
    CHECK((desc.addr.value & 2047) == 263);
    CHECK(desc.options == 0);
    CHECK(f.held() == 1);
    {
        const packet again = packet::from_raw(*f.home, desc);
        CHECK(again.size() == 70);
        CHECK(again.headroom() == 263);
        CHECK(again.data()[0] == pattern(77, 8)[7]);
    }
    CHECK(f.held() == 0);
}

TEST_CASE("an exception returns the frames of the packets that it passes") {
    packet_fixture f;
    try {
        const packet one = f.make();
        std::vector<packet> more;
        more.push_back(f.make());
        more.push_back(f.make());
        CHECK(f.held() == 3);
        throw std::runtime_error("dropped");
    } catch (const std::runtime_error&) {}
    CHECK(f.held() == 0);
}

TEST_CASE("a packet dropped on another thread finds its way home") {
    packet_fixture f;
    std::array<packet, 3> some{f.make(), f.make(), f.make()};
    std::thread([held = std::move(some)]() mutable { held[1].reset(); }).join();
    CHECK(f.held() == 0);
    CHECK(f.home->free_count() == 4);
}

TEST_CASE("several threads may read one packet") {
    packet_fixture f;
    packet one = f.make();
    REQUIRE(one.assign(pattern(500, 9)));
    const packet& shared = one;
    std::array<bool, 4> same{};
    {
        std::vector<std::jthread> readers;
        for (bool& result : same) {
            readers.emplace_back(
                [&shared, &result] { result = shared && shared.size() == 500 && holds(shared, pattern(500, 9)); });
        }
    }
    CHECK(std::ranges::all_of(same, [](bool value) { return value; }));
}
