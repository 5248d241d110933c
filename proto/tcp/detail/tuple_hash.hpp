// SPDX-License-Identifier: BSD-3-Clause
// `tuple_hash`: the keyed hash by which tables find connections.
//
//     const tuple_hash hash(key);
//     const std::uint32_t place = hash(name) >> shift;   // the high bits are as good as any
//
// A value that does not change. Threads: any.
//
// The hash is universal, not cryptographic: first NH of UMAC (RFC 4418 section 5.2) with words of 64 bits, then a
// multilinear form of the 128 bits (Lemire and Kaser, "Strongly universal string hashing is fast", 2014). Two names, chosen
// by somebody who has seen no hash, have one hash with a chance of 2^-32 + 2^-64 over the keys, and are in one bucket of 2^n
// with one of 2^-n. That is proved, given random keys: no choice of names makes the chain of a name longer, on average, than
// chance makes it. Nobody sees the hashes of a table. Somebody might tell a long chain by its time; but the first step is
// not linear, so a pair of names with one hash does not lead to further ones. It costs less than a third of SipHash-1-3, and
// each segment pays for it.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace fluxnet::proto::tcp::detail {

class tuple_hash {
public:
    /// Derives the keys of the hash, 88 octets, from one of 128 bits.
    explicit tuple_hash(const proto::detail::hash_key& key) noexcept {
        std::uint64_t number = 0;
        const auto next = [&] {
            const std::array<std::uint64_t, 2> words{label, ++number};
            return proto::detail::sip_hash<2, 4>(key, words);
        };
        for (auto& word : addends_) { word = next(); }
        for (auto& word : factors_) { word = next(); }
    }

    [[nodiscard]] std::uint32_t operator()(const four_tuple& name) const noexcept {
        const auto& words = name.words();
        wide sum = product(words[0] + addends_[0], words[1] + addends_[1]);
        if (!name.is_v4()) {
            sum += product(words[2] + addends_[2], words[3] + addends_[3]);
            sum += product(words[4] + addends_[4], addends_[5]);
        }
        const auto low = static_cast<std::uint64_t>(sum);
        const auto high = static_cast<std::uint64_t>(sum >> 64);
        const std::uint64_t mixed = factors_[0] + factors_[1] * static_cast<std::uint32_t>(low) + factors_[2] * (low >> 32) +
                                    factors_[3] * static_cast<std::uint32_t>(high) + factors_[4] * (high >> 32);
        return static_cast<std::uint32_t>(mixed >> 32);
    }

private:
    __extension__ using wide = unsigned __int128;

    static wide product(std::uint64_t left, std::uint64_t right) noexcept { return static_cast<wide>(left) * right; }

    static constexpr std::uint64_t label = 0x656c626174;  // keeps these uses of a key from others

    std::array<std::uint64_t, 6> addends_{};
    std::array<std::uint64_t, 5> factors_{};
};

}  // namespace fluxnet::proto::tcp::detail
