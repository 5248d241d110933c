// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum: `internet_checksum` adds up octets in full, checksum_update16/32() follow a change of one field.
//
// An accumulator is a small value on the caller's stack, used by one thread at a time; it keeps no reference to what it
// has added. All sums and checksums are in host order: store them with store_be16().
//
// The sum is one's complement addition of 16-bit words (RFC 1071). That addition does not care about byte order as long
// as all words are read alike (section 2 (B)), nor about the width of the words, since 2^16, 2^32 and 1 are the same
// number modulo 2^16 - 1 (section 2 (C)). So octets are added as 64-bit words of the machine, each carry with the word behind it, and order and
// width are put right at the end.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/ipv6_address.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace fluxnet::proto {

namespace detail {

/// Folds the carries of a one's complement sum back in until 16 bits are left. Adding a number to itself with its halves
/// exchanged leaves in the upper half what the two halves give with the carry brought back.
[[nodiscard]] constexpr std::uint16_t fold_to_16(std::uint64_t sum) noexcept {
    sum += std::rotl(sum, 32);
    auto half = static_cast<std::uint32_t>(sum >> 32);
    half += std::rotl(half, 16);
    return static_cast<std::uint16_t>(half >> 16);
}

/// Adds a word to a one's complement sum, with the carry of the addition before, and gives that of this one. A chain of them is
/// an instruction for each word; its last carry is added to the sum, which cannot wrap then: a sum that has made a carry is
/// less than the largest number.
[[nodiscard]] inline unsigned char add_word(std::uint64_t& sum, std::uint64_t word, unsigned char carry) noexcept {
#ifdef __x86_64__
    unsigned long long added = 0;
    carry = __builtin_ia32_addcarryx_u64(carry, sum, word, &added);
    sum = added;
    return carry;
#else
    const std::uint64_t both = sum + word;
    sum = both + carry;
    return both < word || sum < both ? 1 : 0;
#endif
}

/// Reads a word of the machine.
template <std::unsigned_integral Word>
[[nodiscard]] inline Word load_word(const std::byte* from) noexcept {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

/// Adds `Size` octets, as words of the machine.
template <std::size_t Size>
[[nodiscard]] inline std::uint64_t add_block(std::uint64_t sum, const std::byte* octets) noexcept {
    unsigned char carry = 0;
    for (std::size_t at = 0; at != Size; at += sizeof sum) {
        carry = add_word(sum, load_word<std::uint64_t>(octets + at), carry);
    }
    return sum + carry;
}

/// Sums whole blocks. A function by itself: within a large one g++ 12 does not leave the carry in the flags of the processor.
template <std::size_t Size>
[[nodiscard, gnu::noinline]] inline std::uint64_t sum_blocks(const std::byte* octets, std::size_t count) noexcept {
    std::uint64_t sum = 0;
    for (; count != 0; --count, octets += Size) { sum = add_block<Size>(sum, octets); }
    return sum;
}

/// Sums fewer than eight octets as words of the machine, as if zeros followed.
[[nodiscard]] inline std::uint64_t sum_few(const std::byte* next, std::size_t count) noexcept {
    std::uint64_t sum = 0;
    if ((count & 4) != 0) {
        sum = load_word<std::uint32_t>(next);
        next += 4;
    }
    if ((count & 2) != 0) {
        sum += load_word<std::uint16_t>(next);
        next += 2;
    }
    if ((count & 1) != 0) {
        const std::array<std::byte, 2> last{*next};
        sum += load_word<std::uint16_t>(last.data());
    }
    return sum;
}

/// Sums octets as words of the machine; the last word is filled up with zeros.
[[nodiscard]] inline std::uint64_t sum_octets(std::span<const std::byte> octets) noexcept {
    constexpr std::size_t word = sizeof(std::uint64_t);
    constexpr std::size_t block = 8 * word;
    constexpr std::size_t half = block / 2;  // the header of most segments
    const std::byte* next = octets.data();
    std::size_t left = octets.size();
    std::uint64_t sum = 0;
    if (left >= block) {
        sum = sum_blocks<block>(next, left / block);
        next += left / block * block;
        left %= block;
    }
    if (left >= half) {
        sum = add_block<half>(sum, next);
        left -= half;
        next += half;
    }
    for (; left >= word; left -= word, next += word) { sum += add_word(sum, load_word<std::uint64_t>(next), 0); }
    if (left != 0) { sum += add_word(sum, sum_few(next, left), 0); }
    return sum;
}

}  // namespace detail

/// Accumulates the checksum of a message that comes in pieces.
class internet_checksum {
public:
    /// Returns the checksum of one piece. It is 0 when the piece contains its own, correct checksum.
    [[nodiscard]] static std::uint16_t of(std::span<const std::byte> octets) noexcept {
        return internet_checksum().add(octets).finish();
    }

