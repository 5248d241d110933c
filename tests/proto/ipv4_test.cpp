// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ipv4.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<ipv4_view>);
static_assert(std::is_convertible_v<mutable_ipv4_view, ipv4_view> && !std::is_convertible_v<ipv4_view, mutable_ipv4_view>);

namespace {

/// A header seen in the wild, with three octets of payload and two of padding.
std::vector<std::byte> ipv4_sample() {
    auto bytes = octets(0x45, 0x10, 0, 0x17, 0x12, 0x34, 0x40, 0, 0x40, 0x11, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199, 1, 2,
                        3, 0xee, 0xee);
    mutable_ipv4_view::unchecked(bytes).fill_checksum();
    return bytes;
}

/// A header with room for options of the given octets, which are filled up with end-of-list.
std::vector<std::byte> with_options(std::vector<std::byte> options) {
    options.resize((options.size() + 3) / 4 * 4);
    std::vector<std::byte> bytes(ipv4_header_length + options.size() + 1);
    auto packet = ipv4_repr{ipv4_address(10, 0, 0, 1), ipv4_address(10, 0, 0, 2)}.emit(bytes);
    std::ranges::copy(options, bytes.begin() + ipv4_header_length);
    packet = mutable_ipv4_view::unchecked(bytes);
    packet.set_header_length(ipv4_header_length + options.size());
    packet.set_total_length(static_cast<std::uint16_t>(bytes.size()));
    packet.fill_checksum();
    return bytes;
}

template <class Change>
reason refusal(Change change) {
    auto bytes = ipv4_sample();
    auto packet = mutable_ipv4_view::unchecked(bytes);
    change(packet);
    packet.fill_checksum();
    return ipv4_view::parse(std::span<const std::byte>(bytes)).error();
}

}  // namespace

TEST_CASE("an IPv4 datagram is read field by field") {
    const auto bytes = ipv4_sample();
    const auto packet = ipv4_view::parse(std::span<const std::byte>(bytes));
    REQUIRE(packet.has_value());
    CHECK(packet->version() == 4);
    CHECK(packet->header_length() == 20);
    CHECK(packet->type_of_service() == 0x10);
    CHECK(packet->total_length() == 23);
    CHECK(packet->identification() == 0x1234);
    CHECK(packet->dont_fragment());
    CHECK_FALSE(packet->more_fragments());
    CHECK(packet->fragment_offset() == 0);
    CHECK_FALSE(packet->is_fragment());
    CHECK(packet->time_to_live() == 64);
    CHECK(packet->protocol() == ip_protocol::udp);
    CHECK(packet->checksum() == 0xa679);
    CHECK(packet->source() == ipv4_address(192, 168, 0, 1));
    CHECK(packet->destination() == ipv4_address(192, 168, 0, 199));
    CHECK_FALSE(packet->options().next());
    CHECK(packet->payload().size() == 3);
    CHECK(packet->payload().data() == bytes.data() + 20);
    CHECK(packet->bytes().size() == 23);
}

TEST_CASE("an IPv4 header is written octet by octet") {
    std::vector<std::byte> bytes(0x73, std::byte{0xee});
    const auto packet =
        ipv4_repr{ipv4_address(192, 168, 0, 1), ipv4_address(192, 168, 0, 199), ip_protocol::udp, 0x73 - 20}.emit(bytes);
    const auto expected = octets(0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 192, 168, 0, 1, 192, 168, 0, 199);
    CHECK(std::ranges::equal(std::span(bytes).first(20), expected));
    CHECK(packet.payload().size() == 0x73 - 20);
    CHECK(bytes[20] == std::byte{0xee});
}

TEST_CASE("an IPv4 datagram is refused at every length that it does not fit in") {
    const auto bytes = ipv4_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        CAPTURE(size);
        const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        const auto packet = ipv4_view::parse(std::span<const std::byte>(prefix));
        REQUIRE(packet.has_value() == (size >= 23));
        if (size < 23) { CHECK(packet.error() == (size < 20 ? reason::ipv4_truncated : reason::ipv4_long_total_length)); }
    }
}

