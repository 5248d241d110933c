// SPDX-License-Identifier: BSD-3-Clause
// `tcp_options`: the options of one TCP segment as a value: read() takes them from the wire, emit() puts them there.
//
// Nearly every segment of a connection has timestamps and nothing else. That case is read and written in a few steps and
// without a loop; everything else takes the general way.
//
// A value: freely copied, compared and used from any thread.
#pragma once

#include "fluxnet/proto/byte_order.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// The numbers of the options that FluxNet reads (the IANA registry "TCP Option Kind Numbers").
namespace tcp_option {
inline constexpr std::uint8_t end_of_list = 0;
inline constexpr std::uint8_t no_operation = 1;
inline constexpr std::uint8_t mss = 2;             // RFC 9293 section 3.7.1
inline constexpr std::uint8_t window_scale = 3;    // RFC 7323 section 2.2
inline constexpr std::uint8_t sack_permitted = 4;  // RFC 2018 section 2
inline constexpr std::uint8_t sack = 5;            // RFC 2018 section 3
inline constexpr std::uint8_t timestamps = 8;      // RFC 7323 section 3.2
}  // namespace tcp_option

/// Data that has arrived beyond a gap: the sequence numbers from `left` up to, without, `right`.
struct sack_block {
    std::uint32_t left = 0;
    std::uint32_t right = 0;

    friend bool operator==(const sack_block&, const sack_block&) = default;
};

/// The options of one segment. What was not there has its default.
struct tcp_options {
    static constexpr std::uint8_t no_scale = 0xff;
    static constexpr std::size_t max_length = 40;  ///< What a header has room for, in octets.

    std::uint16_t mss = 0;                 ///< In octets of data; 0: none.
    std::uint8_t window_scale = no_scale;  ///< no_scale: none. As it was sent, which may be above 14.
    bool sack_permitted = false;
    bool timestamps = false;           ///< Whether the next two mean anything.
    std::uint8_t sack_count = 0;       ///< How many of `sack` are there.
    std::uint32_t timestamp = 0;       ///< The sender's clock (TSval).
    std::uint32_t timestamp_echo = 0;  ///< What the sender last heard of the receiver's clock (TSecr).
    std::array<sack_block, 4> sack{};

    /// Reads options, any bytes of any length. Unknown ones are skipped by their length, and of a kind that comes twice the
    /// last one holds. The reading ends at the end, at an end-of-list option, or at a malformed option: one that is shorter
    /// than its own head, runs over the end, or has a known kind and not that kind's length (RFC 9293 section 3.1: a length
    /// such as zero must do no harm). What was read before a malformed option holds. Whether the segment may have these
    /// options (some belong to a SYN only) is left to the caller.
    [[nodiscard]] static tcp_options read(std::span<const std::byte> octets) noexcept {
        tcp_options found;
        if (octets.size() == padded_timestamps && load_be32(octets.data()) == timestamps_head) {
            found.timestamps = true;
            found.timestamp = load_be32(octets.data() + 4);
            found.timestamp_echo = load_be32(octets.data() + 8);
            return found;
        }
        while (!octets.empty()) {
            const std::optional<std::size_t> length = found.read_one(octets);
            if (!length) { break; }
            octets = octets.subspan(*length);
        }
        return found;
    }

    /// Whether there are timestamps and nothing else. What belongs to a SYN is looked at in one go.
    [[nodiscard]] bool only_timestamps() const noexcept {
        static_assert(offsetof(tcp_options, sack_permitted) == 3 && sizeof(bool) == 1);
        constexpr std::array<std::uint8_t, 4> nothing{0, 0, no_scale, 0};
        std::uint32_t of_syn = 0;
        std::memcpy(&of_syn, this, sizeof of_syn);
        return of_syn == std::bit_cast<std::uint32_t>(nothing) && timestamps && sack_count == 0;
    }

    /// What emit() writes, in octets: a multiple of 4, at most max_length.
    [[nodiscard]] std::size_t length() const noexcept {
        if (only_timestamps()) { return padded_timestamps; }
        const std::size_t blocks = sack_room();
        return length_without_sack() + (blocks == 0 ? 0 : sack_head_length + blocks * sack_block_length);
    }

    /// Writes the options at the front of `to`, which has room for length() octets. The order is MSS, SACK permitted,
    /// timestamps, window scale, SACK; NOPs before an option let it end on a word. Where four SACK blocks do not fit, the
    /// first ones are written: three beside timestamps (RFC 2018 section 3).
    void emit(std::span<std::byte> to) const noexcept {
        assert(to.size() >= length());
        if (only_timestamps()) {
            emit_timestamps(to.data());
        } else {
            emit_all(to.data());
        }
    }

