// SPDX-License-Identifier: BSD-3-Clause
// `timeout`, `deadline`: cancel a task when its time is over.
//
// The task runs in place, as if it were awaited directly; only what cancels it is added. One allocation, for the stop state
// that stands between the awaiting coroutine's and the task's.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <chrono>
#include <coroutine>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace fluxnet {

/// What a task came to under a time limit. `expired`: the time passed before its end and it was cancelled; what it returned
/// then is there all the same, so that nothing that it had received is lost.
template <class T>
struct timed {
    T value;
    bool expired = false;
};

template <>
struct timed<void> {
    bool expired = false;
};

template <class T>
class [[nodiscard]] timeout_awaiter final : private detail::timer_node {
public:
    using time_point = std::chrono::steady_clock::time_point;

    timeout_awaiter(time_point until, task<T> work) noexcept : until_(until), work_(std::move(work)) {}
    timeout_awaiter(std::chrono::nanoseconds duration, task<T> work) noexcept
        : duration_(duration), work_(std::move(work)) {}
    timeout_awaiter(timeout_awaiter&& other) noexcept
        : until_(other.until_), duration_(other.duration_), work_(std::move(other.work_)) {}

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) {
        executor* const here = executor::current();
        if (here == nullptr) [[unlikely]] { detail::throw_no_executor(); }
        detail::task_context* const outer = detail::context_of(waiting);
        context_.emplace(here, stop_.get_token(), outer != nullptr ? outer->where : std::source_location());
        detail::inside(*here).add_context(*context_);
        if (outer != nullptr) { forward_.emplace(outer->stop, stopper{*this}); }
        if (duration_) { until_ = detail::time_after(here->now(), *duration_); }
        detail::inside(*here).add_timer(*this, until_);
        running_.emplace(work_.operator co_await());
        return running_->start(waiting, &*context_);
    }

    timed<T> await_resume() {
        clear_timer();
        forward_.reset();
        if constexpr (std::is_void_v<T>) {
            running_->await_resume();
            return {expired_};
        } else {
            return {running_->await_resume(), expired_};
        }
    }

private:
    struct stopper {
        timeout_awaiter& self;
        void operator()() const noexcept { self.stop_.request_stop(); }
    };

    void on_time() noexcept override {
        expired_ = true;
        stop_.request_stop();
    }

    time_point until_{};  // unless there is a duration
    std::optional<std::chrono::nanoseconds> duration_;
    bool expired_ = false;
    std::stop_source stop_;
    std::optional<detail::task_context> context_;
    std::optional<std::stop_callback<stopper>> forward_;
    task<T> work_;  // its frame goes before the context that it points at
    std::optional<typename task<T>::awaiter> running_;
};

/// Completes when `work` has ended, which is cancelled at `until`. It must end on the executor that it began on.
template <class Duration, class T>
[[nodiscard]] timeout_awaiter<T> deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> until,
                                          task<T> work) noexcept {
    return {detail::saturated(until), std::move(work)};
}

/// The same, `duration` after the await began.
template <class Rep, class Period, class T>
[[nodiscard]] timeout_awaiter<T> timeout(std::chrono::duration<Rep, Period> duration, task<T> work) noexcept {
    return {detail::saturated(duration), std::move(work)};
}

}  // namespace fluxnet
