// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/path_mtu.hpp"

#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <type_traits>

namespace fluxnet::proto::test::paths {

using namespace std::chrono_literals;

static_assert(std::is_nothrow_invocable_v<decltype(&path_mtu::lower), path_mtu&, const path_mtu::too_big&, std::uint32_t,
                                          path_mtu::time_point>);

namespace {

using estimate = path_mtu::estimate;

constexpr std::array<std::byte, 16> path_secret{std::byte{1}, std::byte{2}, std::byte{3}};
constexpr std::uint32_t path_link = 1500;

path_mtu::time_point path_at(std::chrono::seconds since) {
    return path_mtu::time_point(since);
}

ip_address path_to(bool v6, std::uint32_t number = 1) {
    if (!v6) { return ipv4_address::from_host_order(0xc0000200U + number); }
    return ipv6_address({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(number >> 24),
                         static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                         static_cast<std::uint8_t>(number)});
}

/// What the table says after one message about a packet.
estimate after(const path_mtu::too_big& message) {
    path_mtu paths({}, path_secret);
    const bool changed = paths.lower(message, path_link, path_at(0s));
    const estimate known = paths.lookup(message.destination, path_link, path_at(0s));
    CHECK(changed == (known != estimate{path_link, false}));
    CHECK(paths.size() == (changed ? 1 : 0));
    return known;
}

}  // namespace

TEST_CASE(
    "a path is as wide as the link until a router says otherwise, and then as wide as it says (RFC 1191 3, RFC 8201 4)") {
    for (const bool v6 : {false, true}) {
        path_mtu paths({}, path_secret);
        CHECK(paths.lookup(path_to(v6), path_link, path_at(0s)) == estimate{path_link, false});
        CHECK(paths.lower({path_to(v6), 1400, 1500}, path_link, path_at(0s)));
        CHECK(paths.lookup(path_to(v6), path_link, path_at(0s)) == estimate{1400, false});
        CHECK(paths.lookup(path_to(v6), 1300, path_at(0s)) == estimate{1300, false});  // the link itself is narrower
        CHECK(paths.lookup(path_to(v6, 2), path_link, path_at(0s)) == estimate{path_link, false});
        CHECK(paths.lookup(path_to(!v6), path_link, path_at(0s)) == estimate{path_link, false});
    }
}

TEST_CASE("a message never raises an estimate, and never says the same twice") {
    for (const bool v6 : {false, true}) {
        path_mtu paths({}, path_secret);
        CHECK_FALSE(paths.lower({path_to(v6), 1500, 1600}, path_link, path_at(0s)));
        CHECK_FALSE(paths.lower({path_to(v6), 9000, 9100}, path_link, path_at(0s)));
        REQUIRE(paths.lower({path_to(v6), 1300, 1500}, path_link, path_at(0s)));
        CHECK_FALSE(paths.lower({path_to(v6), 1300, 1500}, path_link, path_at(100s)));
        CHECK_FALSE(paths.lower({path_to(v6), 1400, 1500}, path_link, path_at(100s)));
        CHECK(paths.lookup(path_to(v6), path_link, path_at(100s)) == estimate{1300, false});
        // Nor do repeated messages keep it from growing old.
        CHECK(paths.lookup(path_to(v6), path_link, path_at(600s)) == estimate{path_link, false});
    }
}

TEST_CASE("a message about a packet that the reported link would carry is forged") {
    for (const bool v6 : {false, true}) {
        CHECK(after({path_to(v6), 1400, 1400}) == estimate{path_link, false});
        CHECK(after({path_to(v6), 1400, 100}) == estimate{path_link, false});
        CHECK(after({path_to(v6), 1400, 0}) == estimate{path_link, false});
        CHECK(after({path_to(v6), 1400, 1401}) == estimate{1400, false});
    }
}

TEST_CASE("an IPv6 router that reports less than 1,280 octets is not believed (RFC 8201 4)") {
    for (const std::uint32_t reported : {0U, 1U, 68U, 552U, 1279U}) {
        CHECK(after({path_to(true), reported, 1500}) == estimate{path_link, false});
    }
    CHECK(after({path_to(true), 1280, 1500}) == estimate{1280, false});
}

TEST_CASE(
    "an IPv4 path below 552 octets gets packets of 552 that may be fragmented, below 68 is not believed (RFC 791 3.2)") {
    CHECK(after({path_to(false), 552, 1500}) == estimate{552, false});
    for (const std::uint32_t reported : {68U, 296U, 551U}) {
        CHECK(after({path_to(false), reported, 1500}) == estimate{552, true});
    }
    for (const std::uint32_t reported : {1U, 67U}) {
        CHECK(after({path_to(false), reported, 1500}) == estimate{path_link, false});
    }
    path_mtu paths({}, path_secret);
    REQUIRE(paths.lower({path_to(false), 552, 1500}, path_link, path_at(0s)));
    CHECK_FALSE(paths.lower({path_to(false), 600, 1500}, path_link, path_at(0s)));
    CHECK(paths.lower({path_to(false), 296, 552}, path_link, path_at(0s)));
    CHECK(paths.lookup(path_to(false), path_link, path_at(0s)) == estimate{552, true});
    CHECK_FALSE(paths.lower({path_to(false), 296, 552}, path_link, path_at(0s)));
    CHECK(paths.lower({path_to(false, 2), 100, 296}, 296, path_at(0s)));  // a link that is narrower itself
    CHECK(paths.lookup(path_to(false, 2), 296, path_at(0s)) == estimate{296, true});
}

TEST_CASE("an IPv4 router that tells no MTU lowers the estimate to the next plateau (RFC 1191 5, 7.1)") {
    path_mtu paths({}, path_secret);
    std::uint32_t before = path_link;
    for (const std::uint32_t plateau : {1492U, 1006U, 552U}) {
        CHECK(paths.lower({path_to(false), 0, before}, path_link, path_at(0s)));
        CHECK(paths.lookup(path_to(false), path_link, path_at(0s)).octets == plateau);
        // The packets of the former size that were on their way lower it no further.
        CHECK_FALSE(paths.lower({path_to(false), 0, before}, path_link, path_at(0s)));
        before = plateau;
    }
    CHECK(paths.lookup(path_to(false), path_link, path_at(0s)).may_fragment);
    CHECK(after({path_to(false), 0, 1500}) == estimate{1492, false});
    CHECK(after({path_to(false), 0, 1520}) == estimate{1492, false});       // the header counted twice
    CHECK(after({path_to(false), 0, 9000}) == estimate{path_link, false});  // no packet of ours
    CHECK(after({path_to(false), 0, 68}) == estimate{path_link, false});    // nothing is narrower
    CHECK(after({path_to(false), 0, 0}) == estimate{path_link, false});
    CHECK(after({path_to(false), 0, 1000}) == estimate{552, true});
}

TEST_CASE("an estimate is forgotten ten minutes after it was last lowered (RFC 1191 6.3, RFC 8201 4)") {
    path_mtu paths({}, path_secret);
    REQUIRE(paths.lower({path_to(false), 1400, 1500}, path_link, path_at(0s)));
    REQUIRE(paths.lower({path_to(false), 1300, 1400}, path_link, path_at(300s)));
    CHECK(paths.lookup(path_to(false), path_link, path_at(899s)) == estimate{1300, false});
    CHECK(paths.lookup(path_to(false), path_link, path_at(900s)) == estimate{path_link, false});
    CHECK(paths.lower({path_to(false), 1400, 1500}, path_link, path_at(901s)));  // and is learnt anew
    CHECK(paths.lookup(path_to(false), path_link, path_at(901s)) == estimate{1400, false});
    paths.forget(path_to(false));
    paths.forget(path_to(false));
    CHECK(paths.lookup(path_to(false), path_link, path_at(901s)) == estimate{path_link, false});
    CHECK(paths.size() == 0);
}

TEST_CASE("a full table gives up the estimate that was lowered longest ago, and keeps its memory") {
    path_mtu paths({.capacity = 8}, path_secret);
    const fluxnet::test::allocation_watch watch;
    for (std::uint32_t number = 0; number != 1000; ++number) {
        if (!paths.lower({path_to(true, number), 1300, 1500}, path_link, path_at(std::chrono::seconds(number)))) {
            FAIL("not lowered");
        }
    }
    const auto allocations = watch.allocations();
    CHECK(allocations == 0);
    CHECK(paths.size() == 8);
    for (std::uint32_t number = 0; number != 1000; ++number) {
        CHECK(paths.lookup(path_to(true, number), path_link, path_at(1000s)).octets == (number < 992 ? path_link : 1300));
    }
    CHECK(paths.memory_octets() < 8 * 128 + sizeof(path_mtu));
}

TEST_CASE("at random, an estimate only falls until it grows old, and stays within its bounds") {
    std::mt19937 random(1);
    path_mtu paths({}, path_secret);
    struct told {
        std::uint32_t octets = path_link;
        path_mtu::time_point lowered;
    };
    std::map<ip_address, told> model;
    auto now = path_at(0s);
    for (int step = 0; step != 50'000; ++step) {
        now += std::chrono::milliseconds(random() % 2000);
        const ip_address destination = path_to(random() % 2 == 0, static_cast<std::uint32_t>(random() % 50));
        const path_mtu::too_big message{destination, static_cast<std::uint32_t>(random() % 4 == 0 ? 0 : random() % 2000),
                                        static_cast<std::uint32_t>(random() % 2000)};
        told& before = model[destination];
        if (before.octets != path_link && now - before.lowered >= 600s) { before = {}; }
        const bool changed = paths.lower(message, path_link, now);
        const estimate known = paths.lookup(destination, path_link, now);
        REQUIRE(known.octets <= before.octets);
        REQUIRE(known.octets >= (destination.is_v4() ? 552U : 1280U));
        REQUIRE((!known.may_fragment || known.octets == 552));
        if (!changed) { REQUIRE(known.octets == before.octets); }
        if (changed) { before = {known.octets, now}; }
    }
}

}  // namespace fluxnet::proto::test::paths
