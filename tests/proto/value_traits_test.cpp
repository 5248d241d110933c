// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/value_traits.hpp"

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>

using namespace fluxnet::proto;

namespace {

template <class T>
std::string printed(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

template <class T>
concept has_printing = requires(std::ostream& out, const T& value) { out << value; };

struct no_text {};

}  // namespace

static_assert(has_printing<ipv4_address> && has_printing<ip_endpoint>);
static_assert(!has_printing<no_text>);

TEST_CASE("addresses and endpoints print what parse reads") {
    CHECK(printed(ipv4_address(192, 0, 2, 1)) == "192.0.2.1");
    CHECK(printed(ipv6_address::parse("2001:db8::1").value()) == "2001:db8::1");
    CHECK(printed(ip_address(ipv4_address(10, 0, 0, 1))) == "10.0.0.1");
    CHECK(printed(ip_endpoint::parse("[fe80::1%2]:80").value()) == "[fe80::1%2]:80");
    CHECK(printed(mac_address::broadcast()) == "ff:ff:ff:ff:ff:ff");
    std::ostringstream table;
    table << std::setw(12) << ipv4_address(10, 0, 0, 1) << '|' << std::left << std::setw(12) << ipv4_address(10, 0, 0, 2) << '|';
    CHECK(table.str() == "    10.0.0.1|10.0.0.2    |");
}

TEST_CASE("addresses and endpoints are keys of unordered containers") {
    std::unordered_map<ip_endpoint, int> connections;
    for (std::uint16_t port = 0; port != 1000; ++port) {
        connections[{ipv4_address(10, 0, 0, 1), port}] = port;
        connections[{ipv6_address::parse("::a00:1").value(), port}] = 1000 + port;
    }
    CHECK(connections.size() == 2000);
    CHECK(connections.at({ipv4_address(10, 0, 0, 1), 7}) == 7);
    CHECK(connections.at({ipv6_address::parse("::a00:1").value(), 7}) == 1007);
    const std::unordered_set<mac_address> stations{mac_address({2, 0, 0, 0, 0, 1}), mac_address({2, 0, 0, 0, 1, 0}),
                                                   mac_address({2, 0, 0, 0, 0, 1})};
    CHECK(stations.size() == 2);
}

TEST_CASE("neighbouring addresses have hashes that differ in their lowest bits too") {
    // Tables of a power of two look at these alone.
    std::unordered_set<std::size_t> whole;
    std::unordered_map<std::size_t, int> lowest;
    for (std::uint32_t host = 0; host != 65'536; ++host) {
        const std::size_t hash = std::hash<ipv4_address>()(ipv4_address::from_host_order(0x0a000000U + (host << 8)));
        whole.insert(hash);
        ++lowest[hash % 256];
    }
    CHECK(whole.size() == 65'536);
    CHECK(lowest.size() == 256);
    for (const auto& [low, count] : lowest) {
        CAPTURE(low);
        CHECK(count > 128);  // 256 on average
        CHECK(count < 512);
    }
}
