// SPDX-License-Identifier: BSD-3-Clause
// `turn_lock`: a recursive mutex that costs an exchange when nobody waits: a driver takes it several times for each handler,
// and its turns hardly ever meet anybody there.
//
// States: 0 free, 1 held, 2 held and perhaps waited for. The holder, and it alone, writes `owner_` and `depth_`; another
// thread that reads `owner_` sees an id that is not its own, whichever. Releasing stores after all that the holder did, and
// acquiring reads before.
#pragma once

#include <atomic>
#include <thread>

namespace fluxnet::asio::detail {

class turn_lock {
public:
    turn_lock() = default;
    turn_lock(const turn_lock&) = delete;
    turn_lock& operator=(const turn_lock&) = delete;

    void lock() noexcept {
        const std::thread::id self = std::this_thread::get_id();
        if (owner_.load(std::memory_order_relaxed) == self) {
            ++depth_;
            return;
        }
        int free = 0;
        if (!state_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
            while (state_.exchange(2, std::memory_order_acquire) != 0) { state_.wait(2, std::memory_order_relaxed); }
        }
        owner_.store(self, std::memory_order_relaxed);
    }

    /// Locks it unless another thread has.
    [[nodiscard]] bool try_lock() noexcept {
        if (is_mine()) {
            ++depth_;
            return true;
        }
        int free = 0;
        if (!state_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) { return false; }
        owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        return true;
    }

    /// Tells whether the calling thread holds it.
    [[nodiscard]] bool is_mine() const noexcept {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

    void unlock() noexcept {
        if (depth_ != 0) {
            --depth_;
            return;
        }
        owner_.store(std::thread::id(), std::memory_order_relaxed);
        if (state_.exchange(0, std::memory_order_release) == 2) { state_.notify_one(); }
    }

private:
    std::atomic<int> state_ = 0;
    std::atomic<std::thread::id> owner_ = std::thread::id();
    unsigned depth_ = 0;  // how often the owner has locked it beyond the first time
};

}  // namespace fluxnet::asio::detail
