// SPDX-License-Identifier: BSD-3-Clause
// `there_and_back`: awaits anything that can be awaited, and goes on on the executor where that began.
//
// A coroutine around what is awaited: what moves to another executor has ended there when this one goes back.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace fluxnet::detail {

template <class A>
decltype(auto) awaiter_of(A&& awaitable) {
    if constexpr (requires { static_cast<A&&>(awaitable).operator co_await(); }) {
        return static_cast<A&&>(awaitable).operator co_await();
    } else if constexpr (requires { operator co_await(static_cast<A&&>(awaitable)); }) {
        return operator co_await(static_cast<A&&>(awaitable));
    } else {
        return static_cast<A&&>(awaitable);
    }
}

/// What a coroutine of ours can await.
template <class A>
concept awaitable = requires(std::remove_reference_t<decltype(awaiter_of(std::declval<A>()))>& awaiter) {
    awaiter.await_ready();
    awaiter.await_resume();
};

/// The type of what an await gives, as a value.
template <class A>
using awaited_value = std::remove_cvref_t<
    decltype(std::declval<std::remove_reference_t<decltype(awaiter_of(std::declval<A>()))>&>().await_resume())>;

/// Goes on on an executor, whether or not the task was cancelled.
class return_awaiter final : private operation {
public:
    explicit return_awaiter(executor& home) noexcept : home_(home) {}

    [[nodiscard]] bool await_ready() const noexcept { return executor::current() == &home_; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return travel_home(waiting, home_);
    }

    void await_resume() noexcept { static_cast<void>(finish()); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "return to its executor"; }
    void cancel() noexcept override {}

    executor& home_;
};

/// Awaits `work`, of type A or a reference to one, and goes back to the executor on which that began.
template <class A>
task<awaited_value<A&&>> there_and_back(A work) {
    using value_type = awaited_value<A&&>;
    executor& home = *executor::current();
    std::optional<value_of<value_type>> value;
    std::exception_ptr failure;
    try {
        if constexpr (std::is_void_v<value_type>) {
            co_await static_cast<std::remove_reference_t<A>&&>(work);
        } else {
            value.emplace(co_await static_cast<std::remove_reference_t<A>&&>(work));
        }
    } catch (...) { failure = std::current_exception(); }
    co_await return_awaiter(home);
    if (failure) { std::rethrow_exception(std::move(failure)); }
    if constexpr (!std::is_void_v<value_type>) { co_return std::move(*value); }
}

}  // namespace fluxnet::detail
