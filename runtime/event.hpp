// SPDX-License-Identifier: BSD-3-Clause
// `event`, `latch`: everybody waits until something has happened, on any executors.
//
// An event is set and may be reset; a latch is set for good when it has been counted down to 0. wait() is awaited on an
// executor; the rest may be called on any thread. Nothing is allocated. They must outlive every call of them and everybody
// who waits.
#pragma once

#include "runtime/detail/wait_list.hpp"
#include "xsk/error.hpp"

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

    explicit event(bool set = false) noexcept : set_(set) {}

    [[nodiscard]] bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }

    /// Lets everybody go on who waits, and who waits later. System calls only for executors that sleep.
    inline void set() noexcept;

    /// Makes those wait who come from now on.
    void reset() noexcept { set_.store(false, std::memory_order_relaxed); }

    /// Completes when the event is or has been set, or with operation_canceled when the task is cancelled first.
    [[nodiscard]] wait_awaiter wait() noexcept;

private:
    std::atomic<bool> set_;
    std::mutex mutex_;  // guards the list of:
    detail::wait_list waiting_;
};

class [[nodiscard]] event::wait_awaiter final : private detail::waiter {
public:
    explicit wait_awaiter(event& of) noexcept : event_(of) {}
    ~wait_awaiter() {
        if (!started_) { return; }
        {
            const std::lock_guard lock(event_.mutex_);
            if (listed()) { event_.waiting_.remove(*this); }
        }
        end();
    }

    [[nodiscard]] bool await_ready() const noexcept { return event_.is_set(); }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    std::error_code await_resume() noexcept {
        started_ = false;
        return finish();
    }

private:
    friend event;

    [[nodiscard]] const char* name() const noexcept override { return "event::wait"; }

    void start() noexcept {
        started_ = true;
        const std::lock_guard lock(event_.mutex_);
        event_.waiting_.announce();
        if (event_.is_set()) {
            event_.waiting_.withdraw();
            complete({});
            return;
        }
        event_.waiting_.push_back(*this);
    }

    void cancel() noexcept override {
        {
            const std::lock_guard lock(event_.mutex_);
            if (!listed()) { return; }
            event_.waiting_.remove(*this);
        }
        complete(errc::operation_canceled);
    }

    event& event_;
    bool started_ = false;
};

inline event::wait_awaiter event::wait() noexcept {
    return wait_awaiter(*this);
}

void event::set() noexcept {
    set_.store(true, std::memory_order_release);
    if (!waiting_.any()) { return; }
    const std::lock_guard lock(mutex_);
    while (detail::waiter* const first = waiting_.front()) {
        waiting_.remove(*first);
        first->grant();
    }
}

class latch {
public:
    explicit latch(std::uint32_t count) noexcept : count_(count), done_(count == 0) {}

    /// Counts down by `by`, not below 0: that is a contract violation.
    void count_down(std::uint32_t by = 1) noexcept {
        const std::uint32_t before = count_.fetch_sub(by, std::memory_order_acq_rel);
        assert(before >= by && "a latch counted down below 0");
        if (before == by) { done_.set(); }
    }

    [[nodiscard]] bool is_done() const noexcept { return done_.is_set(); }

    /// Completes when the count is 0, or with operation_canceled when the task is cancelled first.
    [[nodiscard]] event::wait_awaiter wait() noexcept { return done_.wait(); }

private:
    std::atomic<std::uint32_t> count_;
    event done_;
};

}  // namespace fluxnet
