// SPDX-License-Identifier: BSD-3-Clause
// `bounded_queue<T>`: a ring of a fixed number of values that any threads put into and take from without a lock.
//
// Allocates once. After D. Vyukov's bounded MPMC queue: each cell has a sequence number that says whose turn it is. For the
// cell of position p: p means that the producer of p may write, p + 1 that the consumer of p may read; the consumer then
// leaves p + size for the next round. A thread claims positions by compare-exchange on the index, as many in a row as it
// wants and are free. So a cell has one user at a time. That user stores the cell's number with release when it is done; the
// next user loads it with acquire.
//
// The index of either side has two flags.
//   closed_bit    In the producers' index only: no position is claimed any more. Values of claimed positions are delivered.
//   awaited_bit   A coroutine waits for what this side does. A thread that claims a position learns from the same
//                 compare-exchange whether the bit was set before, so it costs nothing to ask.
// After setting awaited_bit, the waiter must itself wait for every position below the index: threads that did not see the
// bit claimed those.
//
// Threads: any, at the same time; the constructor and the destructor alone.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace fluxnet::detail {

template <class T>
class bounded_queue {
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                  std::is_nothrow_destructible_v<T>);

public:
    /// Makes room for at least `capacity` values: 2, or the next power of two. Throws std::length_error for more than an
    /// address space can hold, std::bad_alloc without memory.
    explicit bounded_queue(std::size_t capacity)
        : mask_(cells_for(capacity) - 1), cells_(std::make_unique<cell[]>(mask_ + 1)) {
        for (std::size_t i = 0; i <= mask_; ++i) { cells_[i].turn.store(i, std::memory_order_relaxed); }
    }
    bounded_queue(const bounded_queue&) = delete;
    bounded_queue& operator=(const bounded_queue&) = delete;
    ~bounded_queue() {
        for (std::uint64_t at = tail(); lead(at) == 1; ++at) { value_of(cell_of(at)).~T(); }
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

    struct outcome {
        std::size_t count;  ///< How many values were moved.
        bool awaited;       ///< Some values were moved, and the awaited_bit of this side was set before.
    };

    /// Moves values in from the front of `values`: not all when the queue is full, none when it is closed.
    outcome push(std::span<T> values) noexcept {
        const claimed mine = claim(head_, 0, values.size());
        for (std::size_t i = 0; i < mine.result.count; ++i) {
            cell& here = cell_of(mine.first + i);
            new (here.storage) T(std::move(values[i]));
            here.turn.store(mine.first + i + 1, std::memory_order_release);
        }
        return mine.result;
    }

    /// Moves the oldest values out to the front of `into`.
    outcome pop(std::span<T> into) noexcept {
        const claimed mine = claim(tail_, 1, into.size());
        for (std::size_t i = 0; i < mine.result.count; ++i) {
            cell& here = cell_of(mine.first + i);
            T& value = value_of(here);
            into[i] = std::move(value);
            value.~T();
            here.turn.store(mine.first + i + mask_ + 1, std::memory_order_release);
        }
        return mine.result;
    }

    /// Refuses all later pushes.
    void close() noexcept { head_.fetch_or(closed_bit, std::memory_order_acq_rel); }

    [[nodiscard]] bool closed() const noexcept { return (head_.load(std::memory_order_acquire) & closed_bit) != 0; }

    /// The next positions to be claimed for writing and for reading. The positions before have been claimed; threads may
    /// still be writing or reading them.
    [[nodiscard]] std::uint64_t head() const noexcept { return head_.load(std::memory_order_acquire) & position_bits; }
    [[nodiscard]] std::uint64_t tail() const noexcept { return tail_.load(std::memory_order_acquire) & position_bits; }

    /// The words of producers and consumers that hold an awaited_bit.
    [[nodiscard]] std::atomic<std::uint64_t>& head_word() noexcept { return head_; }
    [[nodiscard]] std::atomic<std::uint64_t>& tail_word() noexcept { return tail_; }
    static constexpr std::uint64_t awaited_bit = std::uint64_t{1} << 62;

    /// Tells whether the queue is closed and every value that was ever claimed a place has been taken.
    [[nodiscard]] bool finished() const noexcept {
        const std::uint64_t head = head_.load(std::memory_order_acquire);
        return (head & closed_bit) != 0 && tail() == (head & position_bits);
    }

    /// How many values are there or on their way in; a snapshot.
    [[nodiscard]] std::size_t size() const noexcept {
        const std::uint64_t before = tail();
        const std::uint64_t after = head();
        return after > before ? static_cast<std::size_t>(after - before) : 0;
    }

private:
    static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;
    static constexpr std::uint64_t position_bits = awaited_bit - 1;

    struct cell {
        std::atomic<std::uint64_t> turn;
        alignas(T) std::byte storage[sizeof(T)];
    };

    /// How many cells `capacity` values take. All of them together have no more bytes than an array can have.
    [[nodiscard]] static std::size_t cells_for(std::size_t capacity) {
        constexpr std::size_t most = std::bit_floor(static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(cell));
        if (capacity > most) {
            throw std::length_error("make a channel for " + std::to_string(capacity) +
                                    " values: no memory holds more than " + std::to_string(most) + " of " +
                                    std::to_string(sizeof(cell)) + " bytes; ask for as many as may wait at once");
        }
        return std::bit_ceil(capacity < 2 ? std::size_t{2} : capacity);
    }

    /// Positions that the caller alone may use.
    struct claimed {
        outcome result;
        std::uint64_t first;
    };

    [[nodiscard]] cell& cell_of(std::uint64_t at) const noexcept { return cells_[at & mask_]; }
    [[nodiscard]] static T& value_of(cell& of) noexcept { return *std::launder(reinterpret_cast<T*>(of.storage)); }

    /// How far the number of the cell of position `at` is ahead of it.
    [[nodiscard]] std::int64_t lead(std::uint64_t at) const noexcept {
        return static_cast<std::int64_t>(cell_of(at).turn.load(std::memory_order_acquire) - at);
    }

    /// Claims up to `wanted` positions in a row, beginning at `index`. The cell of each must have the number position +
    /// `ready`: 0 to be written, 1 to be read.
    claimed claim(std::atomic<std::uint64_t>& index, std::int64_t ready, std::size_t wanted) noexcept {
        std::uint64_t word = index.load(std::memory_order_relaxed);
        for (;;) {
            const std::uint64_t first = word & position_bits;
            if (wanted == 0 || (word & closed_bit) != 0) { return {}; }
            const std::int64_t ahead = lead(first);
            if (ahead < ready) { return {}; }
            if (ahead > ready) {
                word = index.load(std::memory_order_relaxed);
                continue;
            }
            std::size_t count = 1;
            while (count < wanted && lead(first + count) == ready) { ++count; }
            if (index.compare_exchange_weak(word, word + count, std::memory_order_acq_rel, std::memory_order_relaxed)) {
                return {{count, (word & awaited_bit) != 0}, first};
            }
        }
    }

    const std::uint64_t mask_;
    const std::unique_ptr<cell[]> cells_;
    alignas(64) std::atomic<std::uint64_t> head_ = 0;  // next position to be written
    alignas(64) std::atomic<std::uint64_t> tail_ = 0;  // next position to be read
};

}  // namespace fluxnet::detail
