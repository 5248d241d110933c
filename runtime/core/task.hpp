// SPDX-License-Identifier: BSD-3-Clause
// `task<T>`: a coroutine that starts when it is awaited and resumes its awaiter when it ends.
//
// The task object owns the coroutine frame; the frame is destroyed with it, and its memory kept for the next one of that
// thread (detail/frame_cache.hpp). A task is awaited once, on the thread of its awaiter, and ends on that thread unless it
// moved itself. Its result or exception travels to the awaiter. The awaiter's stop token flows down: what the task awaits is
// cancelled with it.
//
// Control passes from awaiter to task and back by symmetric transfer. g++ makes that an ordinary call below -O2 and when a
// sanitizer is on, so there a chain of tasks that never suspend would eat the stack: where the stack has become deep the
// next transfer goes through the executor's ready queue instead, which unwinds it.
//
// Beware of g++ 12: a coroutine without a single local variable that has co_await in the condition of an if, while or switch
// starts from its beginning again when it is resumed. Store the result in a variable first, and test that.
// And in an expression with co_await it copies temporaries byte by byte, and destroys them twice, if their members are
// initialised in place: aggregates, such as `request{name, 1}`, and lambdas with captures. (A list in braces that becomes
// a std::initializer_list does not even compile.) So what has a destructor is either made by a constructor or a function,
// which is safe, or the task is made first: `task<int> work = ask(request{name, 1}); int answer = co_await work;`. Calls
// like `co_await timeout(1s, ask(std::string("name"), 1))` are safe, and so are lambdas with captures given to spawn().
#pragma once

#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task_context.hpp"

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace fluxnet {

template <class T = void>
class task;

namespace detail {

/// Where the stack of this thread's present resumption begins.
inline constinit thread_local std::uintptr_t resumed_at = 0;

#if defined(__GNUC__) && !defined(__clang__)
/// Tells whether transfers that were calls have left much on the stack. Also true where no executor resumed anything.
[[nodiscard]] inline bool stack_is_deep() noexcept {
    constexpr std::uintptr_t limit = 8192;
    return resumed_at - reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) > limit;
}
#else
[[nodiscard]] constexpr bool stack_is_deep() noexcept {
    return false;
}
#endif

/// Puts `node` at the end of the calling thread's ready queue; false when the thread runs no executor.
bool make_ready_here(ready_node& node) noexcept;

/// Returns what to transfer control to so that the node's coroutine goes on from the ready queue, or at once without one.
[[nodiscard]] inline std::coroutine_handle<> unwind(ready_node& node) noexcept {
    return make_ready_here(node) ? std::noop_coroutine() : node.coroutine;
}

/// Throws std::system_error: not_awaitable.
[[noreturn]] void throw_not_awaitable();

/// Throws std::system_error: no_executor.
[[noreturn]] void throw_no_executor();

/// What every coroutine of ours has: who waits for it, and the strand that it is part of.
class promise_base : public cached_frame {
public:
    promise_base() = default;

    std::suspend_always initial_suspend() const noexcept { return {}; }

    [[nodiscard]] task_context* context() const noexcept { return context_; }
    void set_context(task_context* context) noexcept { context_ = context; }
    void set_continuation(std::coroutine_handle<> continuation) noexcept { continuation_ = continuation; }

    /// Tells whether somebody awaits the coroutine, or has.
    [[nodiscard]] bool awaited() const noexcept { return static_cast<bool>(continuation_); }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            promise_base& promise = ended.promise();
            return promise.transfer_to(promise.continuation_);
        }

        void await_resume() const noexcept {}
    };

    final_awaiter final_suspend() const noexcept { return {}; }

    /// Returns what to transfer control to so that `next`, this coroutine or its awaiter, goes on.
    [[nodiscard]] std::coroutine_handle<> transfer_to(std::coroutine_handle<> next) noexcept {
        if (!stack_is_deep()) [[likely]] { return next; }
        unwinding_.emplace().coroutine = next;
        return unwind(*unwinding_);
    }

protected:
    ~promise_base() = default;

private:
    std::coroutine_handle<> continuation_;
    task_context* context_ = nullptr;  // of the awaiter, set when the task is awaited
    std::optional<ready_coroutine> unwinding_;
};

template <class T>
class task_promise final : public promise_base {
public:
    task<T> get_return_object() noexcept;

    template <class U = T>
    void return_value(U&& value) {
        value_.emplace(std::forward<U>(value));
    }
    void unhandled_exception() noexcept { failure_ = std::current_exception(); }

    T take() {
        if (failure_) { std::rethrow_exception(std::move(failure_)); }
        return std::move(*value_);
    }

private:
    std::optional<T> value_;
    std::exception_ptr failure_;
};

template <>
class task_promise<void> final : public promise_base {
public:
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { failure_ = std::current_exception(); }

    void take() {
        if (failure_) { std::rethrow_exception(std::move(failure_)); }
    }

private:
    std::exception_ptr failure_;
};

}  // namespace detail

template <class T>
class [[nodiscard]] task {
public:
    using promise_type = detail::task_promise<T>;

    class awaiter {
    public:
        explicit awaiter(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) noexcept {
            return start(waiting, detail::context_of(waiting));
        }

        /// The same with a context that the task is to have instead of the awaiter's.
        std::coroutine_handle<> start(std::coroutine_handle<> waiting, detail::task_context* context) noexcept {
            coroutine_.promise().set_continuation(waiting);
            coroutine_.promise().set_context(context);
            return coroutine_.promise().transfer_to(coroutine_);
        }

        T await_resume() { return coroutine_.promise().take(); }

    private:
        std::coroutine_handle<promise_type> coroutine_;
    };

    task() = default;
    task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
    task& operator=(task&& other) noexcept {
        std::swap(coroutine_, other.coroutine_);
        return *this;
    }
    ~task() {
        if (coroutine_) { coroutine_.destroy(); }
    }

    /// Starts the task and completes when it has ended; returns its value or throws its exception. Throws std::system_error
    /// (not_awaitable) at once when the task is empty, was moved away, or has been awaited before.
    [[nodiscard]] awaiter operator co_await() const {
        if (!coroutine_ || coroutine_.promise().awaited()) [[unlikely]] { detail::throw_not_awaitable(); }
        return awaiter(coroutine_);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(coroutine_); }

private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;  // null, or suspended at its start, or at its end, or waiting
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}

inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

/// Runs a coroutine function object, which lives in this frame until the coroutine has ended.
template <class F>
task<void> keep_and_run(F function) {
    co_await function();
}

}  // namespace detail
}  // namespace fluxnet