TEST_CASE("impossible lengths and versions of IPv4 are refused") {
    for (unsigned version = 0; version != 16; ++version) {
        if (version == 4) { continue; }
        CHECK(refusal([&](auto packet) { packet.bytes()[0] = static_cast<std::byte>(version << 4 | 5); }) ==
              reason::ipv4_bad_version);
    }
    for (unsigned words = 0; words != 5; ++words) {
        CHECK(refusal([&](auto packet) { packet.bytes()[0] = static_cast<std::byte>(0x40 | words); }) ==
              reason::ipv4_bad_header_length);
    }
    for (unsigned words = 7; words != 16; ++words) {
        auto bytes = ipv4_sample();
        bytes[0] = static_cast<std::byte>(0x40 | words);
        CHECK(mutable_ipv4_view::parse(bytes).error() == reason::ipv4_bad_header_length);
    }
    for (const std::uint16_t length : std::array<std::uint16_t, 3>{0, 1, 19}) {
        CHECK(refusal([&](auto packet) { packet.set_total_length(length); }) == reason::ipv4_short_total_length);
    }
    for (const std::uint16_t length : std::array<std::uint16_t, 3>{26, 1500, 65535}) {
        CHECK(refusal([&](auto packet) { packet.set_total_length(length); }) == reason::ipv4_long_total_length);
    }
}

TEST_CASE("every single wrong bit of an IPv4 header is noticed") {
    for (std::size_t bit = 0; bit != 160; ++bit) {
        auto bytes = ipv4_sample();
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK_FALSE(mutable_ipv4_view::parse(bytes).has_value());
    }
}

TEST_CASE("the options of an IPv4 header are walked one by one") {
    auto bytes = with_options(octets(1, 7, 4, 9, 9, 1, 1, 148, 2, 131, 3, 4, 0, 7, 200));
    const auto packet = mutable_ipv4_view::parse(bytes);
    REQUIRE(packet.has_value());
    CHECK(packet->header_length() == 36);
    CHECK(packet->payload().size() == 1);
    auto options = packet->options();
    const auto route = options.next();
    REQUIRE(route);
    CHECK(route->kind == ipv4_option::record_route);
    CHECK(std::ranges::equal(route->data, octets(9, 9)));
    const auto alert = options.next();
    REQUIRE(alert);
    CHECK(alert->kind == 148);
    CHECK(alert->data.empty());
    const auto source_route = options.next();
    REQUIRE(source_route);
    CHECK(source_route->kind == ipv4_option::loose_source_route);
    CHECK_FALSE(options.next());  // what follows the end of the list is no option
    CHECK_FALSE(options.next());
    CHECK_FALSE(options.malformed());
}

TEST_CASE("options that do not fit are refused") {
    for (const auto& options : {octets(7, 0, 0, 0), octets(7, 1, 0, 0), octets(7, 5, 0, 0), octets(7, 255, 0, 0),
                                octets(1, 1, 1, 7), octets(7, 4, 0, 0, 7, 5, 1, 1)}) {
        auto bytes = with_options(options);
        CHECK(mutable_ipv4_view::parse(bytes).error() == reason::ipv4_bad_options);
    }
    std::vector<std::byte> longest(40, std::byte{1});
    auto bytes = with_options(longest);
    CHECK(mutable_ipv4_view::parse(bytes).has_value());
}

TEST_CASE("the fragment field of an IPv4 header is read in octets") {
    auto bytes = ipv4_sample();
    auto packet = mutable_ipv4_view::unchecked(bytes);
    packet.set_fragment(false, true, 1480);
    CHECK_FALSE(packet.dont_fragment());
    CHECK(packet.more_fragments());
    CHECK(packet.fragment_offset() == 1480);
    CHECK(packet.is_fragment());
    packet.set_fragment(false, false, 65528);
    CHECK(packet.fragment_offset() == 65528);
    CHECK(packet.is_fragment());
    packet.set_fragment(true, false, 0);
    CHECK_FALSE(packet.is_fragment());
    packet.set_identification(0xbeef);
    packet.set_type_of_service(0xb8);
    packet.fill_checksum();
    CHECK(packet.identification() == 0xbeef);
    CHECK(packet.type_of_service() == 0xb8);
    CHECK(mutable_ipv4_view::parse(bytes).has_value());
}

TEST_CASE("swapped addresses and an updated time to live keep the IPv4 checksum right") {
    for (unsigned before = 0; before != 256; ++before) {
        auto bytes = ipv4_sample();
        auto packet = mutable_ipv4_view::unchecked(bytes);
        packet.set_time_to_live(static_cast<std::uint8_t>(before));
        packet.fill_checksum();
        packet.swap_addresses();
        packet.update_time_to_live(64);
        CHECK(packet.source() == ipv4_address(192, 168, 0, 199));
        CHECK(packet.destination() == ipv4_address(192, 168, 0, 1));
        const std::uint16_t updated = packet.checksum();
        packet.fill_checksum();
        REQUIRE(updated == packet.checksum());
    }
}
