// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/sip_hash.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fluxnet::proto;
using detail::sip_hash;

namespace {

/// The key of the reference's test vectors: octets 0, 1, ... 15.
constexpr detail::hash_secret reference_key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

}  // namespace

static_assert(sip_hash(reference_key, {}) == 0x726fdb47dd0e0e31ULL);
static_assert(sip_hash(reference_key, {0x0706050403020100ULL}) == 0x93f5f5799a932462ULL);
static_assert(sip_hash(reference_key, {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL}) == 0x3f2acc7f57c29bdbULL);

TEST_CASE("the hash of an address depends on its version, on all of it and on the secret") {
    const ipv4_address v4(10, 0, 0, 1);
    std::set<std::uint64_t> hashes;
    for (std::size_t octet = 0; octet != ipv6_address::size; ++octet) {
        std::array<std::uint8_t, ipv6_address::size> octets{};
        octets[octet] = 1;
        hashes.insert(sip_hash(reference_key, ip_address(ipv6_address(octets))));
    }
    hashes.insert(sip_hash(reference_key, ip_address(v4)));
    hashes.insert(sip_hash({1, 2}, ip_address(v4)));
    hashes.insert(sip_hash(reference_key, ip_address(ipv6_address::parse("::ffff:10.0.0.1").value())));
    hashes.insert(sip_hash(reference_key, ip_address(ipv6_address::parse("::10.0.0.1").value())));
    CHECK(hashes.size() == 20);
}
