// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/link_group.hpp"

#include <doctest/doctest.h>

using namespace fluxnet::proto;

static_assert(hardware_of_group(ipv4_address(224, 0, 0, 251)) == mac_address({0x01, 0x00, 0x5e, 0, 0, 251}));

TEST_CASE("groups that differ in the high bits only share an address on the link") {  // RFC 1112 section 6.4
    CHECK(hardware_of_group(ipv4_address(239, 255, 1, 2)) == mac_address({0x01, 0x00, 0x5e, 0x7f, 1, 2}));
    CHECK(hardware_of_group(ipv4_address(239, 127, 1, 2)) == hardware_of_group(ipv4_address(224, 255, 1, 2)));
}

TEST_CASE("the last four octets of a group of IPv6 are its address on the link") {  // RFC 2464 section 7
    const auto address = ipv6_address::parse("2001:db8::1:2:aabb:ccdd").value();
    CHECK(address.solicited_node() == ipv6_address::parse("ff02::1:ffbb:ccdd"));  // RFC 4291 section 2.7.1
    CHECK(hardware_of_group(address.solicited_node()) == mac_address({0x33, 0x33, 0xff, 0xbb, 0xcc, 0xdd}));
    CHECK(hardware_of_group(ipv6_address::all_routers()) == mac_address({0x33, 0x33, 0, 0, 0, 2}));
    CHECK(address.solicited_node().is_solicited_node());
    CHECK_FALSE(address.is_solicited_node());
    CHECK_FALSE(ipv6_address::all_nodes().is_solicited_node());
}
