// SPDX-License-Identifier: BSD-3-Clause
// `range`: a run of octets of a TCP stream and the buffer that they lie in. `range_pool`: where ranges come from.
//
// The queues of a connection are lists of ranges. All connections of an engine share one pool, which is allocated once: a
// segment that comes or goes takes a range from it and allocates nothing.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/proto/tcp/buffer.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fluxnet::proto::tcp {

/// A run of octets in one buffer. Belongs to one queue at a time.
struct range {
    /// What has become of octets that are to be sent. Means nothing for received ones.
    enum class place : std::uint8_t {
        unsent,     ///< Never sent.
        in_flight,  ///< Sent, and neither acknowledged nor given up for lost.
        lost,       ///< Sent, and taken for lost: to be sent again.
        sacked,     ///< Reported as received by a SACK option; kept until it is acknowledged (RFC 2018 section 8).
    };

    /// One of those that the pool keeps for the queue that has it.
    static constexpr std::uint8_t kept = 1;
    /// Before its octets, the buffer has octets of the range before: no room for headers.
    static constexpr std::uint8_t shares = 2;

    /// Whether it has that mark.
    [[nodiscard]] bool is(std::uint8_t mark) const noexcept { return (marks & mark) != 0; }
    /// The octets of the range, without its FIN.
    [[nodiscard]] std::span<const std::byte> octets() const noexcept { return {data, length}; }
    /// How much room of the sequence space it takes: its octets and its FIN.
    [[nodiscard]] std::uint32_t extent() const noexcept { return length + (fin ? 1U : 0U); }
    /// The number behind its last octet, or behind its FIN.
    [[nodiscard]] sequence_number end() const noexcept { return first + extent(); }

    range* previous = nullptr;  ///< In the order of the stream.
    range* next = nullptr;
    range* earlier = nullptr;  ///< In the order of transmission; only while `in_flight`.
    range* later = nullptr;
    std::byte* data = nullptr;
    std::uint64_t token = 0;     ///< Of the buffer; 0 while the octets lie in `little`, or in the buffer of the next range.
    std::chrono::steady_clock::time_point sent_at{};  ///< The last time.
    sequence_number first;       ///< Of the octet at `data`.
    std::uint32_t length = 0;    ///< In octets.
    std::uint32_t room = 0;      ///< What the buffer still has behind the octets.
    std::uint8_t sendings = 0;   ///< How often it was sent; 255 stands for more, too.
    place where = place::unsent;
    bool fin = false;             ///< A FIN follows the octets.
    std::uint8_t marks = 0;       ///< `kept`, `shares`.
    std::array<std::byte, 8> little{};  ///< Octets too few for a buffer.
};

/// A fixed number of ranges, for all queues together.
///
/// What peers make queues hold, by tiny segments that nobody reads or that lie beyond gaps, must not keep other connections
/// from going on. So a few ranges are kept for each connection, whatever others hold: one for octets that it sends, one for
/// octets that come in order, and one to cut what is to be sent. All others are shared: octets beyond gaps, which come again,
/// get half of them at most, and the last sixteenth is for cuts and ends.
class range_pool {
public:
    /// How many ranges are kept for a connection.
    static constexpr std::size_t kept_each = 3;

    /// Allocates `count` ranges. Some of them are kept for each of `connections`, unless that is more than half of them.
    explicit range_pool(std::size_t count, std::size_t connections = 0)
        : ranges_(count), keeps_(connections != 0 && kept_each * connections <= count / 2),
          shared_(count - (keeps_ ? kept_each * connections : 0)), plenty_(shared_ - shared_ / 16) {
        for (range& one : ranges_) { link(one); }
    }
    range_pool(const range_pool&) = delete;
    range_pool& operator=(const range_pool&) = delete;

    // Each takes a range, in its default state, or returns null. `kept`: how many of those that are kept for it a queue has.

    /// For octets that are received in order, or are to be sent.
    [[nodiscard]] range* take(std::uint32_t& kept) noexcept { return take_from(kept, 1, plenty_); }
    /// For received octets beyond a gap.
    [[nodiscard]] range* take_beyond_gap() noexcept {
        std::uint32_t none = 0;
        return take_from(none, 0, plenty_ / 2);
    }
    /// For a part of a range, or a FIN: so a queue that has taken all it could get can still be cut to what may be sent.
    [[nodiscard]] range* take_to_cut(std::uint32_t& kept) noexcept { return take_from(kept, 2, shared_); }

    /// Takes a range back from the queue. Its buffer has been given back before.
    void give(range& one, std::uint32_t& kept) noexcept {
        if (one.is(range::kept)) {
            --kept;
            --kept_in_use_;
        } else {
            --shared_in_use_;
        }
        link(one);
    }

    /// How many ranges take() leaves.
    [[nodiscard]] std::size_t reserve() const noexcept { return ranges_.size() - plenty_; }
    /// How many ranges are taken.
    [[nodiscard]] std::size_t in_use() const noexcept { return kept_in_use_ + shared_in_use_; }
    /// How many ranges there are, taken or not.
    [[nodiscard]] std::size_t size() const noexcept { return ranges_.size(); }

private:
    [[nodiscard]] range* take_from(std::uint32_t& kept, std::uint32_t most_kept, std::size_t most_shared) noexcept {
        const bool keeps = kept < most_kept && keeps_;
        if (keeps) {
            ++kept;
            ++kept_in_use_;
        } else if (shared_in_use_ < most_shared) {
            ++shared_in_use_;
        } else {
            return nullptr;
        }
        range* const one = free_;
        assert(one != nullptr);
        free_ = one->next;
        one->previous = one->next = one->earlier = one->later = nullptr;
        one->token = 0;
        one->length = one->room = 0;
        one->sendings = 0;
        one->where = range::place::unsent;
        one->fin = false;
        one->marks = keeps ? range::kept : std::uint8_t{0};
        return one;
    }
    void link(range& one) noexcept {
        one.next = free_;
        free_ = &one;
    }

    std::vector<range> ranges_;
    const bool keeps_;
    const std::size_t shared_;  // what is not kept for connections
    const std::size_t plenty_;  // of these, what take() gives at most
    range* free_ = nullptr;
    std::size_t kept_in_use_ = 0;  // of those that are kept for the queues that have them
    std::size_t shared_in_use_ = 0;
};

/// What the queues of a connection share with those of others.
struct memory {
    buffer_source& buffers;
    range_pool& ranges;
};

}  // namespace fluxnet::proto::tcp
