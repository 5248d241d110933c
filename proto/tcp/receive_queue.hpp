// SPDX-License-Identifier: BSD-3-Clause
// `receive_queue`: what a connection has received: octets in order that wait for the user, and octets beyond gaps.
//
// Received octets stay in the buffer in which they came: the queue keeps that buffer, and gives it back when the octets have
// been read. Few octets are copied together instead, so that a peer that sends tiny segments does not hold a whole buffer
// with each, nor a range.
//
// What has been received is never thrown away and never replaced: of two segments that claim the same octets the first
// counts. So an octet that was acknowledged, or reported by SACK, is there to be read.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp/range.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto::tcp {

/// Received octets that are lent: they stay until the user gives the token back to the buffer source, and tells the
/// connection how many there were.
struct lent_range {
    std::span<const std::byte> octets;
    std::uint64_t token = 0;
};

/// The received octets, as ranges.
///
/// Invariants: what is in order ends at next(), the ranges beyond do not overlap, and the first of them begins behind next().
class FLUXNET_EXPORT receive_queue {
public:
    /// What became of a segment's octets.
    struct outcome {
        bool kept = false;       ///< The buffer of the segment belongs to the queue now.
        bool advanced = false;   ///< next() has moved.
        bool beyond_gap = false; ///< Octets were kept beyond a gap, or there was a gap and it was filled in part or whole.
        bool refused = false;    ///< There was no range or no buffer for some of them, and they were dropped.
        std::optional<sack_block> duplicate;  ///< Octets that had been received before (RFC 2883).
    };

    /// Segments of at most `copy_below` octets are copied; at most `most_ranges` ranges are kept beyond gaps.
    receive_queue(memory& of, std::uint32_t copy_below, std::uint32_t most_ranges) noexcept
        : memory_(of), copy_below_(copy_below), most_beyond_(most_ranges) {}
    receive_queue(const receive_queue&) = delete;
    receive_queue& operator=(const receive_queue&) = delete;
    ~receive_queue() { clear(); }

    /// Gives all ranges back. Octets that are lent stay with the user.
    void clear() noexcept;

    /// Gives the ranges beyond gaps back: nothing will fill the gaps any more.
    void clear_beyond() noexcept;

    /// Sets the number of the first octet. Before anything is put in.
    void begin(sequence_number first) noexcept { next_ = first; }

    /// Puts the octets of a segment in, which lie within the window: none at or behind its right edge. `token` is that of
    /// the buffer that they lie in. Never more than one step for each range that is beyond gaps.
    [[nodiscard]] outcome insert(sequence_number first, std::span<const std::byte> octets, std::uint64_t token) noexcept {
        if (first != next_ || beyond_front_ != nullptr || octets.empty()) { return insert_any(first, octets, token); }
        outcome told;
        told.advanced = append(octets, token, told.kept);
        told.refused = !told.advanced;
        if (fin_ && told.advanced) { reach_fin(); }
        return told;
    }

    /// Notes that the peer has sent a FIN behind `at`. Once everything before it is there, next() counts it.
    void finish(sequence_number at) noexcept;

    /// Copies octets out and returns how many.
    [[nodiscard]] std::size_t read(std::span<std::byte> into) noexcept;

    /// Lends the first range; its buffer belongs to the user then. Nothing when there is no octet to be read. A range that
    /// has no buffer of its own cannot be lent: `into` gets its octets then, at most 8.
    [[nodiscard]] std::optional<lent_range> lend(std::span<std::byte, 8> into) noexcept;

    /// Notes that octets that were lent have been given back.
    void returned(std::uint32_t octets) noexcept { lent_ -= octets; }

    /// The octet that is expected next (RCV.NXT); a FIN counts as one.
    [[nodiscard]] sequence_number next() const noexcept { return next_; }
    /// Octets that wait to be read.
    [[nodiscard]] std::uint32_t readable() const noexcept { return readable_; }
    /// Octets that the user still holds.
    [[nodiscard]] std::uint32_t lent() const noexcept { return lent_; }
    /// Octets beyond gaps.
    [[nodiscard]] std::uint32_t beyond() const noexcept { return beyond_octets_; }
    [[nodiscard]] bool has_gap() const noexcept { return beyond_front_ != nullptr || (fin_ && !finished_); }
    /// Whether everything up to the peer's FIN was received.
    [[nodiscard]] bool finished() const noexcept { return finished_; }
    /// Whether a FIN was received, perhaps beyond a gap.
    [[nodiscard]] bool has_fin() const noexcept { return fin_; }

    /// The blocks that a SACK option reports, the one that changed last first (RFC 2018 section 4).
    [[nodiscard]] std::span<const sack_block> blocks() const noexcept { return {blocks_.data(), block_count_}; }

private:
    [[nodiscard]] outcome insert_any(sequence_number first, std::span<const std::byte> octets, std::uint64_t token) noexcept;
    [[nodiscard]] bool append(std::span<const std::byte> octets, std::uint64_t token, bool& kept) noexcept;
    [[nodiscard]] bool insert_beyond(range* behind, sequence_number first, std::span<const std::byte> octets,
                                     std::uint64_t token, outcome& told) noexcept;
    [[nodiscard]] range* make(range* one, sequence_number first, std::span<const std::byte> octets, std::uint64_t token,
                              bool& kept) noexcept;
    [[nodiscard]] bool extend(range& one, std::span<const std::byte> octets) noexcept;
    void fill(sequence_number first, std::span<const std::byte> octets, std::uint64_t token, outcome& told) noexcept;
    void join() noexcept;
    void drop(range& one) noexcept;
    void drop_all(range*& list) noexcept;
    void report(sequence_number first, sequence_number end, const range& holder) noexcept;
    void forget_reported() noexcept;
    void reach_fin() noexcept;

    memory& memory_;
    range* front_ = nullptr;  // in order
    range* back_ = nullptr;
    range* beyond_front_ = nullptr;  // beyond gaps
    range* beyond_back_ = nullptr;
    sequence_number next_;
    sequence_number fin_at_;
    std::uint32_t readable_ = 0;
    std::uint32_t lent_ = 0;
    std::uint32_t beyond_octets_ = 0;
    std::uint32_t beyond_ranges_ = 0;
    std::uint32_t kept_ranges_ = 0;  // of those that the pool keeps for it
    std::uint32_t copy_below_;
    std::uint32_t most_beyond_;
    std::array<sack_block, 4> blocks_{};
    std::uint8_t block_count_ = 0;
    bool fin_ = false;
    bool finished_ = false;
};

}  // namespace fluxnet::proto::tcp
