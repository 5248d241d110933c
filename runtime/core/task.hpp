// SPDX-License-Identifier: BSD-3-Clause
// `task<T>`: a coroutine that starts when it is awaited and resumes its awaiter when it ends.
//
//     task<std::size_t> count(async_rx& rx) {
//         std::array<packet, 64> burst;
//         const auto [ec, n] = co_await rx.recv(burst);  // ec: cancelled, or the interface is gone
//         co_return n;
//     }
//     loop.spawn(count(rx));  // or: const std::size_t n = co_await count(rx);
//
// Threads: a task is awaited once, on the thread of its awaiter, and ends on that thread unless it moved itself
// (schedule_on()).
//
// The task object owns the coroutine frame; the frame is destroyed with it, and its memory kept for the next one of that
// thread (detail/frame_cache.hpp). It may be moved at any time. Its result or exception travels to the awaiter. The awaiter's
// stop token flows down: what the task awaits is cancelled with it.
//
// A task that is destroyed while it waits takes with it whatever it awaits; a coroutine that awaited the task, and is not
// destroyed itself, waits for ever then (executor::tasks() shows that). The frames go from the innermost outwards, one
// after the other, so that a chain of a million tasks needs no deep stack to be destroyed.
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

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task_context.hpp"

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace fluxnet {

template <class T = void>
class task;

namespace detail {

/// Where the stack of this thread's present resumption begins.
FLUXNET_EXPORT inline constinit thread_local std::uintptr_t resumed_at = 0;

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
FLUXNET_EXPORT bool make_ready_here(ready_node& node) noexcept;

/// Returns what to transfer control to so that the node's coroutine goes on from the ready queue, or at once without one.
[[nodiscard]] inline std::coroutine_handle<> unwind(ready_node& node) noexcept {
    return make_ready_here(node) ? std::noop_coroutine() : node.coroutine;
}

/// Throws std::system_error: not_awaitable.
[[noreturn]] FLUXNET_EXPORT void throw_not_awaitable();

/// Throws std::system_error: no_executor.
[[noreturn]] FLUXNET_EXPORT void throw_no_executor();

/// Throws std::system_error: wrong_executor.
[[noreturn]] FLUXNET_EXPORT void throw_wrong_executor();

class promise_base;

/// What every task object has: the coroutine that it owns.
class FLUXNET_EXPORT task_base {
public:
    task_base(const task_base&) = delete;
    task_base& operator=(const task_base&) = delete;

protected:
    task_base() = default;
    explicit task_base(std::coroutine_handle<> coroutine) noexcept : coroutine_(coroutine) {}
    ~task_base() = default;

    /// Destroys the chain of coroutines that begins with `outermost`, which is this one's, the innermost first.
    void destroy_chain(promise_base& outermost) const noexcept;

    mutable std::coroutine_handle<> coroutine_;  // null, or suspended at its start, or at its end, or waiting
};

/// What every coroutine of ours has: its awaiter, the task that it awaits, and the strand that it is part of.
class FLUXNET_EXPORT promise_base : public cached_frame {
public:
    promise_base() = default;
    promise_base(const promise_base&) = delete;
    promise_base& operator=(const promise_base&) = delete;

    std::suspend_always initial_suspend() const noexcept { return {}; }

    [[nodiscard]] task_context* context() const noexcept { return context_; }
    void set_context(task_context* context) noexcept { context_ = context; }

    /// Notes which task owns this coroutine.
    void set_owner(const task_base& owner) noexcept { owner_ = &owner; }

    /// Notes that `waiting` awaits this coroutine.
    template <class Promise>
    void set_awaiter(std::coroutine_handle<Promise> waiting) noexcept {
        continuation_ = waiting;
        if constexpr (std::is_base_of_v<promise_base, Promise>) {
            awaiter_ = &waiting.promise();
            awaiter_->awaited_ = this;
        }
    }

    /// Notes that the awaiter does not await this coroutine any more.
    void end_await() noexcept {
        if (awaiter_ != nullptr) { std::exchange(awaiter_, nullptr)->awaited_ = nullptr; }
    }

    /// Tells whether this coroutine awaits a task that has not ended.
    [[nodiscard]] bool awaits_task() const noexcept { return awaited_ != nullptr; }

    /// Tells whether somebody awaits the coroutine, or has.
    [[nodiscard]] bool awaited() const noexcept { return static_cast<bool>(continuation_); }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            promise_base& promise = ended.promise();
            promise.end_await();
            return promise.transfer_to(promise.continuation_);
        }

        void await_resume() const noexcept {}
    };

    final_awaiter final_suspend() const noexcept { return {}; }

    /// Returns what to transfer control to so that `next`, this coroutine or its awaiter, goes on.
    [[nodiscard]] std::coroutine_handle<> transfer_to(std::coroutine_handle<> next) noexcept {
        return stack_is_deep() ? unwind_to(next) : next;
    }

protected:
    ~promise_base() {
        if (unwinding_ != nullptr) [[unlikely]] { drop_unwinding(); }
    }

private:
    friend task_base;

    std::coroutine_handle<> unwind_to(std::coroutine_handle<> next) noexcept;
    void drop_unwinding() noexcept;

    std::coroutine_handle<> continuation_;
    promise_base* awaiter_ = nullptr;       // the awaiting coroutine, when it is one of ours, until this one ends
    promise_base* awaited_ = nullptr;       // the coroutine that this one awaits, until that ends
    const task_base* owner_ = nullptr;      // of this coroutine
    task_context* context_ = nullptr;       // of the awaiter, set when the task is awaited
    ready_coroutine* unwinding_ = nullptr;  // once the stack has been deep
};

