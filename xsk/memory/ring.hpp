// SPDX-License-Identifier: BSD-3-Clause
// The two ends of an AF_XDP ring that user space holds: `producer_ring` (fill, TX) and `consumer_ring` (RX, completion).
//
// A ring is a view: the memory belongs to the socket that mapped it and outlives the view. Slots are written or read through
// a guard (`reservation`, `claim`). When the guard goes out of scope, also while an exception unwinds, it publishes exactly
// the slots that were written or read.
//
// Threads: one at a time for each end. An end may be handed to another thread, but two threads never use it together.
//
// Protocol (Linux Documentation/networking/af_xdp.rst, net/xdp/xsk_queue.h). Both sides count in free-running 32-bit
// indices. Each index is written by one side only.
//   producer   writes entries, then stores its index with release.
//   consumer   loads the producer's index with acquire, reads entries, then stores its own index with release.
//   producer   loads the consumer's index with acquire before it overwrites a slot.
// Each end keeps a copy of the other end's index. It loads the shared index only when the copy promises too little, so that
// the cache line moves once a batch.
#pragma once

#include "fluxnet/xsk/memory/descriptor.hpp"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <span>

namespace fluxnet {

/// Where a ring lies in memory shared with the kernel (or with a model of it). `size` is a power of two.
template <class T>
struct ring_memory {
    std::uint32_t* producer = nullptr;
    std::uint32_t* consumer = nullptr;
    std::uint32_t* flags = nullptr;
    T* entries = nullptr;
    std::uint32_t size = 0;
};

/// The producing end of a ring.
template <class T>
class producer_ring {
public:
    /// Slots set aside for writing. Commits the written ones when it is destroyed or on commit(). Must not outlive its
    /// ring; one at a time.
    class [[nodiscard]] reservation {
    public:
        reservation(const reservation&) = delete;
        reservation& operator=(const reservation&) = delete;
        ~reservation() { commit(); }

        /// Returns how many slots were granted, which may be fewer than were asked for.
        [[nodiscard]] std::uint32_t capacity() const noexcept { return end_ - begin_; }
        [[nodiscard]] std::uint32_t written() const noexcept { return at_ - begin_; }
        [[nodiscard]] std::uint32_t remaining() const noexcept { return end_ - at_; }

        /// Writes the next slot; returns false, writing nothing, when all granted slots are written.
        bool push(const T& value) noexcept {
            if (at_ == end_) { return false; }
            entries_[at_++ & mask_] = value;
            return true;
        }

        /// Publishes what was written and gives the rest back. A second call does nothing.
        void commit() noexcept {
            if (at_ != begin_) { ring_.publish(at_ - begin_); }
            begin_ = end_ = at_;
        }

    private:
        friend producer_ring;
        reservation(producer_ring& ring, std::uint32_t capacity) noexcept
            : ring_(ring), entries_(ring.memory_.entries), mask_(ring.mask_), begin_(ring.head_), at_(begin_),
              end_(begin_ + capacity) {}

        producer_ring& ring_;
        // Copies of the ring's own, which a compiler can keep in registers.
        T* const entries_;
        const std::uint32_t mask_;
        std::uint32_t begin_;
        std::uint32_t at_;  // from begin_ to end_: the next slot
        std::uint32_t end_;
    };

    producer_ring() = default;
    /// Goes on where the ring stands.
    explicit producer_ring(const ring_memory<T>& memory) noexcept : memory_(memory), mask_(memory.size - 1) {
        head_ = std::atomic_ref(*memory_.producer).load(std::memory_order_relaxed);
        cached_tail_ = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
    }

    /// Sets up to `wanted` slots aside.
    reservation reserve(std::uint32_t wanted) noexcept { return reservation(*this, room_for(wanted)); }

    /// For loops that cannot throw: slots to write that lie side by side, as far as there is room, `wanted` at most. None
    /// is published until publish() says how many.
    [[nodiscard]] std::span<T> writable(std::uint32_t wanted) noexcept {
        const std::uint32_t at = head_ & mask_;
        return {memory_.entries + at, std::min(room_for(wanted), memory_.size - at)};
    }

    /// Publishes the first `count` of the slots that writable() gave.
    void publish(std::uint32_t count) noexcept {
        assert(corrupt_ || count <= memory_.size - (head_ - cached_tail_));
        head_ += count;
        if (corrupt_) [[unlikely]] { cached_tail_ = head_ - memory_.size; }
        std::atomic_ref(*memory_.producer).store(head_, std::memory_order_release);
    }

    /// How many entries the ring has room for.
    [[nodiscard]] std::uint32_t size() const noexcept { return memory_.size; }

    /// Returns how many slots are free now. Loads the kernel's index.
    [[nodiscard]] std::uint32_t available() noexcept {
        refresh();
        return memory_.size - (head_ - cached_tail_);
    }

    /// Returns how many entries the kernel has not taken yet. Loads the kernel's index.
    [[nodiscard]] std::uint32_t pending() noexcept { return memory_.size - available(); }

    /// Tells whether the kernel asks for a system call before it looks at this ring (XDP_USE_NEED_WAKEUP).
    /// The sequentially consistent read-modify-write orders the index published before it against the load of the flag:
    /// a kernel that raises the flag and then finds the ring empty is seen.
    [[nodiscard]] bool needs_wakeup() const noexcept {
        std::atomic_ref(*memory_.producer).fetch_add(0, std::memory_order_seq_cst);
        return wakeup_flag();
    }

    /// Reads the same flag without ordering anything: for a look that is repeated anyway.
    [[nodiscard]] bool wakeup_flag() const noexcept {
        return (std::atomic_ref(*memory_.flags).load(std::memory_order_relaxed) & 1U) != 0;
    }