    friend bool operator==(const tcp_options&, const tcp_options&) = default;

private:
    static constexpr std::size_t padded_timestamps = 12;
    static constexpr std::uint32_t timestamps_head = 0x0101080a;  // NOP, NOP, kind, length
    static constexpr std::size_t sack_head_length = 4;            // NOP, NOP, kind, length
    static constexpr std::size_t sack_block_length = 8;

    /// Reads one option from the front of `rest`, which is not empty, and returns its length; nothing if the reading ends.
    [[nodiscard]] std::optional<std::size_t> read_one(std::span<const std::byte> rest) noexcept {
        const auto kind = std::to_integer<std::uint8_t>(rest[0]);
        if (kind == tcp_option::no_operation) { return 1; }
        if (kind == tcp_option::end_of_list || rest.size() < 2) { return std::nullopt; }
        const auto length = std::to_integer<std::size_t>(rest[1]);
        if (length < 2 || length > rest.size() || !take(kind, rest.subspan(2, length - 2))) { return std::nullopt; }
        return length;
    }

    /// Keeps what an option says. Returns false when it has not the length of its kind.
    [[nodiscard]] bool take(std::uint8_t kind, std::span<const std::byte> data) noexcept {
        switch (kind) {
            case tcp_option::mss:
                if (data.size() != 2) { return false; }
                mss = load_be16(data.data());
                return true;
            case tcp_option::window_scale:
                if (data.size() != 1) { return false; }
                window_scale = std::to_integer<std::uint8_t>(data[0]);
                return true;
            case tcp_option::sack_permitted: sack_permitted = sack_permitted || data.empty(); return data.empty();
            case tcp_option::timestamps:
                if (data.size() != 8) { return false; }
                timestamps = true;
                timestamp = load_be32(data.data());
                timestamp_echo = load_be32(data.data() + 4);
                return true;
            case tcp_option::sack: return take_sack(data);
            default: return true;
        }
    }

    [[nodiscard]] bool take_sack(std::span<const std::byte> data) noexcept {
        const std::size_t count = data.size() / sack_block_length;
        if (count == 0 || count > sack.size() || data.size() % sack_block_length != 0) { return false; }
        sack = {};
        sack_count = static_cast<std::uint8_t>(count);
        for (std::size_t i = 0; i != count; ++i) {
            const std::byte* const block = data.data() + i * sack_block_length;
            sack[i] = {load_be32(block), load_be32(block + 4)};
        }
        return true;
    }

    [[nodiscard]] std::size_t length_without_sack() const noexcept {
        // SACK permitted has two octets and takes the place of the two NOPs before timestamps.
        return (mss != 0 ? 4U : 0U) +
               (timestamps       ? padded_timestamps
                : sack_permitted ? 4U
                                 : 0U) +
               (window_scale != no_scale ? 4U : 0U);
    }

    /// How many of the SACK blocks fit.
    [[nodiscard]] std::size_t sack_room() const noexcept {
        const std::size_t room = (max_length - length_without_sack() - sack_head_length) / sack_block_length;
        return std::min({std::size_t{sack_count}, sack.size(), room});
    }

    std::byte* emit_timestamps(std::byte* to) const noexcept {
        store_be32(to, timestamps_head);
        store_be32(to + 4, timestamp);
        store_be32(to + 8, timestamp_echo);
        return to + padded_timestamps;
    }

    void emit_all(std::byte* to) const noexcept {
        if (mss != 0) {
            store_be32(to, 0x02040000U | mss);
            to += 4;
        }
        std::byte* const before_timestamps = to;
        if (timestamps) { to = emit_timestamps(to); }
        if (sack_permitted) {
            store_be32(before_timestamps, timestamps ? 0x0402080aU : 0x01010402U);
            to = timestamps ? to : to + 4;
        }
        if (window_scale != no_scale) {
            store_be32(to, 0x01030300U | window_scale);
            to += 4;
        }
        const std::size_t blocks = sack_room();
        if (blocks == 0) { return; }
        store_be32(to, static_cast<std::uint32_t>(0x01010502U + blocks * sack_block_length));
        to += sack_head_length;
        for (std::size_t i = 0; i != blocks; ++i, to += sack_block_length) {
            store_be32(to, sack[i].left);
            store_be32(to + 4, sack[i].right);
        }
    }
};

}  // namespace fluxnet::proto
