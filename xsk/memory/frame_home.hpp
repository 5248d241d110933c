// SPDX-License-Identifier: BSD-3-Clause
// `frame_home`: a share of a UMEM's frames with one owner thread at a time.
//
// The pool of the UMEM owns its homes; they live as long as the UMEM's memory. The owner takes and returns frames without
// atomic read-modify-writes. Every other thread returns a frame by a push on the home's return stack, which the owner takes
// whole. Neither path allocates or locks.
//
// Ownership. `owner_` is null or the token of a thread. Only a thread itself writes its own token, and only the owner
// writes null, so a thread that reads its own token knows that it is the owner; any other value sends it to the stack.
// A census holds an ownerless home by a token that is no thread's, for microseconds: adopt() waits for its end.
//
// Returns of other threads. What the stack's word may be, and why nothing is lost, says return_stack.hpp. The stack is
// closed with the UMEM's last handle; a thread that finds it closed counts its frame out of the UMEM instead.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/detail/checked.hpp"
#include "fluxnet/xsk/memory/detail/return_stack.hpp"
#include "fluxnet/xsk/memory/home_frames.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet {

namespace detail {
class umem_area;

/// Identifies the calling thread; equal to no other living thread's.
[[nodiscard]] FLUXNET_EXPORT inline const void* thread_token() noexcept {
    static constinit thread_local char token = 0;
    return &token;
}

/// Counts `frames` out of an area that has no handles left; unmaps it with the last one.
void frames_outlived(umem_area& area, std::uint32_t frames) noexcept;
}  // namespace detail

/// Frames linked through the pool's side array, to be returned with one push.
using frame_chain = detail::return_chain;

/// What the thread that ends a home's hunger calls. Must not throw; may run on any thread.
using frame_waker = detail::return_waker;

class FLUXNET_EXPORT frame_home {
public:
    /// Where a home lies; filled in by the pool.
    struct place {
        detail::umem_area* area = nullptr;
        detail::frame_checker* checker = nullptr;
        std::byte* base = nullptr;            // of the UMEM
        std::uint32_t* links = nullptr;       // side array of the pool, one entry per frame
        bool* lent = nullptr;                 // likewise: true while the frame is in a fill ring or behind it
        std::span<std::uint32_t> free_slots;  // room for every frame of this home
        std::uint32_t chunk_shift = 0;
        std::uint32_t headroom = 0;  // where an empty packet begins in its frame
        std::uint32_t first_frame = 0;
        std::uint32_t number = 0;  // of this home in its pool
    };

    /// See frame_pool::make_home(), which makes it.
    explicit frame_home(const place& where) noexcept;
    frame_home(const frame_home&) = delete;
    frame_home& operator=(const frame_home&) = delete;

    /// Tells whether the calling thread is the owner.
    [[nodiscard]] bool owned_here() const noexcept {
        return owner_.load(std::memory_order_relaxed) == detail::thread_token();
    }

    /// Makes the calling thread the owner, and returns whether it is. A home that another thread owns is a contract
    /// violation: asserted, and false in a build without assertions.
    bool adopt() noexcept { return owned_here() || adopt_slowly(); }

    /// Makes the calling thread the owner if there is none; returns whether it is the owner now.
    [[nodiscard]] bool try_adopt() noexcept;

    /// Holds a home that has no owner, to drain() and count it; false when it has one. For the pool's census.
    [[nodiscard]] bool begin_count() noexcept;
    void end_count() noexcept;

    /// Ends the calling thread's ownership, if it has it; the next thread that calls adopt() has it then.
    void release() noexcept;

    /// The same for an owner that may sleep, and whose next call may come from another thread: published hunger stays, and
    /// the next owner withdraws it.
    void release_hungry() noexcept;

    /// Takes a free frame for the user. Owner only.
    [[nodiscard]] std::optional<frame_index> take() noexcept;

    /// Returns a user's frame. Any thread.
    void give_back(frame_index frame) noexcept {
        place_.checker->move(frame, detail::frame_state::user, detail::frame_state::free);
        if (owned_here()) [[likely]] {
            put(frame);
        } else {
            push({frame.value, frame.value, 1});
        }
    }

    /// Returns a chain of frames that the kernel has completed. Any thread; their state is already `free`.
    void give_back(const frame_chain& chain) noexcept;

    /// Moves all frames of the return stack to the free list and returns how many. Withdraws hunger, except for a census.
    /// Owner only.
    std::uint32_t drain() noexcept { return returns_.idle() ? 0 : drain_slowly(); }

    /// Tells whether the calling thread is the owner and no frame is free or waits on the return stack.
    [[nodiscard]] bool owned_and_empty() const noexcept { return owned_here() && free_count() == 0 && returns_.idle(); }

    /// Gives free frames to a fill ring, as many as both allow, and returns how many. Owner only.
    std::uint32_t refill(producer_ring<frame_addr>& fill) noexcept;

