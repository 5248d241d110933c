// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/isn_generator.hpp"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>

using namespace fluxnet::proto;
using tcp::four_tuple;
using tcp::isn_generator;
using tcp::sequence_number;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::byte, 16> isn_secret{std::byte{1}, std::byte{2}};
constexpr std::array<std::byte, 16> other_isn_secret{std::byte{1}, std::byte{3}};
const isn_generator::time_point isn_now{1000s};

four_tuple to_port(std::uint16_t port) {
    return {ipv4_address(10, 0, 0, 1), port, ipv4_address(10, 0, 0, 2), 80};
}

}  // namespace

TEST_CASE("RFC 6528 section 3: the numbers of one name advance by one every 4 us") {
    const isn_generator isn(isn_secret);
    const sequence_number first = isn.make(to_port(1), isn_now);
    CHECK(isn.make(to_port(1), isn_now) == first);
    CHECK(isn.make(to_port(1), isn_now + 3999ns) == first);
    CHECK(isn.make(to_port(1), isn_now + 4us) - first == 1);
    CHECK(isn.make(to_port(1), isn_now + 1s) - first == 250'000);
    CHECK(isn.make(to_port(1), isn_now + 4us * (std::int64_t{1} << 32)) == first);  // about 4 h 46 min
}

TEST_CASE("RFC 6528 section 3: the numbers of other names, versions and secrets start elsewhere") {
    const isn_generator isn(isn_secret);
    const isn_generator other(other_isn_secret);
    std::set<std::uint32_t> seen;
    int ones = 0;
    for (std::uint16_t port = 1; port != 1001; ++port) {
        const std::uint32_t value = isn.make(to_port(port), isn_now).value();
        seen.insert(value);
        seen.insert(other.make(to_port(port), isn_now).value());
        ones += std::popcount(value ^ isn.make(to_port(static_cast<std::uint16_t>(port + 1)), isn_now).value());
    }
    CHECK(seen.size() >= 1999);  // of 2^32 numbers
    CHECK(ones > 15'000);        // 16 of 32 bits differ, on average
    CHECK(ones < 17'000);
    const four_tuple over6(ipv6_address(), 1, ipv6_address(), 2);
    CHECK(isn.make(over6, isn_now) != isn.make(four_tuple(ipv4_address(), 1, ipv4_address(), 2), isn_now));
}
