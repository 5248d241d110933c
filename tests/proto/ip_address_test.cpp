// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/ipv6_address.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

using namespace fluxnet::proto;

static_assert(sizeof(ipv6_address) == 16);
static_assert(ipv6_address::loopback().is_loopback() && ipv6_address().is_unspecified());
static_assert(ip_address().is_v4() && ip_address(ipv6_address()).is_v6());

TEST_CASE("an IPv6 address is written as RFC 5952 recommends") {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"::", "::"},
        {"::1", "::1"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"2001:DB8::0001", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"fe80::1:2", "fe80::1:2"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::ffff:c000:201", "::ffff:192.0.2.1"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
    };
    for (const auto& [text, written] : cases) {
        CAPTURE(text);
        const auto address = ipv6_address::parse(text);
        REQUIRE(address);
        CHECK(address->to_string() == written);
        CHECK(ipv6_address::parse(address->to_string()) == address);
    }
}

TEST_CASE("text that is no IPv6 address is refused") {
    for (const std::string_view text : {"",
                                        ":",
                                        ":::",
                                        "1",
                                        "1:2:3:4:5:6:7",
                                        "1:2:3:4:5:6:7:8:9",
                                        "1:2:3:4:5:6:7:8:",
                                        ":1:2:3:4:5:6:7:8",
                                        "1::2::3",
                                        "12345::",
                                        "g::",
                                        "::1%2",
                                        "::1/64",
                                        " ::1",
                                        "::1 ",
                                        "1:2:3:4:5:6:7:1.2.3.4",
                                        "::1.2.3",
                                        "1.2.3.4::",
                                        "::1.2.3.4:5",
                                        "::-1",
                                        "::+1",
                                        "::0x1",
                                        "1:2:3:4::5:6:7:8",
                                        ":::1",
                                        "1:::2",
                                        "::1:",
                                        "192.0.2.1"}) {
        CAPTURE(text);
        CHECK_FALSE(ipv6_address::parse(text));
    }
}

TEST_CASE("an IPv6 address comes back from a header") {
    const auto address = ipv6_address::parse("2001:db8::1234:5678").value();
    std::array<std::byte, 16> header{};
    address.store(header.data());
    CHECK(header[0] == std::byte{0x20});
    CHECK(header[15] == std::byte{0x78});
    CHECK(ipv6_address::load(header.data()) == address);
}

TEST_CASE("IPv6 addresses belong to their ranges") {
    CHECK(ipv6_address::parse("ff02::1")->is_multicast());
    CHECK(ipv6_address::parse("fe80::1")->is_link_local());
    CHECK(ipv6_address::parse("febf::1")->is_link_local());
    CHECK_FALSE(ipv6_address::parse("fec0::1")->is_link_local());
    CHECK(ipv6_address::parse("::ffff:1.2.3.4")->is_v4_mapped());
    CHECK_FALSE(ipv6_address::parse("::1.2.3.4")->is_v4_mapped());
    CHECK_FALSE(ipv6_address::parse("::2")->is_loopback());
}

TEST_CASE("an address of either version is read by its form") {
    CHECK(ip_address::parse("192.0.2.1")->is_v4());
    CHECK(ip_address::parse("::1")->is_loopback());
    CHECK(ip_address::parse("127.0.0.1")->is_loopback());
    CHECK(ip_address::parse("224.0.0.1")->is_multicast());
    CHECK_FALSE(ip_address::parse("localhost"));
    CHECK(ip_address(ipv4_address(1, 2, 3, 4)) < ip_address(ipv6_address()));
    CHECK(ip_address::parse("::ffff:1.2.3.4") != ip_address::parse("1.2.3.4"));
}

TEST_CASE("an endpoint is written as it is read") {
    for (const std::string_view text :
         {"0.0.0.0:0", "192.0.2.1:80", "255.255.255.255:65535", "[::]:0", "[2001:db8::1]:443", "[fe80::1%2]:80"}) {
        CAPTURE(text);
        const auto endpoint = ip_endpoint::parse(text);
        REQUIRE(endpoint);
        CHECK(endpoint->to_string() == text);
    }
    CHECK(ip_endpoint::parse("[fe80::1%2]:80")->scope == 2);
}

TEST_CASE("text that is no endpoint is refused") {
    for (const std::string_view text : {"", ":", ":80", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1",
                                        "192.0.2.1: 80", "192.0.2.1:80 ", "::1:80", "[::1]", "[::1]80", "[::1:80", "::1]:80",
                                        "[192.0.2.1]:80", "[fe80::1%]:80", "[fe80::1%eth0]:80", "localhost:80"}) {
        CAPTURE(text);
        CHECK_FALSE(ip_endpoint::parse(text));
    }
}
