// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/keyed_hash.hpp"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

using fluxnet::proto::detail::hash_key;
using fluxnet::proto::detail::sip_hash;

namespace {

std::vector<std::byte> first_octets(std::size_t count) {
    std::vector<std::byte> octets;
    for (std::size_t i = 0; i != count; ++i) { octets.push_back(static_cast<std::byte>(i)); }
    return octets;
}

hash_key key_of(const std::vector<std::byte>& octets) {
    return hash_key(std::span<const std::byte, 16>(octets.data(), 16));
}

std::uint64_t rotated(std::uint64_t value, unsigned count) {
    return (value << count) | (value >> (64 - count));
}

/// SipRound as the paper draws it: two columns, then two columns crossed.
void literal_round(std::array<std::uint64_t, 4>& v) {
    v[0] = v[0] + v[1];
    v[1] = rotated(v[1], 13);
    v[1] = v[1] ^ v[0];
    v[0] = rotated(v[0], 32);
    v[2] = v[2] + v[3];
    v[3] = rotated(v[3], 16);
    v[3] = v[3] ^ v[2];
    v[0] = v[0] + v[3];
    v[3] = rotated(v[3], 21);
    v[3] = v[3] ^ v[0];
    v[2] = v[2] + v[1];
    v[1] = rotated(v[1], 17);
    v[1] = v[1] ^ v[2];
    v[2] = rotated(v[2], 32);
}

/// The paper's section 2, step by step: pad the octets, compress word by word, finalize.
std::uint64_t literal_hash(int c, int d, const std::vector<std::byte>& key, std::vector<std::byte> input) {
    const auto little = [](const std::vector<std::byte>& from, std::size_t at) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i != 8; ++i) { value += std::to_integer<std::uint64_t>(from[at + i]) << (8 * i); }
        return value;
    };
    std::array<std::uint64_t, 4> v{};
    const std::vector<std::byte> initial = [] {
        std::vector<std::byte> octets;
        for (const char letter : {'u', 'e', 's', 'p', 'e', 'm', 'o', 's', 'm', 'o', 'd', 'n', 'a', 'r', 'o', 'd',
                                  'a', 'r', 'e', 'n', 'e', 'g', 'y', 'l', 's', 'e', 't', 'y', 'b', 'd', 'e', 't'}) {
            octets.push_back(static_cast<std::byte>(letter));
        }
        return octets;
    }();
    for (std::size_t i = 0; i != 4; ++i) { v[i] = little(key, i % 2 * 8) ^ little(initial, i * 8); }
    const auto length = static_cast<std::byte>(input.size() % 256);
    while (input.size() % 8 != 7) { input.push_back(std::byte{0}); }
    input.push_back(length);
    for (std::size_t at = 0; at != input.size(); at += 8) {
        v[3] ^= little(input, at);
        for (int i = 0; i != c; ++i) { literal_round(v); }
        v[0] ^= little(input, at);
    }
    v[2] ^= 0xff;
    for (int i = 0; i != d; ++i) { literal_round(v); }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

}  // namespace

TEST_CASE("SipHash-2-4 of fifteen octets is what the paper's appendix A computes") {
    CHECK(sip_hash<2, 4>(key_of(first_octets(16)), first_octets(15)) == 0xa129ca6149be45e5U);
}

TEST_CASE("SipHash-1-3 under a key of zeros is what is known of it") {
    const std::array<std::pair<std::size_t, std::uint64_t>, 6> known{{{1, 0x68a914128e01e473U},
                                                                      {7, 0x2f098ab0c751325aU},
                                                                      {8, 0xead411e67ebe2eeaU},
                                                                      {12, 0xa6baf4fb0f9fe1c2U},
                                                                      {16, 0x8972188433a5c5b7U},
                                                                      {31, 0x169739443111d49bU}}};
    for (const auto& [length, hash] : known) { CHECK(sip_hash<1, 3>(hash_key(), first_octets(length)) == hash); }
}

TEST_CASE("SipHash of any length and key is what a literal reading of the paper gives") {
    std::mt19937_64 random(1);
    for (std::size_t length = 0; length != 300; ++length) {
        CAPTURE(length);
        std::vector<std::byte> input(length);
        std::vector<std::byte> key(16);
        for (auto& octet : input) { octet = static_cast<std::byte>(random()); }
        for (auto& octet : key) { octet = static_cast<std::byte>(random()); }
        CHECK(sip_hash<2, 4>(key_of(key), input) == literal_hash(2, 4, key, input));
        CHECK(sip_hash<1, 3>(key_of(key), input) == literal_hash(1, 3, key, input));
    }
}

TEST_CASE("the hash of words is that of their octets, the lowest first") {
    const std::array<std::uint64_t, 3> words{0x0706050403020100U, 0x0f0e0d0c0b0a0908U, 0x1716151413121110U};
    const hash_key key(1, 2);
    for (std::size_t count = 0; count <= words.size(); ++count) {
        CHECK(sip_hash<2, 4>(key, std::span(words).first(count)) == sip_hash<2, 4>(key, first_octets(8 * count)));
    }
}

TEST_CASE("each bit of the input and of the key changes about half of the hash") {
    const std::array<std::uint64_t, 2> words{3, 4};
    const std::uint64_t base = sip_hash<1, 3>(hash_key(1, 2), words);
    for (unsigned bit = 0; bit != 64; ++bit) {
        const std::uint64_t flipped = std::uint64_t{1} << bit;
        const std::array<std::uint64_t, 2> other{3, 4 ^ flipped};
        for (const std::uint64_t changed :
             {sip_hash<1, 3>(hash_key(1, 2), other), sip_hash<1, 3>(hash_key(1 ^ flipped, 2), words)}) {
            const int differing = std::popcount(base ^ changed);
            CHECK(differing > 12);
            CHECK(differing < 52);
        }
    }
}
