// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/arp.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<arp_view>);
static_assert(std::is_convertible_v<mutable_arp_view, arp_view> && !std::is_convertible_v<arp_view, mutable_arp_view>);

namespace {

std::vector<std::byte> arp_sample() {
    return octets(0, 1, 0x08, 0, 6, 4, 0, 1, 0x02, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1);
}

const arp_repr sample_repr{arp_operation::request, mac_address({0x02, 0, 0, 0, 0, 2}), ipv4_address(10, 0, 0, 2),
                           mac_address(), ipv4_address(10, 0, 0, 1)};

reason refusal(std::size_t at, unsigned value) {
    auto bytes = arp_sample();
    bytes[at] = static_cast<std::byte>(value);
    return mutable_arp_view::parse(bytes).error();
}

}  // namespace

TEST_CASE("an ARP packet is read field by field") {
    auto bytes = arp_sample();
    bytes.resize(46);  // as padding makes it
    const auto packet = arp_view::parse(std::span<const std::byte>(bytes));
    REQUIRE(packet.has_value());
    CHECK(packet->operation() == arp_operation::request);
    CHECK(packet->sender_hardware() == sample_repr.sender_hardware);
    CHECK(packet->sender_protocol() == sample_repr.sender_protocol);
    CHECK(packet->target_hardware() == sample_repr.target_hardware);
    CHECK(packet->target_protocol() == sample_repr.target_protocol);
    CHECK(packet->bytes().size() == arp_packet_length);
}

TEST_CASE("an ARP packet is written octet by octet") {
    std::vector<std::byte> bytes(arp_packet_length, std::byte{0xee});
    sample_repr.emit(bytes);
    CHECK(bytes == arp_sample());
}

TEST_CASE("an ARP packet of fewer than 28 octets is truncated") {
    const auto bytes = arp_sample();
    for (std::size_t size = 0; size != arp_packet_length; ++size) {
        const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(arp_view::parse(std::span<const std::byte>(prefix)).error() == reason::arp_truncated);
    }
}

TEST_CASE("an ARP packet of other spaces or lengths is refused by the field that is wrong") {
    for (const unsigned value : {0U, 2U, 255U}) {
        CHECK(refusal(1, value) == reason::arp_hardware_type);
        CHECK(refusal(2, value) == reason::arp_protocol_type);
        CHECK(refusal(4, value) == reason::arp_hardware_length);
        CHECK(refusal(5, value) == reason::arp_protocol_length);
    }
    CHECK(refusal(0, 1) == reason::arp_hardware_type);
    CHECK(refusal(3, 1) == reason::arp_protocol_type);
}

TEST_CASE("an ARP packet is a request or a reply and nothing else") {
    for (std::uint32_t operation = 0; operation != 0x10000; ++operation) {
        auto bytes = arp_sample();
        mutable_arp_view::unchecked(bytes).set_operation(arp_operation{static_cast<std::uint16_t>(operation)});
        const auto packet = mutable_arp_view::parse(bytes);
        REQUIRE(packet.has_value() == (operation == 1 || operation == 2));
        if (!packet) { REQUIRE(packet.error() == reason::arp_unknown_operation); }
    }
}
