// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ndp.hpp"

#include "fluxnet/proto/ndp_repr.hpp"
#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<ndp_neighbour_view>);
static_assert(std::is_convertible_v<mutable_ndp_neighbour_view, ndp_neighbour_view>);
static_assert(!std::is_convertible_v<ndp_neighbour_view, mutable_ndp_neighbour_view>);

namespace {

const ipv6_address ndp_here = ipv6_address::parse("fe80::1").value();
const ipv6_address ndp_there = ipv6_address::parse("fe80::aa:2").value();
constexpr mac_address ndp_station({0x02, 0, 0, 0, 0, 7});

/// A message in its packet; the checksum is filled in when it is parsed.
struct ndp_packet {
    ipv6_address source = ndp_here;
    ipv6_address destination = ndp_there;
    std::vector<std::byte> message;
    std::uint8_t hop_limit = 255;
    std::vector<std::byte> extensions = {};  // a destination options header is first
    ip_protocol first = ip_protocol::icmpv6;

    template <class View>
    [[nodiscard]] result<View> parse() {
        bytes.assign(ipv6_header_length + extensions.size() + message.size(), std::byte{0});
        const ipv6_repr header{source, destination, first, extensions.size() + message.size(), hop_limit};
        const auto packet = header.emit(bytes);
        std::ranges::copy(extensions, packet.payload().begin());
        const auto inner = packet.payload().subspan(extensions.size());
        std::ranges::copy(message, inner.begin());
        mutable_icmpv6_view::unchecked(inner).fill_checksum(source, destination);
        const auto parsed = icmpv6_view::parse(inner, source, destination);
        REQUIRE(parsed.has_value());
        return View::parse(*parsed, packet);
    }

    std::vector<std::byte> bytes = {};
};

template <class View>
void check_reason(ndp_packet packet, reason why) {
    const auto parsed = packet.parse<View>();
    REQUIRE(parsed.has_error());
    CHECK(std::string(name(parsed.error())) == std::string(name(why)));
}

template <class Repr>
std::vector<std::byte> made(const Repr& values) {
    std::vector<std::byte> bytes(values.length());
    values.emit(bytes, ndp_here, ndp_there);
    return bytes;
}

ndp_neighbour_repr solicitation() {
    return {icmpv6_type::neighbour_solicitation, ndp_there, ndp_station};
}

ndp_neighbour_repr advertisement() {
    return {icmpv6_type::neighbour_advertisement, ndp_here, ndp_station, false, true, true};
}

ndp_router_advertisement_repr router() {
    ndp_router_advertisement_repr values{64, true, true, 1800, 30000, 1000, ndp_station, 1500, ndp_prefix()};
    values.prefix->valid_lifetime_s = ndp_prefix::infinite;
    return values;
}

/// What every parse of a message checks; `fields` octets come before the options.
template <class View>
void check_common(const std::vector<std::byte>& message, std::size_t fields) {
    for (unsigned hops = 0; hops != 255; ++hops) {  // RFC 4861 section 3.1
        check_reason<View>({.message = message, .hop_limit = static_cast<std::uint8_t>(hops)}, reason::ndp_foreign);
    }
    for (std::size_t size = 8; size != message.size(); ++size) {
        const std::vector<std::byte> cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
        ndp_packet packet{.message = cut};
        const auto parsed = packet.parse<View>();
        if (size < fields) {
            CHECK(parsed.error() == reason::ndp_truncated);
        } else if (parsed.has_error()) {
            CHECK(parsed.error() == reason::ndp_truncated_option);
        } else {
            CHECK((size - fields) % 8 == 0);
        }
    }
    auto coded = message;
    coded[1] = std::byte{1};
    check_reason<View>({.message = coded}, reason::ndp_bad_code);
    auto other = message;
    other[0] = static_cast<std::byte>(icmpv6_type::redirect);
    check_reason<View>({.message = other}, reason::ndp_unknown_type);
    auto endless = message;
    endless[fields + 1] = std::byte{0};
    check_reason<View>({.message = endless}, reason::ndp_zero_option_length);
    check_reason<View>({.message = message,  // RFC 6980 section 5: not even an atomic fragment
                        .extensions = octets(58, 0, 0, 0, 0, 0, 0, 1),
                        .first = ip_protocol::ipv6_fragment},
                       reason::ndp_fragment);
    ndp_packet behind{
        .message = message, .extensions = octets(58, 0, 1, 4, 0, 0, 0, 0), .first = ip_protocol::ipv6_destination_options};
    CHECK(behind.parse<View>().has_value());
}

}  // namespace

TEST_CASE("a neighbour solicitation is written octet by octet and read back") {
    const auto bytes = made(solicitation());
    auto expected = octets(135, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0, 2,  //
                           1, 1, 2, 0, 0, 0, 0, 7);
    CHECK(icmpv6_view::parse(bytes, ndp_here, ndp_there).has_value());
    std::copy_n(bytes.begin() + 2, 2, expected.begin() + 2);
    CHECK(bytes == expected);
    ndp_packet packet{.message = bytes};
    const auto read = packet.parse<ndp_neighbour_view>();
    REQUIRE(read.has_value());
    CHECK_FALSE(read->is_advertisement());
    CHECK(read->target() == ndp_there);
    CHECK(read->link_address() == ndp_station);
}

