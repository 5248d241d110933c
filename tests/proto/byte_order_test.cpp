// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/byte_order.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>

using namespace fluxnet::proto;

static_assert(octet<std::byte> && octet<const std::byte> && !octet<unsigned char>);
static_assert(writable_octet<std::byte> && !writable_octet<const std::byte>);

namespace {

constexpr std::array<std::byte, 10> wire{std::byte{0xff}, std::byte{0x01}, std::byte{0x23}, std::byte{0x45},
                                         std::byte{0x67}, std::byte{0x89}, std::byte{0xab}, std::byte{0xcd},
                                         std::byte{0xef}, std::byte{0xff}};

template <class T>
constexpr auto stored(void (*store)(std::byte*, T), T value) {
    std::array<std::byte, sizeof(T)> bytes{};
    store(bytes.data(), value);
    return bytes;
}

}  // namespace

static_assert(load_be16(wire.data() + 1) == 0x0123);
static_assert(load_be32(wire.data() + 1) == 0x01234567);
static_assert(load_be64(wire.data() + 1) == 0x0123456789abcdef);
static_assert(stored<std::uint16_t>(store_be16, 0x0102) == std::array{std::byte{1}, std::byte{2}});
static_assert(stored<std::uint32_t>(store_be32, 0x01020304) ==
              std::array{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}});

TEST_CASE("numbers are read most significant octet first at any alignment") {
    CHECK(load_be16(wire.data() + 1) == 0x0123);
    CHECK(load_be32(wire.data() + 1) == 0x01234567);
    CHECK(load_be64(wire.data() + 1) == 0x0123456789abcdef);
    CHECK(load_be16(wire.data() + 8) == 0xefff);
    CHECK(load_be32(wire.data() + 6) == 0xabcdefff);
}

TEST_CASE("numbers are written where they are read and nowhere else") {
    for (std::size_t at = 1; at != 9; ++at) {
        std::array<std::byte, 18> bytes{};
        store_be16(bytes.data() + at, 0xfedc);
        CHECK(load_be16(bytes.data() + at) == 0xfedc);
        CHECK(bytes[at - 1] == std::byte{});
        CHECK(bytes[at + 2] == std::byte{});
        store_be32(bytes.data() + at, 0xfedcba98);
        CHECK(load_be32(bytes.data() + at) == 0xfedcba98);
        CHECK(bytes[at - 1] == std::byte{});
        CHECK(bytes[at + 4] == std::byte{});
        store_be64(bytes.data() + at, 0xfedcba9876543210);
        CHECK(load_be64(bytes.data() + at) == 0xfedcba9876543210);
        CHECK(bytes[at] == std::byte{0xfe});
        CHECK(bytes[at - 1] == std::byte{});
        CHECK(bytes[at + 8] == std::byte{});
    }
}
