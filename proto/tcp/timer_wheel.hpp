// SPDX-License-Identifier: BSD-3-Clause
// `timer_wheel`: the deadlines of many connections, without a clock. A `timer_node` is part of the object that waits.
//
//     timer_wheel wheel(now);
//     wheel.arm(connection.node, now + 200ms);
//     ... wheel.next_deadline() ...                        // how long the caller may sleep
//     wheel.advance(now, [&](timer_node& node) { ... });   // nodes that are due; they are no longer in the wheel
//
// The owner of a node keeps it where it is while it is in a wheel, and removes it before it ends. The wheel allocates
// nothing. Threads: one at a time uses a wheel and its nodes.
//
// It is the hierarchical wheel of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7.
#pragma once

#include "fluxnet/export.hpp"

#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace fluxnet::proto::tcp {

/// The place of one waiting object in a timer_wheel.
class timer_node {
public:
    timer_node() noexcept = default;
    timer_node(const timer_node&) = delete;
    timer_node& operator=(const timer_node&) = delete;
    ~timer_node() { assert(!is_linked()); }

    /// Tells whether a wheel holds it.
    [[nodiscard]] bool is_linked() const noexcept { return link_ != nullptr; }

private:
    friend class timer_wheel;

    timer_node* next_ = nullptr;
    timer_node** link_ = nullptr;  // what points to this node; nullptr while no wheel holds it
    std::uint64_t tick_ = 0;       // when it comes due
};

/// Keeps nodes by their deadlines. Time goes in ticks of 4,096 ns since the wheel was made; a deadline counts as the next
/// tick's start, so a node comes due at its deadline or less than a tick after it, never before.
///
/// Each of nine levels has 64 slots. A slot of level 0 is one tick, and a slot of each further level is as long as all of
/// the level before. A node lies at the level of the highest base-64 digit in which its tick differs from the wheel's time,
/// in the slot of its own digit there. So everything at a level is later than everything at the levels below, and the first
/// node is found by two searches for the lowest set bit. When time reaches a slot of a higher level, the nodes in it go
/// down: this happens at most eight times to a node, and once or twice to one that waits for less than a second. Nine digits
/// are more than the clock has: no deadline is too far.
///
/// A connection that keeps the earliest of its deadlines in the wheel need not move its node when that deadline moves later:
/// it uses arm(), and looks again when the node comes due.
class FLUXNET_EXPORT timer_wheel {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// The length of a tick.
    static constexpr std::chrono::nanoseconds tick{4096};

    /// Makes an empty wheel whose time begins at `start`; an earlier deadline counts as that.
    explicit timer_wheel(time_point start) noexcept : start_(start) {}
    timer_wheel(const timer_wheel&) = delete;
    timer_wheel& operator=(const timer_wheel&) = delete;
    ~timer_wheel() { assert(is_empty()); }

    /// Puts a node in that no wheel holds. With a deadline that has passed, the next call of advance() finds it due; a node
    /// put in during advance() is not due in that call, but a tick after it at the earliest: so each call ends.
    void insert(timer_node& node, time_point deadline) noexcept;

    /// Takes a node out; does nothing when it is in no wheel. May be called for any node during advance().
    void remove(timer_node& node) noexcept;

    /// Makes sure that the node comes due at `deadline` or before: inserts it, or moves it when its deadline is later, and
    /// leaves it where it is otherwise.
    void arm(timer_node& node, time_point deadline) noexcept;

    /// Sets the time and calls `due(timer_node&)` for each node whose time has come, tick by tick, in no particular order
    /// within a tick. A node has left the wheel when it is given, and may be put in again or end. A time before that of an
    /// earlier call counts as that. `due` must not call advance().
    template <class Due>
    void advance(time_point now, Due&& due) {
        if (begin(now)) { run(due); }
    }

    /// The two halves of advance(): begin() sets the time that it goes to, and tells whether there is anything to be run.
    /// Short, for it runs in every turn of a loop. After true run() comes, before anything else.
    [[nodiscard]] bool begin(time_point now) noexcept {
        const std::uint64_t reached = since_start(now) >> tick_bits;
        target_ = reached > current_ ? reached : current_;
        if (target_ < next_slot_) {
            current_ = target_;
            earliest_ = target_;
            return false;
        }
        earliest_ = target_ + 1;
        return true;
    }
    template <class Due>
    void run(Due&& due) {
        while (timer_node* const node = take_due()) { due(*node); }
    }

    /// Tells when advance() is to be called next: at the first node's tick, or before, when time reaches the slot of a
    /// higher level in which more than `exact_nodes` wait together. Nothing when the wheel is empty.
    [[nodiscard]] std::optional<time_point> next_deadline() const noexcept;

    /// Tells when a node that is in this wheel comes due: its deadline as a tick's start.
    [[nodiscard]] time_point deadline(const timer_node& node) const noexcept { return time_of(node.tick_); }

    /// Tells whether it holds no node.
    [[nodiscard]] bool is_empty() const noexcept { return levels_in_use_ == 0; }

    /// As many nodes of one slot next_deadline() looks at.
    static constexpr unsigned exact_nodes = 8;

private:
    static constexpr unsigned digit_bits = 6;
    static constexpr unsigned slots = 1U << digit_bits;
    static constexpr unsigned level_count = 9;
    static constexpr unsigned tick_bits = 12;
    static_assert(tick.count() == 1 << tick_bits && level_count * digit_bits + tick_bits > 64);

    [[nodiscard]] std::uint64_t since_start(time_point moment) const noexcept {
        if (moment <= start_) { return 0; }
        // Unsigned, because the two may be further apart than the clock's type can say.
        return static_cast<std::uint64_t>(moment.time_since_epoch().count()) -
               static_cast<std::uint64_t>(start_.time_since_epoch().count());
    }
    [[nodiscard]] std::uint64_t tick_of(time_point deadline) const noexcept;
    [[nodiscard]] time_point time_of(std::uint64_t ticks) const noexcept;
    [[nodiscard]] unsigned level_of(std::uint64_t ticks) const noexcept;
    static unsigned slot_of(std::uint64_t ticks, unsigned level) noexcept;
    [[nodiscard]] std::uint64_t start_of(unsigned level, unsigned slot) const noexcept;
    void place(timer_node& node) noexcept;
    void clear(unsigned level, unsigned slot) noexcept;
    [[nodiscard]] timer_node* take_due() noexcept;
    void lower(unsigned level, unsigned slot) noexcept;

    time_point start_;
    std::uint64_t current_ = 0;   // the wheel's time; each node's tick is this or later
    std::uint64_t target_ = 0;    // where advance() goes; current_ outside of it
    std::uint64_t earliest_ = 0;  // the least tick that insert() gives: current_, or target_ + 1 during advance()
    std::uint64_t next_slot_ = ~std::uint64_t{0};            // no slot in use begins before this tick
    unsigned levels_in_use_ = 0;                             // bit n: level n has a node
    std::array<std::uint64_t, level_count> slots_in_use_{};  // bit n: slot n has a node; none is set below current_'s digit
    std::array<std::array<timer_node*, slots>, level_count> heads_{};
};

}  // namespace fluxnet::proto::tcp