    /// Adds the next octets of the message. Pieces may have any length and any alignment; after an odd number of octets
    /// the next piece continues in the middle of a word.
    internet_checksum& add(std::span<const std::byte> octets) noexcept {
        std::uint16_t sum = detail::fold_to_16(detail::sum_octets(octets));
        if (odd_) { sum = detail::swap_bytes(sum); }
        sum_ += sum;
        odd_ = odd_ != (octets.size() % 2 != 0);
        return *this;
    }

    /// Adds a 16-bit field given in host order. Only after an even number of octets.
    internet_checksum& add_host16(std::uint16_t value) noexcept {
        assert(!odd_);
        sum_ += detail::swap_if_little(value);
        return *this;
    }

    /// Adds a 32-bit field given in host order. Only after an even number of octets.
    internet_checksum& add_host32(std::uint32_t value) noexcept {
        assert(!odd_);
        sum_ += detail::swap_if_little(value);
        return *this;
    }

    /// Adds the pseudo-header of UDP (RFC 768) and TCP (RFC 9293 section 3.1) over IPv4. `length` counts the octets of
    /// the transport's header and data; no datagram holds more than 65515 of them.
    internet_checksum& add_pseudo_header(ipv4_address source, ipv4_address destination, std::uint8_t protocol,
                                         std::uint32_t length) noexcept {
        return add_host32(source.to_host_order())
            .add_host32(destination.to_host_order())
            .add_host32(protocol)
            .add_host32(length);
    }

    /// Adds the pseudo-header of UDP, TCP and ICMPv6 over IPv6 (RFC 8200 section 8.1), whose length has 32 bits. The
    /// protocol is that of the upper layer, even where extension headers come before it.
    internet_checksum& add_pseudo_header(const ipv6_address& source, const ipv6_address& destination, std::uint8_t protocol,
                                         std::uint32_t length) noexcept {
        return add(std::as_bytes(std::span(source.octets())))
            .add(std::as_bytes(std::span(destination.octets())))
            .add_host32(protocol)
            .add_host32(length);
    }

    /// Adds the pseudo-header of the version that both addresses have.
    internet_checksum& add_pseudo_header(const ip_address& source, const ip_address& destination, std::uint8_t protocol,
                                         std::uint32_t length) noexcept {
        assert(source.is_v4() == destination.is_v4());
        return source.is_v4() ? add_pseudo_header(source.v4(), destination.v4(), protocol, length)
                              : add_pseudo_header(source.v6(), destination.v6(), protocol, length);
    }

    /// Returns the checksum of what was added so far, in host order.
    [[nodiscard]] std::uint16_t finish() const noexcept {
        return static_cast<std::uint16_t>(~detail::swap_if_little(detail::fold_to_16(sum_)));
    }

private:
    std::uint64_t sum_ = 0;  // of folded pieces, as words of the machine
    bool odd_ = false;       // whether an odd number of octets was added
};

/// Returns the checksum of a message in which one aligned 16-bit field changed (RFC 1624 equation 3). All in host order.
///
/// It is the one a full sum gives, but for a message that becomes nothing but zeros: this returns 0 and the full sum
/// 0xffff, and 0 does not hold there. No IPv4 header is all zeros; an ICMP message can be.
[[nodiscard]] constexpr std::uint16_t checksum_update16(std::uint16_t checksum, std::uint16_t before,
                                                        std::uint16_t after) noexcept {
    const std::uint64_t sum =
        std::uint64_t{0} + static_cast<std::uint16_t>(~checksum) + static_cast<std::uint16_t>(~before) + after;
    return static_cast<std::uint16_t>(~detail::fold_to_16(sum));
}

/// Does the same for an aligned 32-bit field, such as an address.
[[nodiscard]] constexpr std::uint16_t checksum_update32(std::uint16_t checksum, std::uint32_t before,
                                                        std::uint32_t after) noexcept {
    const std::uint64_t sum = std::uint64_t{0} + static_cast<std::uint16_t>(~checksum) + ~before + after;
    return static_cast<std::uint16_t>(~detail::fold_to_16(sum));
}

}  // namespace fluxnet::proto
