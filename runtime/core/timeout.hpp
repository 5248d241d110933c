// SPDX-License-Identifier: BSD-3-Clause
// `timeout`, `deadline`: cancel what is awaited when its time is over.
//
//     const timed<io_result> got = co_await timeout(100ms, rx.recv(burst));
//     if (got.expired && got.value.n == 0) { ... }
//
// What is awaited runs in place, as if it were awaited directly; only what cancels it is added. It may move to another
// executor: when it has ended, the awaiting coroutine goes on where it was. No limit bounds the way there: a task that
// travels to an executor that does not run ends when that executor runs. move_to() is not taken under a limit, because the
// coroutine would come back and leave the handle there. Awaited on an executor's thread, as all awaits are. One allocation,
// for the stop state that stands between the awaiting coroutine's and the one awaited, and a frame.
#pragma once

#include "fluxnet/runtime/core/detail/there_and_back.hpp"
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
struct [[nodiscard]] timed {
    T value;
    bool expired = false;
};

/// The same of a task without a value.
template <>
struct [[nodiscard]] timed<void> {
    bool expired = false;
};

namespace detail {

/// What may have a limit: whatever can be awaited, except what takes the awaiting coroutine elsewhere together with
/// something else (move_to()), as a member type `moves_coroutine` says.
template <class A>
concept limitable = awaitable<A> && !requires {
    typename std::remove_cvref_t<A>::moves_coroutine;
};

/// When a limit is: at a time, or some time after an await begins.
struct time_limit {
    std::chrono::steady_clock::time_point until{};
    std::optional<std::chrono::nanoseconds> duration;
};

}  // namespace detail

template <class T>
class [[nodiscard]] timeout_awaiter final : private detail::timer_node {
public:
    timeout_awaiter(const detail::time_limit& limit, task<T> work) noexcept : limit_(limit), work_(std::move(work)) {}
    timeout_awaiter(const timeout_awaiter&) = delete;
    timeout_awaiter& operator=(const timeout_awaiter&) = delete;

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) {
        executor* const here = executor::current();
        if (here == nullptr) [[unlikely]] { detail::throw_no_executor(); }
        detail::task_context* const outer = detail::context_of(waiting);
        context_.emplace(*here, stop_.get_token(), outer);
        if (outer != nullptr) { forward_.emplace(outer->stop, stopper{*this}); }
        if (limit_.duration) { limit_.until = detail::time_after(here->now(), *limit_.duration); }
        detail::inside(*here).add_timer(*this, limit_.until);
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

    detail::time_limit limit_;
    bool expired_ = false;
    std::stop_source stop_;
    std::optional<detail::inner_context> context_;
    std::optional<std::stop_callback<stopper>> forward_;
    task<T> work_;  // its frame goes before the context that it points at
    std::optional<typename task<T>::awaiter> running_;
};

/// Work that has a time limit; to be awaited once. `Borrows`: it refers to an awaiter that may be a temporary, so it has to
/// be awaited in the expression that makes it.
template <class T, bool Borrows = false>
class [[nodiscard]] timed_work {
public:
    /// See timeout() and deadline(), which make it.
    timed_work(const detail::time_limit& limit, task<T> work) noexcept : limit_(limit), work_(std::move(work)) {}

    /// Starts the work, and its time. Once only.
    [[nodiscard]] timeout_awaiter<T> operator co_await() && noexcept { return timeout_awaiter<T>(limit_, std::move(work_)); }
    [[nodiscard]] timeout_awaiter<T> operator co_await() & noexcept requires(!Borrows) {
        return timeout_awaiter<T>(limit_, std::move(work_));
    }

private:
    detail::time_limit limit_;
    task<T> work_;
};

namespace detail {

template <class A>
auto with_limit(const time_limit& limit, A&& work) {
    if constexpr (std::is_lvalue_reference_v<A>) {
        return timed_work<awaited_value<A>>(limit, there_and_back<A>(work));
    } else if constexpr (!std::is_move_constructible_v<A>) {
        return timed_work<awaited_value<A>, true>(limit, there_and_back<A&>(work));
    } else {
        return timed_work<awaited_value<A>>(limit, there_and_back<A>(std::move(work)));
    }
}

}  // namespace detail

/// Completes when `work`, a task or whatever else can be awaited, has ended; cancels it at `until`. Throws what that throws.
/// What cannot be moved, as most awaiters cannot, is referred to: await both in one expression.
template <class Duration, detail::limitable A>
[[nodiscard]] auto deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> until, A&& work) {
    return detail::with_limit({detail::saturated(until), std::nullopt}, std::forward<A>(work));
}

/// The same, `duration` after the await began.
template <class Rep, class Period, detail::limitable A>
[[nodiscard]] auto timeout(std::chrono::duration<Rep, Period> duration, A&& work) {
    return detail::with_limit({{}, detail::saturated(duration)}, std::forward<A>(work));
}

}  // namespace fluxnet
