// SPDX-License-Identifier: BSD-3-Clause
// `bounded_queue<T>`: a ring of a fixed number of values that any threads put into and take from without a lock.
//
// Allocates once. After D. Vyukov's bounded MPMC queue: each cell has a sequence number that says whose turn it is. For the
// cell of position p: p means that the producer of p may write, p + 1 that the consumer of p may read; the consumer then
// leaves p + size for the next round. A position is claimed by compare-exchange on the index, so a cell has one user at a
// time; the sequence number is stored with release when that one is done and loaded with acquire by the next.
// The top bit of the producers' index closes the queue: no position is claimed after it, those before it are delivered.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace fluxnet::detail {

template <class T>
class bounded_queue {
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>);

public:
    /// Makes room for at least `capacity` values: 2, or the next power of two.
    explicit bounded_queue(std::size_t capacity)
        : mask_(std::bit_ceil(capacity < 2 ? 2 : capacity) - 1), cells_(std::make_unique<cell[]>(mask_ + 1)) {
        for (std::size_t i = 0; i <= mask_; ++i) { cells_[i].turn.store(i, std::memory_order_relaxed); }
    }
    bounded_queue(const bounded_queue&) = delete;
    bounded_queue& operator=(const bounded_queue&) = delete;
    ~bounded_queue() {
        while (pop([](T&&) noexcept {})) {}
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

    /// Moves `value` in; false, leaving it, when the queue is full or closed.
    [[nodiscard]] bool push(T& value) noexcept {
        std::uint64_t at = head_.load(std::memory_order_relaxed);
        for (;;) {
            if ((at & closed_bit) != 0) { return false; }
            cell& here = cells_[at & mask_];
            const auto ahead = static_cast<std::int64_t>(here.turn.load(std::memory_order_acquire) - at);
            if (ahead < 0) { return false; }
            if (ahead > 0) {
                at = head_.load(std::memory_order_relaxed);
            } else if (head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                new (here.storage) T(std::move(value));
                here.turn.store(at + 1, std::memory_order_release);
                return true;
            }
        }
    }

    /// Hands the oldest value to `take`; false when there is none that is ready.
    template <class Take>
    bool pop(Take take) noexcept {
        std::uint64_t at = tail_.load(std::memory_order_relaxed);
        for (;;) {
            cell& here = cells_[at & mask_];
            const auto ahead = static_cast<std::int64_t>(here.turn.load(std::memory_order_acquire) - (at + 1));
            if (ahead < 0) { return false; }
            if (ahead > 0) {
                at = tail_.load(std::memory_order_relaxed);
            } else if (tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                T* const value = std::launder(reinterpret_cast<T*>(here.storage));
                take(std::move(*value));
                value->~T();
                here.turn.store(at + mask_ + 1, std::memory_order_release);
                return true;
            }
        }
    }

    /// Refuses all later pushes.
    void close() noexcept { head_.fetch_or(closed_bit, std::memory_order_acq_rel); }

    [[nodiscard]] bool closed() const noexcept { return (head_.load(std::memory_order_acquire) & closed_bit) != 0; }

    /// Tells whether the queue is closed and every value that was ever claimed a place has been taken.
    [[nodiscard]] bool finished() const noexcept {
        const std::uint64_t head = head_.load(std::memory_order_acquire);
        return (head & closed_bit) != 0 && tail_.load(std::memory_order_acquire) == (head & ~closed_bit);
    }

    /// How many values are there or on their way in; a snapshot.
    [[nodiscard]] std::size_t size() const noexcept {
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        const std::uint64_t head = head_.load(std::memory_order_relaxed) & ~closed_bit;
        return head > tail ? static_cast<std::size_t>(head - tail) : 0;
    }

private:
    static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;

    struct cell {
        std::atomic<std::uint64_t> turn;
        alignas(T) std::byte storage[sizeof(T)];
    };

    const std::uint64_t mask_;
    const std::unique_ptr<cell[]> cells_;
    alignas(64) std::atomic<std::uint64_t> head_ = 0;  // next position to be written
    alignas(64) std::atomic<std::uint64_t> tail_ = 0;  // next position to be read
};

}  // namespace fluxnet::detail
