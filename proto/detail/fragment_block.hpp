// SPDX-License-Identifier: BSD-3-Clause
// `fragment_block`: which eighths of a block of a datagram have arrived, and where fragments begin among them.
//
// Fragments begin at multiples of eight octets; such a unit is the smallest thing that a reassembly tells apart. A value;
// one thread at a time changes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fluxnet::proto::detail {

inline constexpr std::size_t fragment_unit = 8;  ///< Octets.

/// One bit for each unit of a block.
class unit_bits {
public:
    static constexpr std::size_t size = 128;

    [[nodiscard]] constexpr bool test(std::size_t unit) const noexcept {
        return ((words_[unit / 64] >> (unit % 64)) & 1U) != 0;
    }
    constexpr void set(std::size_t unit) noexcept { words_[unit / 64] |= std::uint64_t{1} << (unit % 64); }
    /// Whether any bit of [from, to) is set.
    [[nodiscard]] constexpr bool any(std::size_t from, std::size_t to) const noexcept {
        return ((words_[0] & mask(0, from, to)) | (words_[1] & mask(1, from, to))) != 0;
    }
    /// Whether all bits of [from, to) are set.
    [[nodiscard]] constexpr bool all(std::size_t from, std::size_t to) const noexcept {
        return ((~words_[0] & mask(0, from, to)) | (~words_[1] & mask(1, from, to))) == 0;
    }
    constexpr void set(std::size_t from, std::size_t to) noexcept {
        words_[0] |= mask(0, from, to);
        words_[1] |= mask(1, from, to);
    }

private:
    /// The bits of [from, to) that lie in a word.
    [[nodiscard]] static constexpr std::uint64_t mask(std::size_t word, std::size_t from, std::size_t to) noexcept {
        return below(word, to) & ~below(word, from);
    }
    [[nodiscard]] static constexpr std::uint64_t below(std::size_t word, std::size_t bound) noexcept {
        if (bound <= word * 64) { return 0; }
        const std::size_t count = bound - word * 64;
        return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    }

    std::array<std::uint64_t, size / 64> words_{};
};

struct fragment_block {
    static constexpr std::size_t octets = unit_bits::size * fragment_unit;

    unit_bits received;
    unit_bits starts;  // the first unit of each fragment
};

}  // namespace fluxnet::proto::detail
