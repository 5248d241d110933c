// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/checksum.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

namespace {

/// The definition, a word at a time.
std::uint16_t plain_checksum(std::span<const std::byte> bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        sum += std::to_integer<std::uint32_t>(bytes[i]) << 8;
        if (i + 1 < bytes.size()) { sum += std::to_integer<std::uint32_t>(bytes[i + 1]); }
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

std::vector<std::byte> random_bytes(std::mt19937& random, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) { byte = static_cast<std::byte>(random() & 0xff); }
    return bytes;
}

}  // namespace

TEST_CASE("the example of RFC 1071 has the sum that the RFC gives") {
    CHECK(internet_checksum::of(octets(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)) == 0x220d);
}

TEST_CASE("an IPv4 header has the checksum that it was sent with") {
    auto header = octets(0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7);
    CHECK(internet_checksum::of(header) == 0);
    store_be16(header.data() + 10, 0);
    CHECK(internet_checksum::of(header) == 0xb861);
}

TEST_CASE("the checksum of nothing and of zeros is ffff") {
    CHECK(internet_checksum::of({}) == 0xffff);
    CHECK(internet_checksum::of(std::vector<std::byte>(33)) == 0xffff);
}

TEST_CASE("the checksum of every length agrees with the definition") {
    std::mt19937 random(1);
    for (std::size_t size = 0; size != 300; ++size) {
        CAPTURE(size);
        const auto bytes = random_bytes(random, size);
        CHECK(internet_checksum::of(bytes) == plain_checksum(bytes));
        const std::vector<std::byte> ones(size, std::byte{0xff});
        CHECK(internet_checksum::of(ones) == plain_checksum(ones));
    }
    const auto jumbo = random_bytes(random, 70001);
    CHECK(internet_checksum::of(jumbo) == plain_checksum(jumbo));
}

TEST_CASE("pieces of odd length sum up like the whole") {
    std::mt19937 random(2);
    for (int round = 0; round != 2000; ++round) {
        const auto bytes = random_bytes(random, random() % 200);
        internet_checksum sum;
        for (std::span<const std::byte> rest = bytes; !rest.empty();) {
            const std::size_t size = std::min<std::size_t>(rest.size(), random() % 9);
            sum.add(rest.first(size));
            rest = rest.subspan(size);
        }
        REQUIRE(sum.finish() == plain_checksum(bytes));
    }
}

TEST_CASE("the pseudo header sums up like the octets that it stands for") {
    const auto pseudo = octets(10, 0, 0, 1, 192, 0, 2, 255, 0, 17, 0x05, 0xc8, 1, 2, 3);
    internet_checksum sum;
    sum.add_pseudo_header(ipv4_address(10, 0, 0, 1), ipv4_address(192, 0, 2, 255), 17, 0x05c8).add(octets(1, 2, 3));
    CHECK(sum.finish() == plain_checksum(pseudo));
}

TEST_CASE("the pseudo header of IPv6 sums up like the octets that it stands for") {
    const auto source = ipv6_address::parse("2001:db8::ff00:42:8329").value();
    const auto destination = ipv6_address::parse("fe80::1").value();
    std::vector<std::byte> pseudo(32);
    source.store(pseudo.data());
    destination.store(pseudo.data() + 16);
    for (const std::byte byte : octets(0, 1, 0x05, 0xc8, 0, 0, 0, 58, 1, 2, 3)) { pseudo.push_back(byte); }
    internet_checksum sum;
    sum.add_pseudo_header(source, destination, 58, 0x105c8).add(octets(1, 2, 3));
    CHECK(sum.finish() == plain_checksum(pseudo));
}

TEST_CASE("the pseudo header of an address of either version is that of its version") {
    const ipv4_address v4(192, 0, 2, 1);
    const auto v6 = ipv6_address::parse("2001:db8::1").value();
    CHECK(internet_checksum().add_pseudo_header(ip_address(v4), ip_address(v4), 6, 20).finish() ==
          internet_checksum().add_pseudo_header(v4, v4, 6, 20).finish());
    CHECK(internet_checksum().add_pseudo_header(ip_address(v6), ip_address(v6), 6, 20).finish() ==
          internet_checksum().add_pseudo_header(v6, v6, 6, 20).finish());
}

TEST_CASE("the example of RFC 1624 is updated to zero and not to ffff") {
    CHECK(checksum_update16(0xdd2f, 0x5555, 0x3285) == 0x0000);
}

TEST_CASE("an updated checksum is the one of a full sum") {
    std::mt19937 random(3);
    for (int round = 0; round != 20000; ++round) {
        auto bytes = random_bytes(random, 8 + random() % 60);
        bytes.front() |= std::byte{0x40};  // a header is never all zeros
        if (round % 4 == 0) { std::fill(bytes.begin() + 1, bytes.end(), std::byte{0x00}); }
        if (round % 4 == 1) { std::fill(bytes.begin() + 1, bytes.end(), std::byte{0xff}); }
        const std::array values{std::uint32_t{0}, std::uint32_t{0xffffffff}, static_cast<std::uint32_t>(random())};
        const std::uint32_t value = values[random() % values.size()];
        const auto half = static_cast<std::uint16_t>(value & 0xffff);
        std::byte* const field = bytes.data() + 2 + 2 * (random() % ((bytes.size() - 4) / 2));

        std::uint16_t before = internet_checksum::of(bytes);
        const std::uint16_t after16 = checksum_update16(before, load_be16(field), half);
        store_be16(field, half);
        REQUIRE(after16 == internet_checksum::of(bytes));

        before = internet_checksum::of(bytes);
        const std::uint16_t after32 = checksum_update32(before, load_be32(field), ~value);
        store_be32(field, ~value);
        REQUIRE(after32 == internet_checksum::of(bytes));
    }
}

TEST_CASE("an update cannot tell the two zeros apart when nothing but zeros is left") {
    CHECK(checksum_update16(0xf7ff, 0x0800, 0x0000) == 0x0000);
    CHECK(internet_checksum::of(octets(0, 0, 0, 0)) == 0xffff);
}
