// SPDX-License-Identifier: BSD-3-Clause
// `mutex`: one coroutine at a time, across executors; while it waits its thread does other things.
//
//     mutex door;
//     const auto guard = co_await door.lock();   // unlocks when it is destroyed
//     if (!guard) { co_return; }                 // the task was cancelled while it waited
//
// Coroutines get it in the order in which they asked. Not recursive: a coroutine that holds it and awaits lock() again waits
// for ever. It must outlive every call of it and every coroutine that waits for it. Nothing is allocated.
//
// Threads: lock() is awaited on an executor, on any number of them. try_lock() may be called, and a guard destroyed, on any
// thread.
#pragma once

#include "fluxnet/runtime/sync/semaphore.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <system_error>
#include <utility>

namespace fluxnet {

class mutex {
public:
    /// Holds the mutex, or the reason why not.
    class [[nodiscard]] guard {
    public:
        guard() = default;
        guard(guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)), error_(other.error_) {}
        guard& operator=(guard&& other) noexcept {
            std::swap(held_, other.held_);
            std::swap(error_, other.error_);
            return *this;
        }
        ~guard() { unlock(); }

        /// Tells whether the mutex is held.
        [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
        [[nodiscard]] std::error_code error() const noexcept { return error_; }

        /// Unlocks the mutex now; does nothing a second time.
        void unlock() noexcept {
            if (mutex* const held = std::exchange(held_, nullptr)) { held->one_.release(); }
        }

    private:
        friend mutex;
        explicit guard(mutex& held) noexcept : held_(&held) {}
        explicit guard(std::error_code error) noexcept : error_(error) {}

        mutex* held_ = nullptr;
        std::error_code error_ = no_error;
    };

    class [[nodiscard]] lock_awaiter {
    public:
        explicit lock_awaiter(mutex& of) noexcept : mutex_(of), wait_(of.one_.acquire()) {}

        [[nodiscard]] bool await_ready() noexcept { return wait_.await_ready(); }

        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> waiting) {
            return wait_.await_suspend(waiting);
        }

        guard await_resume() noexcept {
            const std::error_code outcome = wait_.await_resume();
            return outcome ? guard(outcome) : guard(mutex_);
        }

    private:
        mutex& mutex_;
        semaphore::acquire_awaiter wait_;
    };

    /// Completes with a guard that holds the mutex, or one that does not, with operation_canceled, when the task is
    /// cancelled first.
    [[nodiscard]] lock_awaiter lock() noexcept { return lock_awaiter(*this); }

    /// Gives an empty guard when the mutex is held or waited for. Any thread.
    [[nodiscard]] guard try_lock() noexcept { return one_.try_acquire() ? guard(*this) : guard(); }

private:
    semaphore one_{1};
};

}  // namespace fluxnet
