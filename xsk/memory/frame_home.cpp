// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/frame_home.hpp"

#include <algorithm>
#include <thread>
#include "fluxnet/xsk/base/detail/probe.hpp"

namespace fluxnet {
namespace {

/// Owns a home while a census counts it.
constexpr char census_token = 0;

}  // namespace

frame_home::frame_home(const place& where) noexcept : place_(where) {
    // The lowest frame lies on top, so that a fresh home hands frames out in the order of their addresses.
    const std::uint32_t count = frame_count();
    for (std::uint32_t i = 0; i < count; ++i) { place_.free_slots[i] = place_.first_frame + count - 1 - i; }
    free_count_.store(count, std::memory_order_relaxed);
}

bool frame_home::try_adopt() noexcept {
    if (owned_here()) { return true; }
    const void* nobody = nullptr;
    // Acquire pairs with release(): what the former owner did to the free list is visible.
    return owner_.compare_exchange_strong(nobody, detail::thread_token(), std::memory_order_acquire,
                                          std::memory_order_relaxed);
}

bool frame_home::adopt_slowly() noexcept {
    while (!try_adopt()) {
        const void* const holder = owner_.load(std::memory_order_relaxed);
        if (holder != nullptr && holder != &census_token) {
            assert(false && "this handle is in use on another thread: call release() there before moving it");
            return false;
        }
        std::this_thread::yield();  // a census is under way, or has just ended
    }
    return true;
}

bool frame_home::begin_count() noexcept {
    const void* nobody = nullptr;
    return owner_.compare_exchange_strong(nobody, &census_token, std::memory_order_acquire, std::memory_order_relaxed);
}

void frame_home::end_count() noexcept {
    owner_.store(nullptr, std::memory_order_release);
}

void frame_home::release() noexcept {
    if (!owned_here()) { return; }
    withdraw_hungry();
    owner_.store(nullptr, std::memory_order_release);
}

void frame_home::release_hungry() noexcept {
    if (owned_here()) { owner_.store(nullptr, std::memory_order_release); }
}

std::optional<frame_index> frame_home::take() noexcept {
    assert(owned_here());
    std::uint32_t count = free_count_.load(std::memory_order_relaxed);
    if (count == 0) {
        if (drain() == 0) { return std::nullopt; }
        detail::probe<"frame_home: take drains the returns">();
        count = free_count_.load(std::memory_order_relaxed);
    }
    const frame_index frame{place_.free_slots[count - 1]};
    free_count_.store(count - 1, std::memory_order_relaxed);
    taken_.add(1);
    place_.checker->move(frame, detail::frame_state::free, detail::frame_state::user);
    return frame;
}

void frame_home::give_back(const frame_chain& chain) noexcept {
    if (!owned_here()) {
        detail::probe<"frame_home: chain returned by another thread">();
        push(chain);
        return;
    }
    std::uint32_t frame = chain.first;
    for (std::uint32_t i = 0; i < chain.count; ++i) {
        const std::uint32_t next = place_.links[frame];  // stored as number + 1, as on the stack
        put({frame});
        frame = next - 1;
    }
}

void frame_home::push(const frame_chain& chain) noexcept {
    std::uint64_t seen = returns_.load(std::memory_order_relaxed);
    do {
        if ((seen & closed_bit) != 0) {
            detail::probe<"frame_home: push meets closed">();
            detail::frames_outlived(*place_.area, chain.count);
            return;
        }
        place_.links[chain.last] = static_cast<std::uint32_t>(seen & top_mask);
    } while (!returns_.compare_exchange_weak(seen, std::uint64_t{chain.first} + 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
    if ((seen & hungry_bit) != 0) {
        detail::probe<"frame_home: hungry wake">();
        if (waker_.wake != nullptr) { waker_.wake(waker_.context); }
        wakes_done_.fetch_add(1, std::memory_order_release);
    }
}

void frame_home::push(frame_index frame) noexcept {
    push(frame_chain{frame.value, frame.value, 1});
}

std::uint32_t frame_home::drain_slowly() noexcept {
    const bool counting = owner_.load(std::memory_order_relaxed) == &census_token;
    assert(owned_here() || counting);
    // Hunger means an empty stack. A census leaves it to the owner, which sleeps and counts on it.
    if (counting && returns_.load(std::memory_order_relaxed) == hungry_bit) { return 0; }
    withdraw_hungry();
    const std::uint64_t word = returns_.exchange(0, std::memory_order_acquire);
    const std::uint32_t count = free_count_.load(std::memory_order_relaxed);
    std::uint32_t drained = 0;
    for (std::uint64_t top = word & top_mask; top != 0; ++drained) {
        const auto frame = static_cast<std::uint32_t>(top - 1);
        place_.free_slots[count + drained] = frame;
        top = place_.links[frame];
    }
    free_count_.store(count + drained, std::memory_order_relaxed);
    returned_.add(drained);
    return drained;
}

std::uint32_t frame_home::refill(producer_ring<frame_addr>& fill) noexcept {
    assert(owned_here());
    const std::uint32_t before = free_count_.load(std::memory_order_relaxed);
    if (before == 0) { return 0; }
    const home_frames ours = frames();
    std::uint32_t count = before;
    for (auto slots = fill.writable(count); !slots.empty(); slots = fill.writable(count)) {
        const std::uint32_t* next = place_.free_slots.data() + count;
        for (frame_addr& slot : slots) {
            const frame_index frame{*--next};
            ours.checker->move(frame, detail::frame_state::free, detail::frame_state::fill);
            ours.lent[frame.value] = true;
            slot = ours.addr_of(frame);
        }
        const auto given = static_cast<std::uint32_t>(slots.size());
        fill.publish(given);
        count -= given;
    }
    free_count_.store(count, std::memory_order_relaxed);
    given_.add(before - count);
    return before - count;
}

void frame_home::reclaim() noexcept {
    assert(owned_here());
    const std::uint32_t before = free_count_.load(std::memory_order_relaxed);
    std::uint32_t count = before;
    // From the last to the first, so that the lowest lies on top again.
    for (std::uint32_t frame = place_.first_frame + frame_count(); frame-- != place_.first_frame;) {
        if (!place_.lent[frame]) { continue; }
        place_.lent[frame] = false;
        place_.checker->move({frame}, detail::frame_state::fill, detail::frame_state::free);
        place_.free_slots[count++] = frame;
    }
    free_count_.store(count, std::memory_order_relaxed);
    given_.add(std::uint64_t{0} - (count - before));
}

void frame_home::set_waker(frame_waker waker) noexcept {
    assert(!hungry_);
    settle();
    waker_ = waker;
}

bool frame_home::publish_hungry() noexcept {
    assert(owned_here());
    std::uint64_t expected = 0;
    if (returns_.compare_exchange_strong(expected, hungry_bit, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        hungry_ = true;
        return true;
    }
    if (expected != hungry_bit) { detail::probe<"frame_home: frames returned before hunger was published">(); }
    return expected == hungry_bit;
}

void frame_home::withdraw_hungry() noexcept {
    if (!hungry_) { return; }
    hungry_ = false;
    std::uint64_t expected = hungry_bit;
    if (!returns_.compare_exchange_strong(expected, 0, std::memory_order_relaxed)) { ++wakes_granted_; }
}

void frame_home::settle() noexcept {
    while (wakes_done_.load(std::memory_order_acquire) != wakes_granted_) { std::this_thread::yield(); }
}

std::uint32_t frame_home::close() noexcept {
    withdraw_hungry();
    owner_.store(nullptr, std::memory_order_relaxed);  // from now on every thread returns frames through the closed stack
    const std::uint64_t word = returns_.exchange(closed_bit, std::memory_order_acq_rel);
    settle();
    std::uint32_t stacked = 0;
    if ((word & top_mask) != 0) { detail::probe<"frame_home: returns on the stack at close">(); }
    for (std::uint64_t top = word & top_mask; top != 0; ++stacked) { top = place_.links[top - 1]; }
    return stacked;
}

}  // namespace fluxnet
