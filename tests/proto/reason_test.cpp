// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/reason.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>

using namespace fluxnet::proto;

static_assert(sizeof(reason) == 1);
static_assert(name(reason::ipv4_bad_checksum) == "ipv4_bad_checksum");
static_assert(name(static_cast<reason>(reason_count)) == "unknown");

TEST_CASE("every reason has a name of its own that begins with its protocol") {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i != reason_count; ++i) {
        const std::string_view text = name(static_cast<reason>(i));
        CHECK(names.insert(text).second);
        const std::array prefixes{"ethernet_", "vlan_", "arp_",    "reassembly_", "ipv4_", "ipv6_",
                                  "icmp_",     "icmpv6_", "ndp_", "quoted_",     "udp_",  "tcp_"};
        CHECK(std::ranges::count_if(prefixes, [&](std::string_view prefix) { return text.starts_with(prefix); }) == 1);
    }
    CHECK_FALSE(names.contains("unknown"));
}

TEST_CASE("numbers that are no reason are called unknown") {
    for (std::size_t i = reason_count; i != 256; ++i) { CHECK(name(static_cast<reason>(i)) == "unknown"); }
}

TEST_CASE("the value of a failed result throws a system error that names the reason") {
    const result<int> failed = reason::arp_truncated;
    REQUIRE(failed.has_error());
    CHECK(failed.error() == reason::arp_truncated);
    try {
        [[maybe_unused]] const int value = failed.value();
        FAIL("value() returned");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::bad_message);
        CHECK(std::string(error.what()).find("arp_truncated") != std::string::npos);
    }
}
