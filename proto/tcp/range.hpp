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
    bool shares = false;          ///< Before its octets, the buffer has octets of the range before: no room for headers.
    std::array<std::byte, 8> little{};  ///< Octets too few for a buffer.
};

/// A fixed number of ranges.
class range_pool {
public:
    /// Allocates `count` ranges.
    explicit range_pool(std::size_t count) : ranges_(count), plenty_(count - count / 16) {
        for (range& one : ranges_) { give(one); }
        in_use_ = 0;
    }
    range_pool(const range_pool&) = delete;
    range_pool& operator=(const range_pool&) = delete;

    /// Takes a range, in its default state; null when all are in use.
    [[nodiscard]] range* take() noexcept {
        range* const one = free_;
        if (one == nullptr) { return nullptr; }
        free_ = one->next;
        one->previous = one->next = one->earlier = one->later = nullptr;
        one->token = 0;
        one->length = one->room = 0;
        one->sendings = 0;
        one->where = range::place::unsent;
        one->fin = one->shares = false;
        ++in_use_;
        return one;
    }

    /// Takes a range for octets that may be refused: the last ones are kept for what cannot be, so that a queue that has taken
    /// all it could get can still be cut to what may be sent.
    [[nodiscard]] range* take_if_plenty() noexcept { return in_use_ < plenty_ ? take() : nullptr; }

    /// Takes a range back. Its buffer has been given back before.
    void give(range& one) noexcept {
        one.next = free_;
        free_ = &one;
        --in_use_;
    }

    /// How many ranges take_if_plenty() leaves.
    [[nodiscard]] std::size_t reserve() const noexcept { return ranges_.size() - plenty_; }
    /// How many ranges are taken.
    [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }
    /// How many ranges there are, taken or not.
    [[nodiscard]] std::size_t size() const noexcept { return ranges_.size(); }

private:
    std::vector<range> ranges_;
    std::size_t plenty_;  // what take_if_plenty() gives at most
    range* free_ = nullptr;
    std::size_t in_use_ = 0;  // wraps below 0 in the constructor only
};

/// What the queues of a connection share with those of others.
struct memory {
    buffer_source& buffers;
    range_pool& ranges;
};

}  // namespace fluxnet::proto::tcp
