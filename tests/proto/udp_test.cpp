// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/udp.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<udp_view>);
static_assert(std::is_convertible_v<mutable_udp_view, udp_view> && !std::is_convertible_v<udp_view, mutable_udp_view>);

namespace {

constexpr ipv4_address source(192, 0, 2, 1);
constexpr ipv4_address destination(198, 51, 100, 7);

std::vector<std::byte> udp_sample() {
    return octets(0x9c, 0x40, 0, 7, 0, 11, 0xb2, 0xf1, 0x61, 0x62, 0x63);
}

result<mutable_udp_view> parse(std::vector<std::byte>& bytes) {
    return mutable_udp_view::parse(bytes, source, destination);
}

}  // namespace

TEST_CASE("a UDP datagram is read field by field") {
    auto bytes = udp_sample();
    bytes.push_back(std::byte{0xee});  // belongs to the IPv4 payload but not to the datagram
    const auto datagram = parse(bytes);
    REQUIRE(datagram.has_value());
    CHECK(datagram->source_port() == 40000);
    CHECK(datagram->destination_port() == 7);
    CHECK(datagram->length() == 11);
    CHECK(datagram->checksum() == 0xb2f1);
    CHECK(datagram->payload().size() == 3);
    CHECK(datagram->payload().data() == bytes.data() + 8);
    CHECK(datagram->bytes().size() == 11);
}

TEST_CASE("a UDP datagram is written octet by octet") {
    std::vector<std::byte> bytes(11, std::byte{0xee});
    auto datagram = udp_repr{40000, 7, 3}.emit(bytes);
    std::ranges::copy(octets(0x61, 0x62, 0x63), datagram.payload().begin());
    datagram.fill_checksum(source, destination);
    CHECK(bytes == udp_sample());
}

TEST_CASE("a UDP datagram is refused at every length that it does not fit in") {
    const auto bytes = udp_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(parse(prefix).error() == (size < 8 ? reason::udp_truncated : reason::udp_long_length));
    }
}

TEST_CASE("every length field of a UDP datagram is refused unless it fits") {
    for (std::uint32_t length = 0; length != 0x10000; ++length) {
        auto bytes = udp_sample();
        auto datagram = mutable_udp_view::unchecked(bytes);
        datagram.set_length(static_cast<std::uint16_t>(length));
        datagram.clear_checksum();
        const auto parsed = parse(bytes);
        REQUIRE(parsed.has_value() == (length >= 8 && length <= 11));
        if (!parsed) { REQUIRE(parsed.error() == (length < 8 ? reason::udp_short_length : reason::udp_long_length)); }
    }
}

TEST_CASE("every single wrong bit of a UDP datagram is noticed") {
    for (std::size_t bit = 0; bit != 88; ++bit) {
        auto bytes = udp_sample();
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK_FALSE(parse(bytes).has_value());
    }
    auto bytes = udp_sample();
    CHECK(mutable_udp_view::parse(bytes, source, source).error() == reason::udp_bad_checksum);
}

TEST_CASE("a UDP datagram without a checksum is taken as it is") {
    auto bytes = udp_sample();
    mutable_udp_view::unchecked(bytes).clear_checksum();
    bytes.back() = std::byte{0};
    CHECK(parse(bytes).has_value());
}

TEST_CASE("a UDP checksum that comes out as zero is sent as ffff") {
    std::vector<std::byte> bytes(10);
    auto datagram = udp_repr{40000, 7, 2}.emit(bytes);
    datagram.fill_checksum(source, destination);
    const std::uint16_t sum = datagram.checksum();
    store_be16(datagram.payload().data(), sum);  // now the sum is all ones
    datagram.fill_checksum(source, destination);
    CHECK(datagram.checksum() == 0xffff);
    CHECK(parse(bytes).has_value());
}

TEST_CASE("swapped ports keep the UDP checksum right") {
    auto bytes = udp_sample();
    auto datagram = mutable_udp_view::unchecked(bytes);
    datagram.swap_ports();
    CHECK(datagram.source_port() == 7);
    CHECK(datagram.destination_port() == 40000);
    CHECK(mutable_udp_view::parse(bytes, destination, source).has_value());
}

TEST_CASE("a UDP datagram over IPv6 is summed with the addresses of that version and must have a checksum") {
    // RFC 8200 section 8.1
    const auto from = ipv6_address::parse("2001:db8::1").value();
    const auto to = ipv6_address::parse("2001:db8::2").value();
    auto bytes = udp_sample();
    CHECK(mutable_udp_view::parse(bytes, from, to).error() == reason::udp_bad_checksum);
    auto datagram = mutable_udp_view::unchecked(bytes);
    datagram.fill_checksum(from, to);
    CHECK(mutable_udp_view::parse(bytes, from, to).has_value());
    CHECK(mutable_udp_view::parse(bytes, ip_address(from), ip_address(to)).has_value());
    auto pseudo = octets();
    for (const auto& address : {from, to}) {
        for (const std::uint8_t octet : address.octets()) { pseudo.push_back(std::byte{octet}); }
    }
    std::ranges::copy(octets(0, 0, 0, 11, 0, 0, 0, 17), std::back_inserter(pseudo));
    std::ranges::copy(bytes, std::back_inserter(pseudo));
    CHECK(internet_checksum::of(pseudo) == 0);
    datagram.clear_checksum();
    CHECK(mutable_udp_view::parse(bytes, from, to).error() == reason::udp_no_checksum);
    CHECK(mutable_udp_view::parse(bytes, ip_address(from), ip_address(to)).error() == reason::udp_no_checksum);
    CHECK(mutable_udp_view::parse(bytes, ip_address(source), ip_address(destination)).has_value());
}

TEST_CASE("a UDP checksum over IPv6 that comes out as zero is sent as ffff") {
    const auto address = ipv6_address::parse("2001:db8::1").value();
    std::vector<std::byte> bytes(10);
    auto datagram = udp_repr{40000, 7, 2}.emit(bytes);
    datagram.fill_checksum(address, address);
    store_be16(datagram.payload().data(), datagram.checksum());
    datagram.fill_checksum(address, address);
    CHECK(datagram.checksum() == 0xffff);
    CHECK(mutable_udp_view::parse(bytes, address, address).has_value());
}
