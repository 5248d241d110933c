// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using tcp::four_tuple;

static_assert(sizeof(four_tuple) == 40 && std::is_trivially_copyable_v<four_tuple>);

TEST_CASE("a name gives back the addresses and ports that it was made of") {
    const ip_address host4 = ipv4_address(192, 0, 2, 1);
    const ip_address peer4 = ipv4_address(198, 51, 100, 255);
    const four_tuple over4(host4, 80, peer4, 65'535);
    CHECK(over4.is_v4());
    CHECK(over4.word_count() == 2);
    CHECK(over4.local_address() == host4);
    CHECK(over4.remote_address() == peer4);
    CHECK(over4.local_port() == 80);
    CHECK(over4.remote_port() == 65'535);
    CHECK(four_tuple::from_words(over4.words()) == over4);

    const ip_address host6 = *ipv6_address::parse("2001:db8::1");
    const ip_address peer6 = *ipv6_address::parse("fe80:1:2:3:4:5:6:7");
    const four_tuple over6(host6, 1, peer6, 65'535);
    CHECK_FALSE(over6.is_v4());
    CHECK(over6.word_count() == 5);
    CHECK(over6.local_address() == host6);
    CHECK(over6.remote_address() == peer6);
    CHECK(over6.local_port() == 1);
    CHECK(over6.remote_port() == 65'535);
    CHECK(four_tuple::from_words(over6.words()) == over6);
}

TEST_CASE("names differ when any part of them does") {
    const ip_address a = ipv4_address(10, 0, 0, 1);
    const ip_address b = ipv4_address(10, 0, 0, 2);
    const ip_address c = *ipv6_address::parse("::ffff:10.0.0.1");
    const ip_address d = *ipv6_address::parse("::ffff:10.0.0.2");
    const ip_address e = *ipv6_address::parse("1::ffff:10.0.0.2");
    const std::vector<four_tuple> names{{},           {a, 1, b, 2}, {b, 1, a, 2}, {a, 2, b, 1}, {a, 1, b, 3}, {a, 1, a, 2},
                                        {c, 1, d, 2}, {d, 1, c, 2}, {c, 2, d, 1}, {c, 1, e, 2}, {e, 1, d, 2}, {c, 1, c, 2}};
    for (const auto& left : names) {
        for (const auto& right : names) { CHECK((left == right) == (&left == &right)); }
    }
}
