// SPDX-License-Identifier: BSD-3-Clause
// `buffer_pool`: the memory of a `buffer_ring` and where each of its buffers is.
//
// Users of a pool are its buffer_ring and each pending operation that receives into it. When the last user is gone the pool
// is closed: the kernel is given no more of it. Its memory ends with the last buffer that is still out. The owner is the
// thread that drives the reactor.
//
// A buffer is in one of three states. Only the owner moves it to the first two.
//   free    in the list of free buffers, or returned and on the stack until the owner drains it.
//   kernel  in the ring from which the kernel chooses. Not where the reactor makes the calls itself.
//   user    filled: its result is queued, or a received_buffer holds it. A thread that destroys the received_buffer pushes
//           the number on the return stack, whose protocol is that of frames (return_stack.hpp).
// The memory begins with the ring that the kernel reads, when it chooses itself, and goes on with the buffers. A pool of one
// (spare_buffer.hpp) is never the kernel's, and lies on the heap.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"
#include "fluxnet/xsk/memory/detail/outstanding_count.hpp"
#include "fluxnet/xsk/memory/detail/return_stack.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fluxnet::detail {

class buffer_pool;

/// What has handed a pool to the kernel.
class buffer_provider {
public:
    /// Called once when the pool has no user any more: the kernel is to choose from it no more.
    virtual void withdraw(buffer_pool& pool) noexcept = 0;

protected:
    ~buffer_provider() = default;
};

class FLUXNET_EXPORT buffer_pool {
public:
    /// How many buffers are in which state.
    struct census {
        std::uint32_t free = 0;
        std::uint32_t kernel = 0;
        std::uint32_t user = 0;
    };

    /// Makes a pool with one user. Throws std::bad_alloc, or std::system_error when there is no memory to map.
    static buffer_pool& make(std::uint32_t count, std::uint32_t size) { return *new buffer_pool(count, size); }

    /// Makes one of a single buffer, from which the reactor chooses, with one user. Throws std::bad_alloc.
    static buffer_pool& make_spare(std::uint32_t size) { return *new buffer_pool(size); }

    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;

    /// One user more or less. The pool may be gone after drop_user(). Owner only.
    void add_user() noexcept { ++users_; }
    void drop_user() noexcept {
        if (--users_ == 0) { close(); }
    }

    /// Takes a free buffer to receive into it; it becomes the user's. Owner only.
    [[nodiscard]] std::optional<std::uint32_t> take() noexcept;

    /// Takes back what take() gave, when nothing was received. Owner only.
    void untake(std::uint32_t number) noexcept;

    /// Calls `provide` with each free buffer, which becomes the kernel's; returns how many. Owner only.
    template <class Provide>
    std::uint32_t provide_all(Provide provide) noexcept {
        drain();
        const std::uint32_t provided = free_count_;
        while (free_count_ != 0) { provide(free_[--free_count_]); }
        given_ += provided;
        return provided;
    }

    /// Notes that the kernel has chosen a buffer: it becomes the user's. Owner only.
    void chosen(std::uint32_t number) noexcept {
        assert(number < count_);
        static_cast<void>(number);
        ++chosen_;
    }

    /// The entry of the kernel's ring in which a buffer was provided last. Owner only.
    [[nodiscard]] std::uint32_t place_of(std::uint32_t number) const noexcept { return places_[number]; }
    void set_place(std::uint32_t number, std::uint32_t place) noexcept {
        places_[number] = static_cast<std::uint16_t>(place);
    }

    /// Returns a user's buffer. Any thread; the pool may be gone afterwards.
    void give_back(std::uint32_t number) noexcept;

    /// Makes the handle to a user's buffer.
    [[nodiscard]] received_buffer handle(std::uint32_t number, std::uint32_t size) noexcept {
        return {*this, at(number), number, size};
    }

    /// Moves what has been returned to the free ones. Hunger stays published while nothing has. Owner only.
    void drain() noexcept;

    /// Counts the buffers, each state by its own counters, after drain(). Owner only.
    [[nodiscard]] census count() noexcept;

    [[nodiscard]] return_stack& returns() noexcept { return returns_; }

    [[nodiscard]] std::byte* at(std::uint32_t number) const noexcept {
        return memory_ + ring_bytes_ + std::size_t{number} * size_;
    }
    [[nodiscard]] std::uint32_t buffer_count() const noexcept { return count_; }
    [[nodiscard]] std::uint32_t buffer_size() const noexcept { return size_; }

    /// The memory for the kernel's ring: `ring_entries()` times 16 bytes, at a page's begin.
    [[nodiscard]] std::byte* ring_memory() const noexcept { return memory_; }
    [[nodiscard]] std::uint32_t ring_entries() const noexcept { return ring_entries_; }

    /// Who chooses buffers: decided at the first receive. Owner only.
    enum class choice : std::uint8_t { open, kernel, reactor };
    [[nodiscard]] choice chooser() const noexcept { return chooser_; }
    [[nodiscard]] std::uint16_t group() const noexcept { return group_; }
    /// Throws std::bad_alloc.
    void let_kernel_choose(buffer_provider& provider, std::uint16_t group);
    /// `refused`: the call, a literal, by which the kernel would have been given the pool, and its errno.
    void let_reactor_choose(const char* refused = nullptr, int number = 0) noexcept;

    /// The provider is going away, and the kernel reads the ring no more. Owner only.
    void forget_provider() noexcept { provider_ = nullptr; }

    /// Says how the pool is received into, and why the kernel does not choose if it was asked to.
    [[nodiscard]] std::string name() const;

private:
    buffer_pool(std::uint32_t count, std::uint32_t size);
    explicit buffer_pool(std::uint32_t size);
    ~buffer_pool();
    void close() noexcept;

    const std::uint32_t count_;
    const std::uint32_t size_;
    const std::uint32_t ring_entries_;              // a power of two
    const std::size_t ring_bytes_;                  // whole pages
    const std::size_t mapped_bytes_;                // 0: the memory is the heap's
    const std::unique_ptr<std::uint32_t[]> links_;  // of the return stack
    const std::unique_ptr<std::uint32_t[]> free_;   // [0, free_count_) are free
    std::byte* memory_ = nullptr;

    // The owner's side.
    std::unique_ptr<std::uint16_t[]> places_;  // once the kernel chooses
    std::uint32_t free_count_ = 0;
    std::uint32_t users_ = 1;
    std::uint64_t given_ = 0;     // free -> kernel
    std::uint64_t chosen_ = 0;    // kernel -> user
    std::uint64_t taken_ = 0;     // free -> user
    std::uint64_t returned_ = 0;  // user -> free
    buffer_provider* provider_ = nullptr;
    const char* refused_ = nullptr;
    int refusal_ = 0;
    choice chooser_ = choice::open;
    std::uint16_t group_ = 0;

    outstanding_count outstanding_;
    return_stack returns_{links_.get()};
};

}  // namespace fluxnet::detail
