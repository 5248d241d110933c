// SPDX-License-Identifier: BSD-3-Clause
// Small coroutine pieces that the tests of the runtime share.
//
// Plain values and awaiters, used on the thread of the executor under test.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"

#include <cassert>
#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <stop_token>
#include <utility>

namespace fluxnet::test {

/// Goes to the end of the ready queue: `co_await requeue()` lets everybody else who is ready run first.
class requeue {
public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) noexcept {
        node_.coroutine = waiting;
        fluxnet::detail::inside(*executor::current()).make_ready(node_);
    }
    void await_resume() const noexcept {}

private:
    ready_coroutine node_;
};

/// Never completes: the coroutine stays suspended until its frame is destroyed.
using never = std::suspend_always;

/// Completes at once with the stop token that the awaiting coroutine was given; null when it has none.
class given_token {
public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> asking) noexcept {
        token_ = fluxnet::detail::stop_token_of(asking);
        return false;
    }
    const std::stop_token* await_resume() const noexcept { return token_; }

private:
    const std::stop_token* token_ = nullptr;
};

/// A context that no executor lists, for it may end on another than the one it began on.
class unlisted_context final : public fluxnet::detail::task_context {
public:
    unlisted_context(executor& here, std::stop_token token)
        : task_context(&here, std::move(token), std::source_location::current()) {
        listen();
    }
};

/// A coroutine that brings a stop token of its own, so that a test can cancel what it awaits from any thread.
/// `co_await run_under(source.get_token(), work)` completes when `work` has ended.
class [[nodiscard]] stoppable {
public:
    class promise_type {
    public:
        promise_type(const std::stop_token& token, task<void>&) : token_(token) {}
        stoppable get_return_object() noexcept {
            return stoppable(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct to_waiting {
                bool await_ready() const noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
                    return ended.promise().waiting_;
                }
                void await_resume() const noexcept {}
            };
            return to_waiting{};
        }
        void return_void() const noexcept {}
        void unhandled_exception() noexcept { failure_ = std::current_exception(); }
        fluxnet::detail::task_context* context() noexcept { return &*context_; }

    private:
        friend stoppable;
        const std::stop_token token_;
        std::optional<unlisted_context> context_;  // once it is awaited
        std::coroutine_handle<> waiting_;
        std::exception_ptr failure_;
    };

    stoppable(stoppable&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
    stoppable& operator=(stoppable&&) = delete;
    ~stoppable() {
        if (coroutine_) { coroutine_.destroy(); }
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
        promise_type& promise = coroutine_.promise();
        promise.waiting_ = waiting;
        promise.context_.emplace(*executor::current(), promise.token_);
        return coroutine_;
    }
    void await_resume() const {
        if (coroutine_.promise().failure_) { std::rethrow_exception(coroutine_.promise().failure_); }
    }

private:
    explicit stoppable(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
    std::coroutine_handle<promise_type> coroutine_;
};

inline stoppable run_under(std::stop_token, task<void> work) {
    co_await work;
}

}  // namespace fluxnet::test
