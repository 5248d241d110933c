// SPDX-License-Identifier: BSD-3-Clause
// `semaphore`: a number of units that coroutines take and give back, on any executors.
//
//     semaphore connections(100);
//     const wait_result admitted = co_await connections.acquire();
//     if (admitted) { co_return; }   // cancelled while it waited: no unit was taken
//     ...
//     connections.release();
//
// Coroutines are served in the order in which they began to wait. None is overtaken, not even by one that wants fewer units.
// Nothing is allocated. The semaphore must outlive every call of it and every coroutine that waits for it.
//
// Threads: acquire() is awaited on an executor, on any number of them. The rest may be called on any thread.
#pragma once

#include "fluxnet/runtime/sync/detail/wait_list.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <mutex>
#include <optional>
#include <system_error>

namespace fluxnet {

class semaphore {
public:
    class [[nodiscard]] acquire_awaiter;

    /// Makes a semaphore with so many units to be taken.
    explicit semaphore(std::uint32_t units) noexcept : units_(units) {}

    /// Takes `units` if they are there and no coroutine waits for any. Returns whether it has.
    [[nodiscard]] bool try_acquire(std::uint32_t units = 1) noexcept { return !waiting_.any() && take(units); }

    /// Completes when `units` have been taken, or with operation_canceled when the task is cancelled first: then none were.
    [[nodiscard]] acquire_awaiter acquire(std::uint32_t units = 1) noexcept;

    /// Gives units back. A system call only when it wakes an executor that sleeps.
    void release(std::uint32_t units = 1) noexcept {
        if ((units_.fetch_add(units, std::memory_order_acq_rel) & awaited_bit) != 0) { serve(); }
    }

    /// A snapshot.
    [[nodiscard]] std::uint32_t available() const noexcept {
        return static_cast<std::uint32_t>(units_.load(std::memory_order_relaxed));
    }

private:
    class waiter;

    static constexpr std::uint64_t awaited_bit = std::uint64_t{1} << 63;

    [[nodiscard]] bool take(std::uint32_t units) noexcept {
        std::uint64_t there = units_.load(std::memory_order_relaxed);
        while ((there & ~awaited_bit) >= units) {
            if (units_.compare_exchange_weak(there, there - units, std::memory_order_acquire, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    void serve() noexcept;
    void serve_locked() noexcept;

    std::atomic<std::uint64_t> units_;  // and awaited_bit
    std::mutex mutex_;                  // guards the list of:
    detail::wait_list waiting_{mutex_, units_, awaited_bit};
};

/// A coroutine that waits for units, until it has resumed and the units are its own.
class semaphore::waiter final : public detail::waiter {
public:
    waiter(semaphore& of, std::uint32_t units) noexcept : detail::waiter(of.waiting_), semaphore_(of), units_(units) {}
    ~waiter() {
        if (!abandon()) { return; }
        if (granted_units_) { semaphore_.release(units_); }  // the coroutine that was to get them is gone
        semaphore_.serve();
    }

    template <class Promise>
    void wait(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { line_up([this] { semaphore_.serve_locked(); }); });
    }

    std::error_code take() noexcept {
        granted_units_ = false;
        return finish();
    }

private:
    friend semaphore;

    [[nodiscard]] const char* name() const noexcept override { return "semaphore::acquire"; }

    void cancel() noexcept override {
        detail::waiter::cancel();
        semaphore_.serve();  // the next one may want less
    }

    semaphore& semaphore_;
    const std::uint32_t units_;
    bool granted_units_ = false;  // guarded by the mutex until the coroutine resumes
};

class [[nodiscard]] semaphore::acquire_awaiter final {
public:
    acquire_awaiter(semaphore& of, std::uint32_t units) noexcept : semaphore_(of), units_(units) {}

    [[nodiscard]] bool await_ready() noexcept { return detail::draw_here() && semaphore_.try_acquire(units_); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return wait_.emplace(semaphore_, units_).wait(waiting);
    }

    wait_result await_resume() noexcept { return wait_ ? wait_->take() : no_error; }

private:
    semaphore& semaphore_;
    const std::uint32_t units_;
    std::optional<waiter> wait_;
};

inline semaphore::acquire_awaiter semaphore::acquire(std::uint32_t units) noexcept {
    return {*this, units};
}

inline void semaphore::serve() noexcept {
    const std::lock_guard lock(mutex_);
    serve_locked();
}

inline void semaphore::serve_locked() noexcept {
    while (detail::waiter* const first = waiting_.front()) {
        auto& next = static_cast<waiter&>(*first);
        if (!take(next.units_)) { return; }
        waiting_.remove(next);
        next.granted_units_ = true;
        next.grant();
    }
}

}  // namespace fluxnet