TEST_CASE("a neighbour advertisement is written octet by octet and read back") {
    for (unsigned flags = 0; flags != 8; ++flags) {
        auto values = advertisement();
        values.router = (flags & 4U) != 0;
        values.solicited = (flags & 2U) != 0;
        values.override_known = (flags & 1U) != 0;
        const auto bytes = made(values);
        CHECK(bytes[0] == std::byte{136});
        CHECK(bytes[4] == static_cast<std::byte>(flags << 5));
        CHECK(bytes[24] == std::byte{2});  // the target's link address
        ndp_packet packet{.message = bytes};
        const auto read = packet.parse<ndp_neighbour_view>();
        REQUIRE(read.has_value());
        CHECK(read->is_advertisement());
        CHECK(read->is_router() == values.router);
        CHECK(read->is_solicited() == values.solicited);
        CHECK(read->is_override() == values.override_known);
        CHECK(read->target() == ndp_here);
        CHECK(read->link_address() == ndp_station);
    }
}

TEST_CASE("a router solicitation is written and read back") {
    const auto bytes = made(ndp_router_solicitation_repr{ndp_station});
    CHECK(bytes.size() == 16);
    ndp_packet packet{.message = bytes};
    const auto read = packet.parse<ndp_router_solicitation_view>();
    REQUIRE(read.has_value());
    CHECK(read->link_address() == ndp_station);
    packet.message = made(ndp_router_solicitation_repr{});
    CHECK(packet.message.size() == 8);
    CHECK_FALSE(packet.parse<ndp_router_solicitation_view>().value().link_address());
}

TEST_CASE("a router advertisement is written octet by octet and read back") {
    const auto bytes = made(router());
    REQUIRE(bytes.size() == 64);
    const auto head = octets(64, 0xc0, 0x07, 0x08, 0, 0, 0x75, 0x30, 0, 0, 0x03, 0xe8, 1, 1);
    CHECK(std::equal(head.begin(), head.end(), bytes.begin() + 4));
    ndp_packet packet{.message = bytes};
    const auto read = packet.parse<ndp_router_advertisement_view>();
    REQUIRE(read.has_value());
    CHECK(read->hop_limit() == 64);
    CHECK(read->is_managed());
    CHECK(read->has_other_settings());
    CHECK(read->router_lifetime_s() == 1800);
    CHECK(read->reachable_time_ms() == 30000);
    CHECK(read->retransmit_time_ms() == 1000);
    CHECK(read->link_address() == ndp_station);
    CHECK(read->mtu() == 1500);
    CHECK(ndp_prefix::read(read->options().next(ndp_option::prefix).value()) == router().prefix);
    packet.message = made(ndp_router_advertisement_repr{});
    CHECK(packet.message.size() == 16);
    CHECK_FALSE(packet.parse<ndp_router_advertisement_view>().value().mtu());
}

TEST_CASE("messages of neighbour discovery from elsewhere, cut, with a code or in pieces are refused") {
    check_common<ndp_neighbour_view>(made(solicitation()), 24);
    check_common<ndp_neighbour_view>(made(advertisement()), 24);
    check_common<ndp_router_solicitation_view>(made(ndp_router_solicitation_repr{ndp_station}), 8);
    check_common<ndp_router_advertisement_view>(made(router()), 16);
}

TEST_CASE("a target that is a group is refused") {  // RFC 4861 sections 7.1.1 and 7.1.2
    for (auto values : {solicitation(), advertisement()}) {
        values.target = ipv6_address::all_nodes();
        check_reason<ndp_neighbour_view>({.message = made(values)}, reason::ndp_multicast_target);
    }
}

TEST_CASE("a host without address asks the solicited-node group and says nothing of itself") {  // RFC 4861 section 7.1.1
    auto values = solicitation();
    check_reason<ndp_neighbour_view>({.source = {}, .message = made(values)}, reason::ndp_bad_probe);
    check_reason<ndp_neighbour_view>({.source = {}, .destination = ipv6_address::all_nodes(), .message = made(values)},
                                     reason::ndp_bad_probe);
    check_reason<ndp_neighbour_view>({.source = {}, .destination = ndp_there.solicited_node(), .message = made(values)},
                                     reason::ndp_link_address_in_probe);
    values.link_address.reset();
    ndp_packet probe{.source = {}, .destination = ndp_there.solicited_node(), .message = made(values)};
    CHECK(probe.parse<ndp_neighbour_view>().has_value());
    // RFC 4861 section 6.1.1
    check_reason<ndp_router_solicitation_view>({.source = {}, .message = made(ndp_router_solicitation_repr{ndp_station})},
                                               reason::ndp_link_address_in_probe);
    ndp_packet quiet{.source = {}, .message = made(ndp_router_solicitation_repr{})};
    CHECK(quiet.parse<ndp_router_solicitation_view>().has_value());
}

TEST_CASE("an advertisement to a group that claims to be an answer is refused") {  // RFC 4861 section 7.1.2
    auto values = advertisement();
    check_reason<ndp_neighbour_view>({.destination = ipv6_address::all_nodes(), .message = made(values)},
                                     reason::ndp_solicited_to_group);
    values.solicited = false;
    ndp_packet unasked{.destination = ipv6_address::all_nodes(), .message = made(values)};
    CHECK(unasked.parse<ndp_neighbour_view>().has_value());
}

TEST_CASE("a router advertises itself from a link-local address") {  // RFC 4861 section 6.1.2
    check_reason<ndp_router_advertisement_view>(
        {.source = ipv6_address::parse("2001:db8::1").value(), .message = made(router())}, reason::ndp_source_not_local);
}

TEST_CASE("an advertisement is not taken for a solicitation's link address, nor the other way round") {
    auto bytes = made(solicitation());
    bytes[24] = std::byte{ndp_option::target_link_address};
    ndp_packet packet{.message = bytes};
    CHECK_FALSE(packet.parse<ndp_neighbour_view>().value().link_address());
}
