// SPDX-License-Identifier: BSD-3-Clause
// `return_stack`: how things that one owner lends out come back to it from any thread: frames to their home, receive buffers
// to their pool.
//
// The lender owns the stack. A thing is a number; the link from it to the next one lies in an array of the lender's. The
// owner is the one thread at a time that uses the lender; a returning thread is any thread, the owner included. No path
// allocates or locks.
//
// The stack is one 64-bit word: the number of the top thing plus one (0: empty), a `hungry` bit and a `closed` bit.
//   empty, stacked   A returning thread pushes: the word becomes its thing, linked to the one that was on top.
//                    The owner takes all: the word becomes 0. Nobody pops a single thing, hence there is no ABA.
//   hungry           Only the owner makes an empty stack hungry: it asks to be woken by the next push. The push that finds
//                    the bit clears it, and its thread calls the waker. The owner may withdraw the bit instead.
//   closed           The lender's last handle closes the stack, for ever. A push that finds it closed fails, and the
//                    returning thread counts its thing out of the lender's memory (outstanding_count).
// Things and hunger share a word, so that no wake-up is lost. A thing that is pushed before the owner publishes hunger makes
// the owner's exchange fail. A push after it finds the bit.
//
// The end of a push. After a push that did not clear `hungry` the returning thread does not touch the lender again, which
// may be freed at once. A returning thread that did clear it still calls the waker and then counts in `wakes_done_`. The
// owner learns of such a push when it cannot withdraw the bit, and counts in `wakes_granted_`. settle() waits until both
// counts are equal.
//
// Memory orders. A push is acq_rel. Its release hands the thing's bytes and its link to the owner, whose exchange acquires;
// pushes of others in between continue the release sequence. Its acquire pairs with the release of publish_hungry(), so that
// the pushing thread sees the waker. `wakes_done_` is counted with release and read with acquire: what the waker did has
// happened before settle() returns. Withdrawing is relaxed: it hands nothing over.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <atomic>
#include <cstdint>

namespace fluxnet::detail {

/// Things linked by the array of links, to be returned with one push.
struct return_chain {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::uint32_t count = 0;
};

/// What the thread that ends the owner's hunger calls. Must not throw; may run on any thread.
struct return_waker {
    void (*wake)(void* context) noexcept = nullptr;
    void* context = nullptr;
};

class FLUXNET_EXPORT return_stack {
public:
    /// `links` has an entry for each number that may be pushed.
    explicit return_stack(std::uint32_t* links) noexcept : links_(links) {}
    return_stack(const return_stack&) = delete;
    return_stack& operator=(const return_stack&) = delete;

    /// Returns a chain. False, changing nothing, when the stack is closed. Any thread.
    [[nodiscard]] bool push(const return_chain& chain) noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        do {
            if ((seen & closed_bit) != 0) {
                probe<"return_stack: push meets closed">();
                return false;
            }
            links_[chain.last] = static_cast<std::uint32_t>(seen & top_mask);
        } while (!word_.compare_exchange_weak(seen, std::uint64_t{chain.first} + 1, std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
        if ((seen & hungry_bit) != 0) { end_hunger(); }
        return true;
    }

    /// Tells whether nothing is stacked and no hunger is published. Any thread.
    [[nodiscard]] bool idle() const noexcept { return word_.load(std::memory_order_relaxed) == 0; }

    /// Tells whether hunger is published and nothing has come. Any thread.
    [[nodiscard]] bool hungry() const noexcept { return word_.load(std::memory_order_relaxed) == hungry_bit; }

    /// Withdraws hunger, takes everything and calls `visit` with each number, the last one that came first. Returns how many
    /// there were. Owner only.
    template <class Visit>
    std::uint32_t take_all(Visit visit) noexcept {
        withdraw_hungry();
        return walk(word_.exchange(0, std::memory_order_acquire), visit);
    }

    /// Sets what wakes the owner; only while no hunger is published. Owner only.
    void set_waker(return_waker waker) noexcept;

    /// Asks to be woken by the next push. Returns false, publishing nothing, when something is stacked already. Owner only.
    [[nodiscard]] bool publish_hungry() noexcept;

    /// Takes the request back. Owner only; does nothing when there is none.
    void withdraw_hungry() noexcept {
        if (!hungry_) { return; }
        hungry_ = false;
        std::uint64_t expected = hungry_bit;
        if (!word_.compare_exchange_strong(expected, 0, std::memory_order_relaxed)) { ++wakes_granted_; }
    }

    /// Waits for waker calls that are under way on other threads: microseconds unless such a thread is preempted.
    void settle() noexcept;

    /// Closes the stack and returns how many things were on it. Called once, by the lender's last handle.
    [[nodiscard]] std::uint32_t close() noexcept;

private:
    static constexpr std::uint64_t top_mask = 0xffff'ffffU;
    static constexpr std::uint64_t hungry_bit = std::uint64_t{1} << 32;
    static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 33;

    template <class Visit>
    std::uint32_t walk(std::uint64_t word, Visit visit) const noexcept {
        std::uint32_t count = 0;
        for (std::uint64_t top = word & top_mask; top != 0; ++count) {
            const auto number = static_cast<std::uint32_t>(top - 1);
            top = links_[number];
            visit(number);
        }
        return count;
    }

    /// For the thread whose push cleared the bit.
    void end_hunger() noexcept;

    // The owner's side.
    std::uint32_t* const links_;
    return_waker waker_;
    bool hungry_ = false;              // the owner published hungry and has not withdrawn it
    std::uint32_t wakes_granted_ = 0;  // times another thread cleared hungry

    // What other threads write.
    alignas(64) std::atomic<std::uint64_t> word_ = 0;
    std::atomic<std::uint32_t> wakes_done_ = 0;  // <= wakes_granted_ once the owner has looked
};

}  // namespace fluxnet::detail
