// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/port_chooser.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

using namespace fluxnet::proto;
using tcp::port_chooser;

namespace {

constexpr std::array<std::byte, 16> port_secret{std::byte{1}, std::byte{2}};
constexpr std::array<std::byte, 16> other_port_secret{std::byte{1}, std::byte{3}};
const ip_address port_host = ipv4_address(10, 0, 0, 1);
const ip_address port_peer = ipv4_address(10, 0, 0, 2);

bool never(std::uint16_t) {
    return false;
}

}  // namespace

TEST_CASE(
    "RFC 6056 section 3.3.3: ports toward one destination follow one another, and each of them comes once in a round") {
    port_chooser ports(port_secret);
    std::set<std::uint16_t> seen;
    std::uint16_t last = 0;
    for (int i = 0; i != 16'384; ++i) {
        const auto port = ports.choose(port_host, port_peer, 80, never);
        REQUIRE(port);
        CHECK(*port >= 49'152);
        if (i != 0) { CHECK((*port == last + 1 || *port == 49'152)); }
        last = *port;
        seen.insert(*port);
    }
    CHECK(seen.size() == 16'384);
}

TEST_CASE("choosers with different rests have no port in common, and each comes to all of its own") {
    for (std::uint16_t rest = 0; rest != 3; ++rest) {
        port_chooser ports(port_secret, {.rest = rest, .every = 3});
        std::set<std::uint16_t> seen;
        for (int i = 0; i != 16'384 / 3; ++i) {
            const auto port = ports.choose(port_host, port_peer, 80, never);
            REQUIRE(port);
            CHECK(*port % 3 == rest);
            seen.insert(*port);
        }
        CHECK(seen.size() == 16'384 / 3);
    }
}

TEST_CASE("RFC 6056 section 3.3.3: destinations and secrets start at ports of their own") {
    std::set<std::uint16_t> seen;
    for (std::uint16_t remote = 1; remote != 101; ++remote) {
        for (const auto& secret : {port_secret, other_port_secret}) {
            port_chooser ports(secret);
            seen.insert(*ports.choose(port_host, port_peer, remote, never));
        }
    }
    CHECK(seen.size() > 190);
}

TEST_CASE("RFC 6056 section 3.3.4: connections to one destination do not show in the ports toward most others") {
    port_chooser ports(port_secret);
    int moved = 0;
    for (std::uint16_t remote = 1; remote != 101; ++remote) {
        const std::uint16_t before = *ports.choose(port_host, port_peer, remote, never);
        for (int i = 0; i != 10; ++i) { CHECK(ports.choose(port_host, port_peer, 1000, never)); }
        const std::uint16_t after = *ports.choose(port_host, port_peer, remote, never);
        moved += after != before + 1 && before != 65'535;
    }
    CHECK(moved <= 3);  // 1 in 256 shares a counter
}

TEST_CASE("a port in use is passed over, and the only free one is found") {
    for (const std::uint16_t only : {std::uint16_t{49'152}, std::uint16_t{50'000}, std::uint16_t{65'535}}) {
        port_chooser ports(port_secret);
        for (int i = 0; i != 3; ++i) {
            CHECK(ports.choose(port_host, port_peer, 80, [&](std::uint16_t port) { return port != only; }) == only);
        }
    }
}

TEST_CASE("when no port is free each was asked about once, and the answer is none") {
    port_chooser ports(port_secret, {.first = 1, .last = 65'535});
    std::vector<int> asked(65'536);
    const auto port =
        ports.choose(*ipv6_address::parse("::1"), *ipv6_address::parse("::2"), 80, [&](std::uint16_t candidate) {
            ++asked[candidate];
            return true;
        });
    CHECK_FALSE(port);
    CHECK(asked[0] == 0);
    asked[0] = 1;
    CHECK(asked == std::vector<int>(65'536, 1));
}

TEST_CASE("the tries are bounded, and the next choice goes on where the last one stopped") {
    port_chooser ports(port_secret, {.first = 100, .last = 199, .tries = 10});
    std::set<std::uint16_t> asked;
    for (int i = 0; i != 10; ++i) {
        int tries = 0;
        CHECK_FALSE(ports.choose(port_host, port_peer, 80, [&](std::uint16_t port) {
            ++tries;
            asked.insert(port);
            return true;
        }));
        CHECK(tries == 10);
    }
    CHECK(asked.size() == 100);
    port_chooser single(port_secret, {.first = 7, .last = 7});
    CHECK(single.choose(port_host, port_peer, 80, never) == 7);
    CHECK(single.choose(port_host, port_peer, 80, never) == 7);
}