// Every coroutine's frame has one.
static_assert(sizeof(promise_base) <= 48);

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
class [[nodiscard]] task : private detail::task_base {
public:
    using promise_type = detail::task_promise<T>;
    using value_type = T;

    class awaiter {
    public:
        explicit awaiter(const task& awaited) noexcept : awaited_(awaited.coroutine()) {}

        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) noexcept {
            return start(waiting, detail::context_of(waiting));
        }

        /// The same with a context that the task is to have instead of the awaiter's.
        template <class Promise>
        std::coroutine_handle<> start(std::coroutine_handle<Promise> waiting, detail::task_context* context) noexcept {
            promise_type& promise = awaited_.promise();
            promise.set_awaiter(waiting);
            promise.set_context(context);
            return promise.transfer_to(awaited_);
        }

        T await_resume() { return awaited_.promise().take(); }

    private:
        const std::coroutine_handle<promise_type> awaited_;  // the task may be moved meanwhile
    };

    task() = default;
    task(task&& other) noexcept : task_base(std::exchange(other.coroutine_, {})) { own(); }
    task& operator=(task&& other) noexcept {
        std::swap(coroutine_, other.coroutine_);
        own();
        other.own();
        return *this;
    }
    ~task() {
        if (!coroutine_) { return; }
        promise().end_await();
        if (promise().awaits_task()) [[unlikely]] {
            destroy_chain(promise());
        } else {
            coroutine_.destroy();
        }
    }

    /// Starts the task and completes when it has ended; returns its value or throws its exception. Throws std::system_error
    /// (not_awaitable) at once when the task is empty, was moved away, or has been awaited before.
    [[nodiscard]] awaiter operator co_await() const {
        if (!coroutine_ || promise().awaited()) [[unlikely]] { detail::throw_not_awaitable(); }
        return awaiter(*this);
    }

    /// Tells whether it has a coroutine: it is not empty and was not moved from.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(coroutine_); }

private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : task_base(coroutine) { own(); }

    void own() const noexcept {
        if (coroutine_) { promise().set_owner(*this); }
    }
    [[nodiscard]] std::coroutine_handle<promise_type> coroutine() const noexcept {
        return std::coroutine_handle<promise_type>::from_address(coroutine_.address());
    }
    [[nodiscard]] promise_type& promise() const noexcept { return coroutine().promise(); }
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}

inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

template <class Task>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// A function object that returns a task, of whatever result.
template <class F>
concept task_function = std::is_invocable_v<F&> && is_task<std::invoke_result_t<F&>>;

/// What can be spawned: a task, of whatever result, or a function object that returns one.
template <class W>
concept spawnable = is_task<W> || task_function<W>;

/// Runs a task and drops its value.
template <class T>
task<void> without_value(task<T> work) {
    static_cast<void>(co_await work);
}

/// The same for the task that a function object returns, which lives in this frame until the coroutine has ended.
template <task_function F>
task<void> without_value(F function) {
    static_cast<void>(co_await function());
}

/// What stands for a task's value: nothing is std::monostate.
template <class T>
using value_of = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// Runs a task and keeps its value at `into`, a pointer of any kind to an optional, which lives until then.
template <class T, class Pointer>
task<void> keep_value(task<T> work, Pointer into) {
    if constexpr (std::is_void_v<T>) {
        co_await work;
        into->emplace();
    } else {
        into->emplace(co_await work);
    }
}

}  // namespace detail
}  // namespace fluxnet