    /// Tells whether the other side has written an index that cannot be; such a ring grants no slots.
    [[nodiscard]] bool corrupt() const noexcept { return corrupt_; }

    /// Where the ring lies.
    [[nodiscard]] const ring_memory<T>& memory() const noexcept { return memory_; }

private:
    [[nodiscard]] std::uint32_t room_for(std::uint32_t wanted) noexcept {
        if (memory_.size - (head_ - cached_tail_) < wanted) { refresh(); }
        return std::min(memory_.size - (head_ - cached_tail_), wanted);
    }

    void refresh() noexcept {
        const std::uint32_t tail = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
        if (corrupt_ || head_ - tail > memory_.size) [[unlikely]] {
            corrupt_ = true;
            cached_tail_ = head_ - memory_.size;
            return;
        }
        cached_tail_ = tail;
    }

    ring_memory<T> memory_;
    std::uint32_t mask_ = 0;
    std::uint32_t head_ = 0;         // our index; equals *producer between guards
    std::uint32_t cached_tail_ = 0;  // head_ - cached_tail_ <= size
    bool corrupt_ = false;           // for ever, once set: the ring looks full
};

/// The consuming end of a ring.
template <class T>
class consumer_ring {
public:
    /// Entries that may be read. Releases those that were read when it is destroyed or on release(). Must not outlive its
    /// ring; one at a time.
    class [[nodiscard]] claim {
    public:
        claim(const claim&) = delete;
        claim& operator=(const claim&) = delete;
        ~claim() { release(); }

        /// Returns how many entries were claimed.
        [[nodiscard]] std::uint32_t size() const noexcept { return end_ - begin_; }
        [[nodiscard]] std::uint32_t remaining() const noexcept { return end_ - at_; }

        /// Looks at the entry `offset` places ahead of the next one without reading it. `offset` < remaining().
        [[nodiscard]] const T& peek(std::uint32_t offset = 0) const noexcept {
            assert(offset < remaining());
            return entries_[(at_ + offset) & mask_];
        }

        /// Reads the next entry. remaining() must not be 0.
        T next() noexcept {
            const T value = peek();
            ++at_;
            return value;
        }

        /// Gives the slots of the entries read so far back to the producer; the rest stays in the ring. A second call
        /// does nothing.
        void release() noexcept {
            if (at_ != begin_) { ring_.release(at_ - begin_); }
            begin_ = end_ = at_;
        }

    private:
        friend consumer_ring;
        claim(consumer_ring& ring, std::uint32_t size) noexcept
            : ring_(ring), entries_(ring.memory_.entries), mask_(ring.mask_), begin_(ring.tail_), at_(begin_),
              end_(begin_ + size) {}

        consumer_ring& ring_;
        // Copies of the ring's own, which a compiler can keep in registers.
        const T* const entries_;
        const std::uint32_t mask_;
        std::uint32_t begin_;
        std::uint32_t at_;  // from begin_ to end_: the next entry
        std::uint32_t end_;
    };

    consumer_ring() = default;
    /// Goes on where the ring stands.
    explicit consumer_ring(const ring_memory<T>& memory) noexcept : memory_(memory), mask_(memory.size - 1) {
        tail_ = std::atomic_ref(*memory_.consumer).load(std::memory_order_relaxed);
        cached_head_ = std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
    }

    /// Claims up to `wanted` entries.
    claim consume(std::uint32_t wanted = ~0U) noexcept { return claim(*this, ready(wanted)); }

    /// For loops that cannot throw: entries to read that lie side by side, as far as there are any, `wanted` at most. They
    /// stay in the ring until release() says how many were read.
    [[nodiscard]] std::span<const T> readable(std::uint32_t wanted) noexcept {
        const std::uint32_t at = tail_ & mask_;
        return {memory_.entries + at, std::min(ready(wanted), memory_.size - at)};
    }

    /// Gives the slots of the first `count` entries that readable() gave back to the producer.
    void release(std::uint32_t count) noexcept {
        assert(corrupt_ || count <= cached_head_ - tail_);
        tail_ += count;
        if (corrupt_) [[unlikely]] { cached_head_ = tail_; }
        std::atomic_ref(*memory_.consumer).store(tail_, std::memory_order_release);
    }

    /// How many entries the ring has room for.
    [[nodiscard]] std::uint32_t size() const noexcept { return memory_.size; }

    /// Returns how many entries can be claimed now. Loads the kernel's index.
    [[nodiscard]] std::uint32_t available() noexcept {
        refresh();
        return cached_head_ - tail_;
    }

    /// Tells whether the other side has written an index that cannot be; such a ring yields nothing more.
    [[nodiscard]] bool corrupt() const noexcept { return corrupt_; }

    /// Where the ring lies.
    [[nodiscard]] const ring_memory<T>& memory() const noexcept { return memory_; }

private:
    [[nodiscard]] std::uint32_t ready(std::uint32_t wanted) noexcept {
        if (cached_head_ - tail_ < wanted) { refresh(); }
        return std::min(cached_head_ - tail_, wanted);
    }

    void refresh() noexcept {
        const std::uint32_t head = std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
        if (corrupt_ || head - tail_ > memory_.size) [[unlikely]] {
            corrupt_ = true;
            cached_head_ = tail_;
            return;
        }
        cached_head_ = head;
    }

    ring_memory<T> memory_;
    std::uint32_t mask_ = 0;
    std::uint32_t tail_ = 0;         // our index; equals *consumer between guards
    std::uint32_t cached_head_ = 0;  // cached_head_ - tail_ <= size
    bool corrupt_ = false;           // for ever, once set: the ring looks empty
};

}  // namespace fluxnet
