// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/address_hash.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>

using namespace fluxnet::proto;

TEST_CASE("the hash of an address depends on its version, on all of it and on the key") {
    const detail::hash_key key(1, 2);
    const ipv4_address v4(10, 0, 0, 1);
    std::set<std::uint64_t> hashes;
    for (std::size_t octet = 0; octet != ipv6_address::size; ++octet) {
        std::array<std::uint8_t, ipv6_address::size> octets{};
        octets[octet] = 1;
        hashes.insert(detail::address_hash(key, ip_address(ipv6_address(octets))));
    }
    hashes.insert(detail::address_hash(key, ip_address(v4)));
    hashes.insert(detail::address_hash({1, 3}, ip_address(v4)));
    hashes.insert(detail::address_hash({2, 2}, ip_address(v4)));
    hashes.insert(detail::address_hash(key, ip_address(ipv6_address::parse("::ffff:10.0.0.1").value())));
    hashes.insert(detail::address_hash(key, ip_address(ipv6_address::parse("::10.0.0.1").value())));
    CHECK(hashes.size() == 21);
}
