// SPDX-License-Identifier: BSD-3-Clause
// `sack_list`: which octets a receiver has beyond the next one that it waits for, and what it tells the sender of them.
//
//     if (came.left < next) { received.duplicate({came.left, std::min(came.right, next)}); }
//     if (came.left > next) { keep = received.insert(came); }                    // false: too many gaps
//     else if (came.right > next) { next = received.advance(came.right); }
//     const std::size_t count = received.report(blocks);             // for the ACK that is sent now
//
// A value of 408 octets that allocates nothing; it knows sequence numbers, and no data. Threads: one at a time.
// Source: RFC 2018 section 4; RFC 2883 section 4 (D-SACK).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto::tcp {

/// Octets from `left` up to, and without, `right`.
struct sequence_range {
    sequence_number left = {};
    sequence_number right = {};

    friend constexpr bool operator==(const sequence_range&, const sequence_range&) noexcept = default;
};

/// Keeps up to 32 ranges, which neither overlap nor touch.
///
/// All ranges that it is given lie within 2^31 octets of one another and are not empty: the caller has found them acceptable
/// (RFC 9293 section 3.10.7.4), and cut off what exceeds the window.
class FLUXNET_EXPORT sack_list {
public:
    static constexpr std::size_t capacity = 32;

    /// Notes octets that have come beyond a gap, and joins them to the ranges that they overlap or touch. False, and nothing
    /// is noted, when this would be one range too many: the receiver drops the octets, for the sender never hears of them.
    [[nodiscard]] bool insert(sequence_range came) noexcept;

    /// Notes octets that were acknowledged and have come again: the next report tells of them.
    void duplicate(sequence_range came) noexcept { duplicate_ = came; }

    /// Gives the next octet to wait for, when octets in order have come up to `next`: beyond all ranges that `next` has
    /// reached, which are forgotten. What `next` has passed of them has come twice.
    [[nodiscard]] sequence_number advance(sequence_number next) noexcept { return is_empty() ? next : pass(next); }

    /// Writes what an ACK that is sent now tells, and gives the number of blocks: at most as many as there is room for,
    /// which is 4, or 3 beside timestamps. First octets that have come twice, which are told of once; then the range that
    /// has changed last, and so on.
    [[nodiscard]] std::size_t report(std::span<sequence_range> blocks) noexcept;

    /// Tells whether report() would write anything.
    [[nodiscard]] bool has_report() const noexcept { return count_ != 0 || duplicate_; }

    /// The ranges, from the first octet to the last.
    [[nodiscard]] std::span<const sequence_range> ranges() const noexcept { return {ranges_.data(), count_}; }
    [[nodiscard]] bool is_empty() const noexcept { return count_ == 0; }

    /// The number of octets in all ranges.
    [[nodiscard]] std::uint32_t octets() const noexcept;

private:
    [[nodiscard]] sequence_number pass(sequence_number next) noexcept;
    void note_overlap(sequence_range came, sequence_range kept) noexcept;
    void erase(std::size_t first, std::size_t last) noexcept;

    std::array<sequence_range, capacity> ranges_{};  // the first count_ of them, in order, with a gap after each
    std::array<std::uint32_t, capacity> changed_{};  // changes_ when each has changed
    std::size_t count_ = 0;
    std::uint32_t changes_ = 0;  // may wrap: a range that has not changed for so long then counts as a fresh one
    std::optional<sequence_range> duplicate_;  // not reported yet
};

}  // namespace fluxnet::proto::tcp
