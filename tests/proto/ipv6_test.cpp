// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ipv6.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<ipv6_view>);
static_assert(std::is_convertible_v<mutable_ipv6_view, ipv6_view> && !std::is_convertible_v<ipv6_view, mutable_ipv6_view>);

namespace {

const ipv6_address ipv6_source = ipv6_address::parse("2001:db8::1").value();
const ipv6_address ipv6_destination = ipv6_address::parse("2001:db8::ff:2").value();

std::vector<std::byte> ipv6_sample() {
    return octets(0x6b, 0x91, 0x23, 0x45, 0, 3, 17, 64,                     //
                  0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,  //
                  0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 2, 0x61, 0x62, 0x63);
}

}  // namespace

TEST_CASE("an IPv6 packet is read field by field") {
    auto bytes = ipv6_sample();
    bytes.push_back(std::byte{0xee});  // padding of the frame
    const auto packet = mutable_ipv6_view::parse(bytes);
    REQUIRE(packet.has_value());
    CHECK(packet->version() == 6);
    CHECK(packet->traffic_class() == 0xb9);
    CHECK(packet->flow_label() == 0x12345);
    CHECK(packet->payload_length() == 3);
    CHECK(packet->next_header() == ip_protocol::udp);
    CHECK(packet->hop_limit() == 64);
    CHECK(packet->source() == ipv6_source);
    CHECK(packet->destination() == ipv6_destination);
    CHECK(packet->payload().data() == bytes.data() + 40);
    CHECK(packet->payload().size() == 3);
    CHECK(packet->bytes().size() == 43);
}

TEST_CASE("an IPv6 header is written octet by octet") {
    std::vector<std::byte> bytes(43, std::byte{0xee});
    const auto packet = ipv6_repr{ipv6_source, ipv6_destination, ip_protocol::udp, 3, 64, 0xb9, 0x12345}.emit(bytes);
    std::ranges::copy(octets(0x61, 0x62, 0x63), packet.payload().begin());
    CHECK(bytes == ipv6_sample());
}

TEST_CASE("an IPv6 packet is refused at every length that it does not fit in") {
    const auto bytes = ipv6_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(mutable_ipv6_view::parse(prefix).error() ==
              (size < 40 ? reason::ipv6_truncated : reason::ipv6_long_payload_length));
    }
}

TEST_CASE("every payload length of an IPv6 packet is refused unless it fits") {
    auto bytes = ipv6_sample();
    for (std::uint32_t length = 0; length != 0x10000; ++length) {
        mutable_ipv6_view::unchecked(bytes).set_payload_length(static_cast<std::uint16_t>(length));
        const auto parsed = mutable_ipv6_view::parse(bytes);
        REQUIRE(parsed.has_value() == (length <= 3));
        if (!parsed) { REQUIRE(parsed.error() == reason::ipv6_long_payload_length); }
    }
}

TEST_CASE("every version but 6 is refused") {
    for (unsigned version = 0; version != 16; ++version) {
        auto bytes = ipv6_sample();
        bytes[0] = static_cast<std::byte>(version << 4);
        const auto parsed = mutable_ipv6_view::parse(bytes);
        REQUIRE(parsed.has_value() == (version == 6));
        if (!parsed) { CHECK(parsed.error() == reason::ipv6_bad_version); }
    }
}

TEST_CASE("an IPv6 packet whose length stands in a jumbo option is refused") {  // RFC 2675 section 3
    std::vector<std::byte> bytes(48);
    const auto packet = ipv6_repr{ipv6_source, ipv6_destination, ip_protocol::ipv6_hop_by_hop, 0}.emit(bytes);
    CHECK(ipv6_view::parse(packet.bytes()).error() == reason::ipv6_jumbogram);
}

TEST_CASE("an IPv6 packet may be empty") {
    std::vector<std::byte> bytes(40);
    ipv6_repr{ipv6_source, ipv6_destination, ip_protocol::ipv6_no_next_header, 0}.emit(bytes);
    const auto packet = mutable_ipv6_view::parse(bytes);
    REQUIRE(packet.has_value());
    CHECK(packet->payload().empty());
}

TEST_CASE("the addresses of an IPv6 packet change places") {
    auto bytes = ipv6_sample();
    auto packet = mutable_ipv6_view::unchecked(bytes);
    packet.swap_addresses();
    CHECK(packet.source() == ipv6_destination);
    CHECK(packet.destination() == ipv6_source);
}
