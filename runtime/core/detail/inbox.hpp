// SPDX-License-Identifier: BSD-3-Clause
// `inbox`: how other threads hand nodes to an executor, and how they end its sleep.
//
// Owned by the executor. post(), poke() and stop() may be called on any thread; the rest belongs to the thread that drives
// the executor.
//
// Protocol. Everything travels through one word: the top of a stack of nodes, which the owner takes whole, and three tags.
//   sleeping  The owner is asleep, or about to be. The owner sets it only while the word is 0. The thread whose exchange
//             removes it has to wake the owner; post(), poke() and stop() then return true.
//   poked     The owner is not to sleep before it has looked around. Removed when the owner takes the stack.
//   stop      stop() was called. Stays until restart().
// So a node that is pushed before the owner sets the sleeping tag keeps the owner from setting it, and a later one ends the
// sleep: there is no moment in which both miss. A push is release and the take is acquire: what the pushing thread wrote
// before is visible to the node.
//
// Rest. An owner whose loop has nothing to wait for rests: it sleeps without anyone who looks at its reactor, and the wake
// goes to its `rest_listener` instead. The thread that removed the sleeping tag sees that from `resting_`, which the owner
// writes before it sets the tag; a wake that comes when the rest has ended already is one too many, and harmless.
//
// Lifetime. After a push, the pushing thread touches the inbox again only if its push removed the sleeping tag: it then
// wakes the owner and calls woken(). `tags_taken_` counts such removals, which the owner sees when its sleep ends, and
// `woken_` counts finished wakes. settle() waits until they are equal; afterwards the executor may be destroyed. So the last
// thing that an executor runs may come from another thread, and the executor may go while that thread is still returning.
#pragma once

#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

namespace fluxnet::detail {

/// Told on any thread that an executor which rests has something to look at.
class rest_listener {
public:
    virtual void on_work() noexcept = 0;

protected:
    ~rest_listener() = default;
};

class inbox {
public:
    inbox() = default;
    inbox(const inbox&) = delete;
    inbox& operator=(const inbox&) = delete;

    // Any thread. True: the caller has to wake the owner, and then to call woken().

    /// Pushes a node, which lives until it has run.
    [[nodiscard]] bool post(ready_node& node) noexcept {
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            node.foreign_next = reinterpret_cast<ready_node*>(seen & ~tags);
        } while (!word_.compare_exchange_weak(seen, reinterpret_cast<std::uintptr_t>(&node) | (seen & stop_tag),
                                              std::memory_order_acq_rel, std::memory_order_relaxed));
        if ((seen & sleeping_tag) != 0) { probe<"inbox: post while the owner sleeps">(); }
        return (seen & sleeping_tag) != 0;
    }

    /// Makes the owner look around before it sleeps.
    [[nodiscard]] bool poke() noexcept { return set(poked_tag); }

    [[nodiscard]] bool stop() noexcept {
        probe<"inbox: stop tag set">();
        return set(stop_tag);
    }

    /// The last that a thread does with the inbox which has removed the sleeping tag.
    void woken() noexcept { woken_.fetch_add(1, std::memory_order_release); }

    [[nodiscard]] bool stopped() const noexcept { return (word_.load(std::memory_order_relaxed) & stop_tag) != 0; }

    /// Whom to wake of an owner that rests; null for one that does not.
    [[nodiscard]] rest_listener* resting() const noexcept { return resting_.load(std::memory_order_relaxed); }

    // The owner's.

    void restart() noexcept { word_.fetch_and(~stop_tag, std::memory_order_relaxed); }

    /// Moves what was posted to the end of `ready`, in the order of the pushes; what is in there by now stays in its place.
    void take(ready_queue& ready) noexcept {
        if ((word_.load(std::memory_order_relaxed) & ~(sleeping_tag | stop_tag)) == 0) { return; }
        auto* top = reinterpret_cast<ready_node*>(word_.fetch_and(stop_tag, std::memory_order_acquire) & ~tags);
        ready_node* first = nullptr;
        while (top != nullptr) {
            ready_node* const next = std::exchange(top->foreign_next, first);
            first = std::exchange(top, next);
        }
        while (first != nullptr) {
            if (!first->is_linked()) [[likely]] { ready.push_back(*first); }
            first = first->foreign_next;
        }
    }

    /// Sets the sleeping tag; false, without setting it, when there is something to look at.
    [[nodiscard]] bool begin_sleep() noexcept {
        std::uintptr_t empty = 0;
        asleep_ = word_.compare_exchange_strong(empty, sleeping_tag, std::memory_order_acq_rel, std::memory_order_relaxed);
        return asleep_;
    }

    /// The same for a rest, whose end `told` hears of.
    [[nodiscard]] bool begin_rest(rest_listener& told) noexcept {
        resting_.store(&told, std::memory_order_relaxed);
        if (begin_sleep()) { return true; }
        resting_.store(nullptr, std::memory_order_relaxed);
        return false;
    }

    /// Removes the sleeping tag, unless another thread has.
    void end_sleep() noexcept {
        if (!std::exchange(asleep_, false)) { return; }
        resting_.store(nullptr, std::memory_order_relaxed);
        std::uintptr_t tag = sleeping_tag;
        if (!word_.compare_exchange_strong(tag, 0, std::memory_order_relaxed)) {
            probe<"inbox: sleep ended by another thread">();
            ++tags_taken_;
        }
    }

    [[nodiscard]] bool asleep() const noexcept { return asleep_; }

    /// Waits for threads that are between removing the sleeping tag and woken(): microseconds, unless one is preempted.
    void settle() const noexcept {
        while (woken_.load(std::memory_order_acquire) < tags_taken_) {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }

private:
    static constexpr std::uintptr_t sleeping_tag = 1;
    static constexpr std::uintptr_t poked_tag = 2;
    static constexpr std::uintptr_t stop_tag = 4;
    static constexpr std::uintptr_t tags = sleeping_tag | poked_tag | stop_tag;
    static_assert(alignof(ready_node) > tags, "the tags lie in bits that are 0 in every node's address");

    bool set(std::uintptr_t tag) noexcept {
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        while (!word_.compare_exchange_weak(seen, (seen & ~sleeping_tag) | tag, std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {}
        return (seen & sleeping_tag) != 0;
    }

    std::uint64_t tags_taken_ = 0;  // by other threads, which have called woken() or will:
    std::atomic<std::uint64_t> woken_ = 0;
    bool asleep_ = false;  // the owner has set the sleeping tag and not seen it removed
    std::atomic<rest_listener*> resting_ = nullptr;

    alignas(64) std::atomic<std::uintptr_t> word_ = 0;  // top node and tags; sleeping_tag stands alone
};

}  // namespace fluxnet::detail
