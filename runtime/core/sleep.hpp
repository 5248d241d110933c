// SPDX-License-Identifier: BSD-3-Clause
// `sleep_for`, `sleep_until`: resume later. The timer lies in the awaiting coroutine's frame; nothing is allocated.
//
//     const wait_result slept = co_await sleep_for(10ms);
//     if (slept) { co_return; }   // cancelled
//
// Threads: awaited on an executor, which resumes the coroutine.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <chrono>
#include <coroutine>
#include <system_error>

namespace fluxnet {

class [[nodiscard]] sleep_awaiter final : private detail::operation, private detail::timer_node {
public:
    explicit sleep_awaiter(time_point until) noexcept : until_(until) {}
    explicit sleep_awaiter(std::chrono::nanoseconds duration) noexcept : duration_(duration) {}

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "sleep"; }
    void start() noexcept {
        if (duration_.count() != 0) { until_ = detail::time_after(home_executor().now(), duration_); }
        detail::inside(home_executor()).add_timer(*this, until_);
    }
    void on_time() noexcept override { complete(no_error); }
    void cancel() noexcept override {
        clear_timer();
        complete(errc::operation_canceled);
    }

    time_point until_{};                    // when duration_ is 0
    std::chrono::nanoseconds duration_{0};  // from the suspension on
};

/// Completes at `until`, or with operation_canceled when the task is cancelled first. Resumes on the same executor, in a
/// later turn. No system call of its own.
template <class Duration>
[[nodiscard]] sleep_awaiter sleep_until(std::chrono::time_point<std::chrono::steady_clock, Duration> until) noexcept {
    return sleep_awaiter(detail::saturated(until));
}

/// The same, `duration` after the await began; never by itself when the clock does not reach that far.
template <class Rep, class Period>
[[nodiscard]] sleep_awaiter sleep_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return sleep_awaiter(detail::saturated(duration));
}

}  // namespace fluxnet
