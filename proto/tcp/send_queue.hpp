// SPDX-License-Identifier: BSD-3-Clause
// `send_queue`: what a connection has to send, from the first octet that is not acknowledged to the last that was written,
// and what has become of each run of octets. It is also the scoreboard of RFC 6675, and the list by time of RFC 8985.
//
// It decides nothing: the connection says what was sent, lost and acknowledged. The queue keeps order and counts.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/range.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::tcp {

/// What one acknowledgment has told: sums over the ranges that it newly covers.
struct delivery {
    std::uint32_t octets = 0;        ///< Newly acknowledged or reported by SACK. With SYN and FIN.
    std::uint32_t acknowledged = 0;  ///< Of those, at the front of the queue.
    std::uint32_t sacked = 0;        ///< Newly reported by SACK.
    std::chrono::steady_clock::time_point latest_sent_at{};     ///< When the latest sent of the ranges was sent, however often it was sent.
    sequence_number latest_end;      ///< Where that range ends.
    bool latest_resent = false;      ///< Whether it was sent more than once.
    bool any = false;                ///< Whether the three above mean anything.
    bool resent = false;             ///< A range was covered that was sent more than once.
    bool once = false;               ///< A range was covered that was sent once.
    std::chrono::steady_clock::time_point once_sent_at{};       ///< When the latest of those was sent.
    sequence_number lowest_once;     ///< Where the lowest of those ends.
    bool below_highest = false;      ///< A range that was sent once, below one that was reported earlier: reordered.

    /// Whether the ranges tell how long a round trip takes. Where one was sent twice, nobody knows which sending was
    /// answered (Karn's algorithm); and those behind it may have waited at the receiver for long until it came.
    [[nodiscard]] bool can_be_timed() const noexcept { return once && !resent; }
};

/// The octets to be sent, as ranges. It gives buffers and ranges back to where they came from.
///
/// Invariants: the ranges follow each other without gap or overlap; behind the first unsent range all are unsent;
/// in_flight() is the sum over the ranges in flight, and so on; the list by time has exactly those in flight.
class FLUXNET_EXPORT send_queue {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Makes an empty queue; begin() says where it begins.
    explicit send_queue(memory& of) noexcept : memory_(of) {}
    send_queue(const send_queue&) = delete;
    send_queue& operator=(const send_queue&) = delete;
    ~send_queue() { clear(); }

    /// Gives all ranges back.
    void clear() noexcept;

    /// Sets the number of the first octet. The queue may have octets already; none of them was sent.
    void begin(sequence_number first) noexcept;

    /// Copies octets to the end, into ranges of at most `segment` octets, until there is no buffer or no range, or the queue
    /// has `limit` octets. Returns how many were taken. Not after append_fin().
    [[nodiscard]] std::size_t append(std::span<const std::byte> octets, std::uint32_t segment, std::size_t limit) noexcept;

    /// Puts a buffer at the end whose first `length` octets are data. Its octets are not copied, and it belongs to the queue
    /// if true is returned: there was a range.
    [[nodiscard]] bool append_buffer(const buffer& from, std::uint32_t length) noexcept;

    /// Puts a FIN at the end. Returns false when that needs a range and there is none.
    [[nodiscard]] bool append_fin() noexcept;

    /// Notes that a range was sent now, for the first time or again.
    void sent(range& one, time_point now) noexcept {
        if (one.where == range::place::unsent) [[likely]] {
            assert(&one == unsent_);
            unsent_ = one.next;
            next_ = one.end();
        } else {
            leave(one);
        }
        if (one.sendings != 255) { ++one.sendings; }
        one.sent_at = now;
        one.room = 0;
        fly(one);
    }

    /// Takes what lies before `to` off the queue. `to` is in it, or its end.
    void acknowledge(sequence_number to, delivery& told) noexcept;

    /// Notes that [left, right) has arrived. It lies between first() and what was sent. Ranges that are covered in part only
    /// do not count.
    void sack(sequence_number left, sequence_number right, delivery& told) noexcept;

    /// Notes that a range in flight is lost.
    void lose(range& one) noexcept;
    /// Notes that all ranges in flight are lost.
    void lose_all() noexcept;
    /// Takes lost ranges for in flight after all (RFC 4015); those that were sacked stay so.
    void find_all() noexcept;
    /// Forgets what SACK has told (RFC 2018 section 8: after a time-out the data may have been discarded).
    void forget_sacks() noexcept;

