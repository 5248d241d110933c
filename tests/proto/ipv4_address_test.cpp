// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ipv4_address.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <string_view>

using namespace fluxnet::proto;

static_assert(sizeof(ipv4_address) == 4);
static_assert(ipv4_address::parse("192.0.2.1") == ipv4_address(192, 0, 2, 1));
static_assert(ipv4_address::from_host_order(0xc0000201) == ipv4_address(192, 0, 2, 1));
static_assert(ipv4_address(192, 0, 2, 1).to_host_order() == 0xc0000201);

TEST_CASE("an Internet address is written as it is read") {
    for (const std::string_view text : {"0.0.0.0", "192.0.2.1", "10.100.0.99", "255.255.255.255", "1.2.3.4"}) {
        CAPTURE(text);
        const auto address = ipv4_address::parse(text);
        REQUIRE(address);
        CHECK(address->to_string() == text);
    }
}

TEST_CASE("text that is no Internet address is refused") {
    for (const std::string_view text :
         {"",           ".",         "1",          "1.2.3",     "1.2.3.",
          "1.2.3.4.",   ".1.2.3.4",  "1..2.3",     "1.2.3.4.5", "256.0.0.1",
          "1.2.3.256",  "1.2.3.999", "1.2.3.1000", "01.2.3.4",  "1.2.3.04",
          "00.0.0.0",   "1.2.3.-4",  "+1.2.3.4",   " 1.2.3.4",  "1.2.3.4 ",
          "1.2.3.4/24", "0x1.2.3.4", "1,2,3,4",    "a.b.c.d",   "99999999999999999999.1.1.1"}) {
        CAPTURE(text);
        CHECK_FALSE(ipv4_address::parse(text));
    }
    CHECK_FALSE(ipv4_address::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("an Internet address knows what kind it is") {
    CHECK(ipv4_address().is_unspecified());
    CHECK(ipv4_address(0, 1, 2, 3).is_this_network());
    CHECK_FALSE(ipv4_address(0, 1, 2, 3).is_unspecified());
    CHECK(ipv4_address(127, 255, 0, 1).is_loopback());
    CHECK_FALSE(ipv4_address(128, 0, 0, 1).is_loopback());
    CHECK_FALSE(ipv4_address(223, 255, 255, 255).is_multicast());
    CHECK(ipv4_address(224, 0, 0, 0).is_multicast());
    CHECK(ipv4_address(239, 255, 255, 255).is_multicast());
    CHECK_FALSE(ipv4_address(240, 0, 0, 0).is_multicast());
    CHECK(ipv4_address::broadcast().is_broadcast());
    CHECK_FALSE(ipv4_address(10, 255, 255, 255).is_broadcast());
    CHECK(ipv4_address(9, 255, 255, 255) < ipv4_address(10, 0, 0, 0));
}

TEST_CASE("an Internet address travels first octet first") {
    std::array<std::byte, 6> bytes{};
    ipv4_address(192, 0, 2, 1).store(bytes.data() + 1);
    CHECK(bytes[0] == std::byte{});
    CHECK(bytes[1] == std::byte{192});
    CHECK(bytes[4] == std::byte{1});
    CHECK(bytes[5] == std::byte{});
    CHECK(ipv4_address::load(bytes.data() + 1) == ipv4_address(192, 0, 2, 1));
    CHECK(ipv4_address(192, 0, 2, 1).octets()[2] == 2);
}
