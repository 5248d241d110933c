// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/detail/return_stack.hpp"

#include <cassert>
#include <thread>

namespace fluxnet::detail {

void return_stack::set_waker(return_waker waker) noexcept {
    assert(!hungry_);
    settle();
    waker_ = waker;
}

bool return_stack::publish_hungry() noexcept {
    std::uint64_t expected = 0;
    if (word_.compare_exchange_strong(expected, hungry_bit, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        hungry_ = true;
        return true;
    }
    if (expected != hungry_bit) { probe<"return_stack: returned before hunger was published">(); }
    return expected == hungry_bit;
}

void return_stack::settle() noexcept {
    while (wakes_done_.load(std::memory_order_acquire) != wakes_granted_) { std::this_thread::yield(); }
}

std::uint32_t return_stack::close() noexcept {
    withdraw_hungry();
    const std::uint64_t word = word_.exchange(closed_bit, std::memory_order_acq_rel);
    settle();
    const std::uint32_t stacked = walk(word, [](std::uint32_t) {});
    if (stacked != 0) { probe<"return_stack: returns on the stack at close">(); }
    return stacked;
}

void return_stack::end_hunger() noexcept {
    probe<"return_stack: hungry wake">();
    if (waker_.wake != nullptr) { waker_.wake(waker_.context); }
    wakes_done_.fetch_add(1, std::memory_order_release);
}

}  // namespace fluxnet::detail