    /// Cuts a range that has more than `octets` octets in two, the first of which has `octets`. Its octets are copied to a
    /// new buffer, unless they are very few; the second part stays where it is, so that what a device may be reading is not
    /// moved. Without a buffer to be had the first part stays, too: a queue that holds all buffers can still cut what it has.
    /// Returns false when there was no range.
    [[nodiscard]] bool split(range& one, std::uint32_t octets) noexcept;

    /// Gives the FIN behind the octets of the last range, which is not in flight, a range of its own. Returns false when
    /// there was none.
    [[nodiscard]] bool detach_fin() noexcept;

    /// The first range; null when the queue is empty.
    [[nodiscard]] range* front() const noexcept { return front_; }
    /// The last range; null when the queue is empty.
    [[nodiscard]] range* back() const noexcept { return back_; }
    /// The first range that was never sent; null when there is none.
    [[nodiscard]] range* unsent() const noexcept { return unsent_; }
    /// The first lost range in the order of the stream; null when there is none.
    [[nodiscard]] range* lost() noexcept;
    /// The range in flight that was sent the longest ago; its `later` are the others.
    [[nodiscard]] range* oldest() const noexcept { return oldest_; }
    /// The range that was sent last and is in flight.
    [[nodiscard]] range* newest() const noexcept { return newest_; }

    /// The number of the first octet that is not acknowledged (SND.UNA).
    [[nodiscard]] sequence_number first() const noexcept { return first_; }
    /// The number behind the last octet that was ever sent (SND.NXT).
    [[nodiscard]] sequence_number next() const noexcept { return next_; }
    /// The number behind the last octet of the queue, sent or not, or behind its FIN.
    [[nodiscard]] sequence_number end() const noexcept { return end_; }

    // Sums, in octets, FIN included.
    /// What was sent and is neither acknowledged, lost nor sacked.
    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
    /// What is taken for lost and not sent again yet.
    [[nodiscard]] std::uint32_t lost_octets() const noexcept { return lost_; }
    /// What was reported by SACK and is not acknowledged yet.
    [[nodiscard]] std::uint32_t sacked_octets() const noexcept { return sacked_; }
    /// How many ranges that is. Each was sent as a segment.
    [[nodiscard]] std::uint32_t sacked_ranges() const noexcept { return sacked_ranges_; }
    /// What was never sent.
    [[nodiscard]] std::uint32_t unsent_octets() const noexcept { return static_cast<std::uint32_t>(end_ - next_); }
    /// All that the queue has.
    [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(end_ - first_); }
    /// Whether the queue has octets, whatever else.
    [[nodiscard]] bool has_octets() const noexcept { return size() > (fin_ ? 1U : 0U); }
    /// Whether the queue has nothing, neither octets nor a FIN.
    [[nodiscard]] bool empty() const noexcept { return front_ == nullptr; }
    /// Whether a FIN was put at the end.
    [[nodiscard]] bool has_fin() const noexcept { return fin_; }

private:
    range* append_range(range* one) noexcept;
    void drop_front() noexcept;
    void fly(range& one) noexcept {
        one.where = range::place::in_flight;
        in_flight_ += one.extent();
        one.earlier = newest_;
        one.later = nullptr;
        (newest_ == nullptr ? oldest_ : newest_->later) = &one;
        newest_ = &one;
    }
    void land(range& one) noexcept;
    void leave(range& one) noexcept;
    void tell(const range& one, delivery& told) noexcept;

    memory& memory_;
    range* front_ = nullptr;
    range* back_ = nullptr;
    range* unsent_ = nullptr;
    range* oldest_ = nullptr;
    range* newest_ = nullptr;
    range* lost_from_ = nullptr;  // no range before it is lost; null: none is
    range* sack_hint_ = nullptr;  // where the last block ended
    sequence_number first_;
    sequence_number next_;
    sequence_number end_;
    sequence_number highest_told_;  // the end of the highest range that was acknowledged or sacked
    std::uint32_t in_flight_ = 0;
    std::uint32_t lost_ = 0;
    std::uint32_t sacked_ = 0;
    std::uint32_t sacked_ranges_ = 0;
    std::uint32_t kept_ranges_ = 0;  // of those that the pool keeps for it
    bool fin_ = false;
};

}  // namespace fluxnet::proto::tcp
