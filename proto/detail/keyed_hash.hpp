// SPDX-License-Identifier: BSD-3-Clause
// SipHash: a hash of short inputs under a secret key of 128 bits, which nobody without the key can foresee.
//
//     const hash_key key(secret);                                  // 16 random octets
//     const std::uint64_t tag = sip_hash<2, 4>(key, {words, 3});   // three words of 64 bits
//
// Values only: nothing is owned or allocated. Threads: any. The caller gives the key, and keeps it secret.
//
// Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (INDOCRYPT 2012). SipHash-2-4 is the form
// that the paper recommends where outputs are seen, as initial sequence numbers and cookies are (RFC 6528 section 3 asks for
// such a function); SipHash-1-3 does half of the rounds, and is for tables whose hashes nobody sees.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::detail {

/// The key, as the two numbers that SipHash makes of 16 octets.
struct hash_key {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    constexpr hash_key() noexcept = default;
    constexpr hash_key(std::uint64_t low_half, std::uint64_t high_half) noexcept : low(low_half), high(high_half) {}
    /// Reads 16 octets, the lowest first.
    constexpr explicit hash_key(std::span<const std::byte, 16> secret) noexcept {
        for (std::size_t i = 8; i != 0; --i) {
            low = low << 8 | std::to_integer<std::uint64_t>(secret[i - 1]);
            high = high << 8 | std::to_integer<std::uint64_t>(secret[i + 7]);
        }
    }
};

/// The state of a SipHash that does `Compression` rounds for each word and `Finalization` rounds at the end.
template <unsigned Compression, unsigned Finalization>
class sip_state {
public:
    constexpr explicit sip_state(const hash_key& key) noexcept
        : v0_(key.low ^ 0x736f6d6570736575U),  // "somepseu", "dorandom", "lygenera", "tedbytes"
          v1_(key.high ^ 0x646f72616e646f6dU), v2_(key.low ^ 0x6c7967656e657261U), v3_(key.high ^ 0x7465646279746573U) {}

    /// Takes eight octets of the input, the first as the lowest.
    constexpr void add(std::uint64_t word) noexcept {
        v3_ ^= word;
        rounds<Compression>();
        v0_ ^= word;
    }

    /// Takes the last seven octets or fewer, with the input's length in octets, modulo 256, as the highest octet; gives the
    /// hash.
    [[nodiscard]] constexpr std::uint64_t finish(std::uint64_t last) noexcept {
        add(last);
        v2_ ^= 0xffU;
        rounds<Finalization>();
        return v0_ ^ v1_ ^ v2_ ^ v3_;
    }

private:
    template <unsigned Count>
    constexpr void rounds() noexcept {
        if constexpr (Count != 0) {
            round();
            rounds<Count - 1>();
        }
    }

    constexpr void round() noexcept {
        v0_ += v1_;
        v2_ += v3_;
        v1_ = std::rotl(v1_, 13) ^ v0_;
        v3_ = std::rotl(v3_, 16) ^ v2_;
        v0_ = std::rotl(v0_, 32) + v3_;
        v2_ += v1_;
        v1_ = std::rotl(v1_, 17) ^ v2_;
        v3_ = std::rotl(v3_, 21) ^ v0_;
        v2_ = std::rotl(v2_, 32);
    }

    std::uint64_t v0_;
    std::uint64_t v1_;
    std::uint64_t v2_;
    std::uint64_t v3_;
};

/// The hash of whole words: that of their octets, with the lowest of each first.
template <unsigned Compression, unsigned Finalization>
[[nodiscard]] constexpr std::uint64_t sip_hash(const hash_key& key, std::span<const std::uint64_t> words) noexcept {
    sip_state<Compression, Finalization> state(key);
    for (const std::uint64_t word : words) { state.add(word); }
    return state.finish(std::uint64_t{words.size()} * 8 << 56);
}

/// The hash of octets.
template <unsigned Compression, unsigned Finalization>
[[nodiscard]] constexpr std::uint64_t sip_hash(const hash_key& key, std::span<const std::byte> octets) noexcept {
    sip_state<Compression, Finalization> state(key);
    std::uint64_t word = 0;
    for (std::size_t i = 0; i != octets.size(); ++i) {
        word |= std::to_integer<std::uint64_t>(octets[i]) << i % 8 * 8;
        if (i % 8 == 7) {
            state.add(word);
            word = 0;
        }
    }
    return state.finish(word | std::uint64_t{octets.size()} << 56);
}

}  // namespace fluxnet::proto::detail
