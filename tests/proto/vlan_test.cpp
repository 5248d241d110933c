// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/vlan.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<vlan_view>);
static_assert(std::is_convertible_v<mutable_vlan_view, vlan_view> && !std::is_convertible_v<vlan_view, mutable_vlan_view>);

namespace {

/// Makes a frame with tags of those kinds, which are numbered from 1, around three octets of IPv6.
std::vector<std::byte> tagged_frame(std::initializer_list<ethertype> kinds) {
    std::vector<std::byte> frame(ethernet_header_length);
    ethernet_repr{mac_address::broadcast(), mac_address({2, 0, 0, 0, 0, 1}), ethertype::ipv6}.emit(frame);
    std::uint16_t identifier = 0;
    for (const ethertype kind : kinds) {
        store_be16(frame.data() + frame.size() - 2, static_cast<std::uint16_t>(kind));
        frame.resize(frame.size() + vlan_tag_length);
        vlan_repr{++identifier, 5, true, ethertype::ipv6}.emit(std::span(frame).last(vlan_tag_length));
    }
    std::ranges::copy(octets(0x61, 0x62, 0x63), std::back_inserter(frame));
    return frame;
}

result<link_content> payload_of(const std::vector<std::byte>& frame) {
    return link_payload(ethernet_view::parse(std::span<const std::byte>(frame)).value());
}

}  // namespace

TEST_CASE("a VLAN tag is read field by field") {
    const auto bytes = octets(0xb1, 0x23, 0x86, 0xdd, 0x61);
    const auto tag = vlan_view::parse(bytes);
    REQUIRE(tag.has_value());
    CHECK(tag->identifier() == 0x123);
    CHECK(tag->priority() == 5);
    CHECK(tag->is_drop_eligible());
    CHECK(tag->type() == ethertype::ipv6);
    CHECK(tag->payload().data() == bytes.data() + 4);
    CHECK(tag->payload().size() == 1);
}

TEST_CASE("a VLAN tag is written octet by octet") {
    std::vector<std::byte> bytes(4, std::byte{0xee});
    vlan_repr{0x123, 5, true, ethertype::ipv6}.emit(bytes);
    CHECK(bytes == octets(0xb1, 0x23, 0x86, 0xdd));
    vlan_repr{0xffe, 7, false, ethertype::arp}.emit(bytes);
    CHECK(bytes == octets(0xef, 0xfe, 0x08, 0x06));
}

TEST_CASE("a VLAN tag of fewer than four octets is refused") {
    for (std::size_t size = 0; size != 4; ++size) {
        const std::vector<std::byte> bytes(size);
        CHECK(vlan_view::parse(bytes).error() == reason::vlan_truncated);
    }
}

TEST_CASE("every identifier of a VLAN is read but the reserved one") {
    for (unsigned control = 0; control != 0x10000; ++control) {
        auto bytes = octets(control >> 8, control & 0xff, 8, 0);
        const auto tag = vlan_view::parse(bytes);
        REQUIRE(tag.has_value() == ((control & 0xfff) != 0xfff));
        if (!tag) {
            REQUIRE(tag.error() == reason::vlan_reserved_identifier);
            continue;
        }
        auto again = octets(0, 0, 8, 0);
        mutable_vlan_view::unchecked(again).set_tag(tag->identifier(), tag->priority(), tag->is_drop_eligible());
        REQUIRE(again == bytes);
    }
}

TEST_CASE("a length behind a VLAN tag is refused") {
    for (unsigned type = 0; type != 0x1000; ++type) {
        const auto tag = vlan_view::parse(octets(0, 1, type >> 8, type & 0xff));
        REQUIRE(tag.has_value() == (type >= 0x600));
        if (!tag) { REQUIRE(tag.error() == reason::vlan_length_field); }
    }
}

TEST_CASE("what a frame carries is found behind no tag, one tag and two tags") {
    using enum ethertype;
    const auto plain = payload_of(tagged_frame({}));
    REQUIRE(plain.has_value());
    CHECK(plain->tag_count == 0);
    CHECK(plain->type == ipv6);
    CHECK(plain->payload.size() == 3);

    for (const ethertype outer : {vlan, service_vlan}) {
        const auto one = payload_of(tagged_frame({outer}));
        REQUIRE(one.has_value());
        CHECK(one->tag_count == 1);
        CHECK(one->tags[0] == vlan_tag{outer, 1, 5, true});
        CHECK(one->type == ipv6);
        for (const ethertype inner : {vlan, service_vlan}) {
            const auto frame = tagged_frame({outer, inner});
            const auto two = payload_of(frame);  // QinQ, as 802.1ad has it and as older switches have it
            REQUIRE(two.has_value());
            CHECK(two->tag_count == 2);
            CHECK(two->tags[0] == vlan_tag{outer, 1, 5, true});
            CHECK(two->tags[1] == vlan_tag{inner, 2, 5, true});
            CHECK(two->type == ipv6);
            CHECK(two->payload.data() == frame.data() + 22);
            CHECK(two->payload.size() == 3);
        }
    }
}

TEST_CASE("a frame with three tags or more is refused") {
    using enum ethertype;
    CHECK(payload_of(tagged_frame({service_vlan, vlan, vlan})).error() == reason::vlan_too_many_tags);
    CHECK(payload_of(tagged_frame({vlan, vlan, vlan, vlan, vlan})).error() == reason::vlan_too_many_tags);
}

TEST_CASE("a tagged frame cut inside its tags is refused") {
    const auto whole = tagged_frame({ethertype::service_vlan, ethertype::vlan});
    for (std::size_t size = 14; size != whole.size(); ++size) {
        const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const auto found = payload_of(cut);
        REQUIRE(found.has_value() == (size >= 22));
        if (!found) { CHECK(found.error() == reason::vlan_truncated); }
    }
}
