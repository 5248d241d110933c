// SPDX-License-Identifier: BSD-3-Clause
// `sip_hash`: SipHash-2-4 over whole words. The tables that strangers can fill use it: without the secret nobody can choose
// keys that fall into one chain.
//
// A function of its arguments; used on any thread. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
#pragma once

#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>

namespace fluxnet::proto::detail {

/// 128 random bits that no stranger knows.
using hash_secret = std::array<std::uint64_t, 2>;

class sip_state {
public:
    explicit constexpr sip_state(const hash_secret& secret) noexcept
        : a_(secret[0] ^ 0x736f6d6570736575ULL), b_(secret[1] ^ 0x646f72616e646f6dULL),
          c_(secret[0] ^ 0x6c7967656e657261ULL), d_(secret[1] ^ 0x7465646279746573ULL) {}

    constexpr void add(std::uint64_t word) noexcept {
        d_ ^= word;
        rounds(2);
        a_ ^= word;
    }

    [[nodiscard]] constexpr std::uint64_t finish() noexcept {
        c_ ^= 0xff;
        rounds(4);
        return a_ ^ b_ ^ c_ ^ d_;
    }

private:
    constexpr void rounds(int count) noexcept {
        for (; count != 0; --count) {
            a_ += b_;
            b_ = std::rotl(b_, 13) ^ a_;
            a_ = std::rotl(a_, 32);
            c_ += d_;
            d_ = std::rotl(d_, 16) ^ c_;
            a_ += d_;
            d_ = std::rotl(d_, 21) ^ a_;
            c_ += b_;
            b_ = std::rotl(b_, 17) ^ c_;
            c_ = std::rotl(c_, 32);
        }
    }

    std::uint64_t a_, b_, c_, d_;
};

/// Hashes words, each as its eight octets from the lowest to the highest.
[[nodiscard]] constexpr std::uint64_t sip_hash(const hash_secret& secret,
                                               std::initializer_list<std::uint64_t> words) noexcept {
    sip_state state(secret);
    for (const std::uint64_t word : words) { state.add(word); }
    state.add((std::uint64_t{words.size()} * 8 % 256) << 56);
    return state.finish();
}

/// Hashes an address; those of one version never equal those of the other by their words alone.
[[nodiscard]] constexpr std::uint64_t sip_hash(const hash_secret& secret, const ip_address& address) noexcept {
    if (address.is_v4()) { return sip_hash(secret, {std::uint64_t{address.v4().to_host_order()}}); }
    const auto& octets = address.v6().octets();
    return sip_hash(secret, {number_of(octets, 0, 8), number_of(octets, 8, 8)});
}

}  // namespace fluxnet::proto::detail