    /// Takes every frame back that refill() gave and received() has not seen, once the socket they went to is closed.
    /// Owner only.
    void reclaim() noexcept;

    /// Notes that the kernel handed a frame over through the RX ring. The checked build returns false when the kernel did
    /// not have it. The flows are counted apart. Owner only.
    [[nodiscard]] bool received(frame_index frame) noexcept { return frames().received(frame.value); }
    void count_received(std::uint32_t frames) noexcept { received_.add(frames); }
    void count_lent_again(std::uint32_t frames) noexcept {
        returned_.add(frames);
        given_.add(frames);
    }

    /// Notes that a frame went from the user to a TX ring, or came out of a completion ring. The checked build returns false
    /// when the kernel did not have it. Any thread.
    void submitted(frame_index frame) noexcept {
        place_.checker->move(frame, detail::frame_state::user, detail::frame_state::tx);
    }
    [[nodiscard]] bool completed(frame_index frame) noexcept {
        return place_.checker->arrive(frame, detail::frame_state::tx, detail::frame_state::free);
    }

    /// Sets the waker that a return calls; only while no hunger is published. Owner only.
    void set_waker(frame_waker waker) noexcept { returns_.set_waker(waker); }

    /// Asks to be woken by the next return. Returns false, publishing nothing, when frames wait on the stack already.
    /// Owner only.
    [[nodiscard]] bool publish_hungry() noexcept {
        assert(owned_here());
        return returns_.publish_hungry();
    }

    /// Takes the request back. Owner only; does nothing when there is none.
    void withdraw_hungry() noexcept { returns_.withdraw_hungry(); }

    /// Waits for waker calls that are under way on other threads: microseconds unless such a thread is preempted.
    void settle() noexcept { returns_.settle(); }

    /// Closes the stack and returns how many frames were on it. Called once, with no owner and no handle left.
    [[nodiscard]] std::uint32_t close() noexcept;

    /// Tells whether a frame is one of this home's.
    [[nodiscard]] bool owns(frame_index frame) const noexcept { return frame.value - place_.first_frame < frame_count(); }

    /// Where its frames lie, and what the UMEM says of them.
    [[nodiscard]] home_frames frames() const noexcept {
        return {place_.base,
                place_.lent,
                place_.checker,
                std::uint64_t{place_.first_frame} << place_.chunk_shift,
                std::uint64_t{frame_count()} << place_.chunk_shift,
                place_.chunk_shift};
    }
    [[nodiscard]] detail::umem_area& area() const noexcept { return *place_.area; }
    [[nodiscard]] std::uint32_t number() const noexcept { return place_.number; }
    [[nodiscard]] std::uint32_t frame_count() const noexcept { return static_cast<std::uint32_t>(place_.free_slots.size()); }
    [[nodiscard]] std::uint32_t frame_size() const noexcept { return 1U << place_.chunk_shift; }
    [[nodiscard]] std::uint32_t headroom() const noexcept { return place_.headroom; }
    [[nodiscard]] std::uint32_t* links() const noexcept { return place_.links; }
    [[nodiscard]] std::byte* at(frame_addr addr) const noexcept { return place_.base + addr.value; }
    [[nodiscard]] std::byte* at(frame_index frame) const noexcept {
        return place_.base + (std::size_t{frame.value} << place_.chunk_shift);
    }
    [[nodiscard]] frame_addr addr_of(const std::byte* byte) const noexcept {
        return {static_cast<std::uint64_t>(byte - place_.base)};
    }
    [[nodiscard]] frame_index index_of(frame_addr addr) const noexcept {
        return {static_cast<std::uint32_t>(addr.value >> place_.chunk_shift)};
    }

    /// The flows of this home since it was made; exact on the owner's thread after drain(), elsewhere a snapshot.
    [[nodiscard]] std::uint32_t free_count() const noexcept { return free_count_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t given() const noexcept { return given_.get(); }
    [[nodiscard]] std::uint64_t taken() const noexcept { return taken_.get(); }
    [[nodiscard]] std::uint64_t received() const noexcept { return received_.get(); }
    [[nodiscard]] std::uint64_t returned() const noexcept { return returned_.get(); }

private:
    bool adopt_slowly() noexcept;
    std::uint32_t drain_slowly() noexcept;
    void push(const frame_chain& chain) noexcept;

    void put(frame_index frame) noexcept {
        const std::uint32_t count = free_count_.load(std::memory_order_relaxed);
        place_.free_slots[count] = frame.value;
        free_count_.store(count + 1, std::memory_order_relaxed);
        returned_.add(1);
    }

    const place place_;
    std::atomic<const void*> owner_ = nullptr;

    // The owner's side.
    std::atomic<std::uint32_t> free_count_ = 0;  // written by the owner only; free_slots[0, free_count_) are free
    detail::counter given_;                      // free -> fill
    detail::counter taken_;                      // free -> user
    detail::counter received_;                   // RX -> user
    detail::counter returned_;                   // user or completion -> free

    detail::return_stack returns_;
};

}  // namespace fluxnet
