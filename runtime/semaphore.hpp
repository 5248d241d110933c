// SPDX-License-Identifier: BSD-3-Clause
// `semaphore`: a number of units that coroutines take and give back, on any executors.
//
// First come, first served: nobody overtakes one who waits, also not one who wants fewer. acquire() is awaited on an
// executor; release() and try_acquire() may be called on any thread. Nothing is allocated. The semaphore must outlive every
// call of it and everybody who waits.
#pragma once

#include "runtime/detail/wait_list.hpp"
#include "xsk/error.hpp"

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <mutex>
#include <system_error>

namespace fluxnet {

class semaphore {
public:
    class [[nodiscard]] acquire_awaiter;

    explicit semaphore(std::uint32_t units) noexcept : units_(units) {}

    /// Takes `units` if they are there and nobody waits for any.
    [[nodiscard]] bool try_acquire(std::uint32_t units = 1) noexcept { return !waiting_.any_hint() && take(units); }

    /// Completes when `units` have been taken, or with operation_canceled when the task is cancelled first: then none were.
    [[nodiscard]] acquire_awaiter acquire(std::uint32_t units = 1) noexcept;

    /// Gives units back. A system call only when it wakes an executor that sleeps.
    void release(std::uint32_t units = 1) noexcept {
        units_.fetch_add(units, std::memory_order_release);
        if (waiting_.any()) { serve(); }
    }

    /// A snapshot.
    [[nodiscard]] std::uint32_t available() const noexcept { return units_.load(std::memory_order_relaxed); }

private:
    [[nodiscard]] bool take(std::uint32_t units) noexcept {
        std::uint32_t there = units_.load(std::memory_order_relaxed);
        while (there >= units) {
            if (units_.compare_exchange_weak(there, there - units, std::memory_order_acquire, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    inline void serve() noexcept;

    std::atomic<std::uint32_t> units_;
    std::mutex mutex_;  // guards the list of:
    detail::wait_list waiting_;
};

class [[nodiscard]] semaphore::acquire_awaiter final : private detail::waiter {
public:
    acquire_awaiter(semaphore& of, std::uint32_t units) noexcept : semaphore_(of), units_(units) {}
    ~acquire_awaiter() {
        if (!started_) { return; }
        bool mine = false;
        {
            const std::lock_guard lock(semaphore_.mutex_);
            if (listed()) { semaphore_.waiting_.remove(*this); }
            mine = granted_units_;
        }
        end();
        if (mine) { semaphore_.release(units_); }  // the frame is destroyed with units that nobody will give back
        semaphore_.serve();
    }

    [[nodiscard]] bool await_ready() noexcept { return semaphore_.try_acquire(units_); }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    std::error_code await_resume() noexcept {
        const std::error_code outcome = finish();
        granted_units_ = false;  // they are the caller's now
        started_ = false;
        return outcome;
    }

private:
    friend semaphore;

    [[nodiscard]] const char* name() const noexcept override { return "semaphore::acquire"; }

    void start() noexcept {
        started_ = true;
        const std::lock_guard lock(semaphore_.mutex_);
        semaphore_.waiting_.announce();
        if (semaphore_.waiting_.front() == nullptr && semaphore_.take(units_)) {
            semaphore_.waiting_.withdraw();
            granted_units_ = true;
            complete({});
            return;
        }
        semaphore_.waiting_.push_back(*this);
    }

    void cancel() noexcept override {
        {
            const std::lock_guard lock(semaphore_.mutex_);
            if (!listed()) { return; }  // too late: it has its units
            semaphore_.waiting_.remove(*this);
        }
        complete(errc::operation_canceled);
        semaphore_.serve();  // the next one may want less
    }

    semaphore& semaphore_;
    const std::uint32_t units_;
    bool started_ = false;
    bool granted_units_ = false;  // guarded by the mutex until the coroutine resumes
};

inline semaphore::acquire_awaiter semaphore::acquire(std::uint32_t units) noexcept {
    return {*this, units};
}

void semaphore::serve() noexcept {
    const std::lock_guard lock(mutex_);
    while (detail::waiter* const first = waiting_.front()) {
        auto& next = static_cast<acquire_awaiter&>(*first);
        if (!take(next.units_)) { return; }
        waiting_.remove(next);
        next.granted_units_ = true;
        next.grant();
    }
}

}  // namespace fluxnet
