// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ethernet.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<ethernet_view> && sizeof(ethernet_view) == sizeof(std::span<std::byte>));
static_assert(std::is_convertible_v<mutable_ethernet_view, ethernet_view>);
static_assert(!std::is_convertible_v<ethernet_view, mutable_ethernet_view>);

namespace {

const mac_address first({0x02, 0, 0, 0, 0, 1});
const mac_address second({0x02, 0, 0, 0, 0, 2});

std::vector<std::byte> ethernet_sample() {
    return octets(0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x06, 0xaa, 0xbb);
}

reason refusal(std::span<const std::byte> bytes) {
    return ethernet_view::parse(bytes).error();
}

}  // namespace

TEST_CASE("an Ethernet frame is read field by field") {
    const auto bytes = ethernet_sample();
    const auto frame = ethernet_view::parse(std::span<const std::byte>(bytes));
    REQUIRE(frame.has_value());
    CHECK(frame->destination() == first);
    CHECK(frame->source() == second);
    CHECK(frame->type() == ethertype::arp);
    CHECK(frame->payload().size() == 2);
    CHECK(frame->payload().data() == bytes.data() + 14);
    CHECK(frame->bytes().size() == 16);
}

TEST_CASE("an Ethernet header is written octet by octet") {
    std::vector<std::byte> bytes(16, std::byte{0xee});
    const ethernet_view frame = ethernet_repr{first, second, ethertype::arp}.emit(bytes);
    auto expected = ethernet_sample();
    expected[14] = expected[15] = std::byte{0xee};
    CHECK(bytes == expected);
    CHECK(frame.type() == ethertype::arp);
}

TEST_CASE("an Ethernet frame of fewer than 14 octets is truncated") {
    const auto bytes = ethernet_sample();
    for (std::size_t size = 0; size != 14; ++size) {
        const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(refusal(prefix) == reason::ethernet_truncated);
    }
    const std::vector<std::byte> header(bytes.begin(), bytes.begin() + 14);
    const auto frame = ethernet_view::parse(std::span<const std::byte>(header));
    REQUIRE(frame.has_value());
    CHECK(frame->payload().empty());
}

TEST_CASE("the type of an Ethernet frame begins at 0600") {
    auto bytes = ethernet_sample();
    auto frame = mutable_ethernet_view::unchecked(bytes);
    for (const unsigned length : {0x0000U, 0x002eU, 0x05dcU, 0x05ffU}) {
        frame.set_type(ethertype{static_cast<std::uint16_t>(length)});
        CHECK(refusal(bytes) == reason::ethernet_length_field);
    }
    for (const unsigned type : {0x0600U, 0x0800U, 0x8100U, 0xffffU}) {
        frame.set_type(ethertype{static_cast<std::uint16_t>(type)});
        CHECK(ethernet_view::parse(std::span<const std::byte>(bytes)).has_value());
    }
}

TEST_CASE("an Ethernet frame comes from a station") {
    auto bytes = ethernet_sample();
    auto frame = mutable_ethernet_view::unchecked(bytes);
    frame.set_source(mac_address({0x03, 0, 0, 0, 0, 2}));
    CHECK(refusal(bytes) == reason::ethernet_multicast_source);
    frame.set_source(mac_address::broadcast());
    CHECK(refusal(bytes) == reason::ethernet_multicast_source);
    frame.set_source(mac_address());
    CHECK(refusal(bytes) == reason::ethernet_zero_source);
    frame.set_source(first);
    frame.set_destination(mac_address::broadcast());
    CHECK(mutable_ethernet_view::parse(bytes).has_value());
}
