// SPDX-License-Identifier: BSD-3-Clause
// `event`, `latch`: coroutines wait until something has happened, on any executors.
//
//     event ready;
//     co_await ready.wait();   // any number of coroutines
//     ready.set();             // all of them go on
//
// An event is set and may be reset. A latch is set for good when it has been counted down to 0. Nothing is allocated. Both
// must outlive every call of them and every coroutine that waits for them.
//
// Threads: wait() is awaited on an executor, on any number of them. The rest may be called on any thread.
#pragma once

#include "fluxnet/runtime/sync/detail/wait_list.hpp"

#include <atomic>
#include <cassert>
#include <coroutine>
#include <cstdint>
#include <mutex>
#include <system_error>

namespace fluxnet {

class event {
public:
    class [[nodiscard]] wait_awaiter;

    /// Makes an event that has happened, or has not.
    explicit event(bool set = false) noexcept : state_(set ? set_bit : 0) {}

    /// Tells whether it has happened. What was done before set() is seen by a thread that is told so.
    [[nodiscard]] bool is_set() const noexcept { return (state_.load(std::memory_order_acquire) & set_bit) != 0; }

    /// Resumes every coroutine that waits; later calls of wait() complete at once. One system call for each executor that
    /// sleeps.
    void set() noexcept;

    /// Makes later calls of wait() wait. A set() under way on another thread may still resume some of those coroutines.
    void reset() noexcept { state_.fetch_and(~set_bit, std::memory_order_relaxed); }

    /// Completes when the event is or has been set, or with operation_canceled when the task is cancelled first.
    [[nodiscard]] wait_awaiter wait() noexcept;

private:
    void grant_all() noexcept;

    static constexpr std::uint64_t set_bit = 1;
    static constexpr std::uint64_t awaited_bit = 2;

    std::atomic<std::uint64_t> state_;
    std::mutex mutex_;  // guards the list of:
    detail::wait_list waiting_{mutex_, state_, awaited_bit};
};

class [[nodiscard]] event::wait_awaiter final : private detail::waiter {
public:
    explicit wait_awaiter(event& of) noexcept : waiter(of.waiting_), event_(of) {}
    ~wait_awaiter() { abandon(); }

    [[nodiscard]] bool await_ready() const noexcept { return event_.is_set() && detail::draw_here(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] {
            line_up([this] {
                if (event_.is_set()) { event_.grant_all(); }
            });
        });
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "event::wait"; }

    event& event_;
};

inline event::wait_awaiter event::wait() noexcept {
    return wait_awaiter(*this);
}

inline void event::set() noexcept {
    if ((state_.fetch_or(set_bit, std::memory_order_acq_rel) & awaited_bit) == 0) { return; }
    const std::lock_guard lock(mutex_);
    grant_all();
}

inline void event::grant_all() noexcept {
    while (detail::waiter* const first = waiting_.front()) {
        waiting_.remove(*first);
        first->grant();
    }
}

class latch {
public:
    /// Waits for `count` calls of count_down(); for none it is done from the beginning.
    explicit latch(std::uint32_t count) noexcept : count_(count), done_(count == 0) {}

    /// Counts down by `by`, not below 0: that is a contract violation.
    void count_down(std::uint32_t by = 1) noexcept {
        const std::uint32_t before = count_.fetch_sub(by, std::memory_order_acq_rel);
        assert(before >= by && "a latch counted down below 0");
        if (before == by) { done_.set(); }
    }

    /// Tells whether the count has come down to 0.
    [[nodiscard]] bool is_done() const noexcept { return done_.is_set(); }

    /// Completes when the count is 0, or with operation_canceled when the task is cancelled first.
    [[nodiscard]] event::wait_awaiter wait() noexcept { return done_.wait(); }

private:
    std::atomic<std::uint32_t> count_;
    event done_;
};

}  // namespace fluxnet
