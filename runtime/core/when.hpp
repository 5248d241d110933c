// SPDX-License-Identifier: BSD-3-Clause
// `when_all`, `when_any`: await several tasks at once. All of them have ended when either completes.
//
// The tasks run beside each other on the awaiting executor, as children of a scope. Allocates: a frame for the call and the
// scope's stop state, and two frames for each task beside its own.
#pragma once

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace fluxnet {

namespace detail {

/// What stands for a task's value: nothing is std::monostate.
template <class T>
using value_of = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
task<void> keep_value(task<T> work, std::optional<value_of<T>>& into) {
    if constexpr (std::is_void_v<T>) {
        co_await work;
        into.emplace();
    } else {
        into.emplace(co_await work);
    }
}

/// Several tasks of which the first counts.
struct race_state {
    scope racers;
    std::optional<std::size_t> winner;
    std::exception_ptr failure;  // of the winner
};

template <class T, class Keep>
task<void> race(task<T> work, std::size_t index, race_state& state, Keep keep) {
    std::optional<value_of<T>> value;
    std::exception_ptr failure;
    task<void> running = keep_value(std::move(work), value);
    try {
        co_await running;
    } catch (...) { failure = std::current_exception(); }
    if (state.winner) { co_return; }
    state.winner = index;
    state.failure = std::move(failure);
    if (value) { keep(std::move(*value)); }
    state.racers.request_stop();
}

}  // namespace detail

/// Completes when all tasks have ended, with their values in order; std::monostate stands for a task without one. When one
/// throws, the others are cancelled, and the exception comes out when they have ended too.
template <class... Ts>
[[nodiscard]] task<std::tuple<detail::value_of<Ts>...>> when_all(task<Ts>... work) {
    scope children;
    std::tuple<std::optional<detail::value_of<Ts>>...> values;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (children.spawn(detail::keep_value(std::move(work), std::get<I>(values))), ...);
    }(std::index_sequence_for<Ts...>());
    static_cast<void>(co_await children.join());
    co_return std::apply([](auto&... value) { return std::tuple<detail::value_of<Ts>...>(std::move(*value)...); }, values);
}

template <class T>
[[nodiscard]] task<std::vector<detail::value_of<T>>> when_all(std::vector<task<T>> work) {
    scope children;
    std::vector<std::optional<detail::value_of<T>>> values(work.size());
    for (std::size_t i = 0; i < work.size(); ++i) { children.spawn(detail::keep_value(std::move(work[i]), values[i])); }
    static_cast<void>(co_await children.join());
    std::vector<detail::value_of<T>> all;
    all.reserve(values.size());
    for (auto& value : values) { all.push_back(std::move(*value)); }
    co_return all;
}

/// Which task was first, and its value.
template <class Value>
struct first_of {
    std::size_t index = 0;
    Value value;
};

/// Completes when one task has ended and the others, cancelled then, have too. The value is that of the first; what the
/// others return or throw is dropped. When the first to end throws, that comes out. Of nothing it throws std::system_error
/// (invalid_option).
template <class T>
[[nodiscard]] task<first_of<detail::value_of<T>>> when_any(std::vector<task<T>> work) {
    using any_value = detail::value_of<T>;
    if (work.empty()) { throw std::system_error(make_error_code(errc::invalid_option), "when_any() of no task"); }
    detail::race_state state;
    std::optional<any_value> value;
    const auto keep = [&value](any_value&& first) { value.emplace(std::move(first)); };
    for (std::size_t i = 0; i < work.size(); ++i) { state.racers.spawn(detail::race(std::move(work[i]), i, state, keep)); }
    static_cast<void>(co_await state.racers.join());
    if (state.failure) { std::rethrow_exception(state.failure); }
    co_return first_of<any_value>{*state.winner, std::move(*value)};
}

/// The same for tasks of different types: the value is the variant's alternative of that index.
template <class... Ts>
    requires(sizeof...(Ts) > 0)
[[nodiscard]] task<first_of<std::variant<detail::value_of<Ts>...>>> when_any(task<Ts>... work) {
    using any_value = std::variant<detail::value_of<Ts>...>;
    detail::race_state state;
    std::optional<any_value> value;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (state.racers.spawn(detail::race(
             std::move(work), I, state,
             [&value](detail::value_of<Ts>&& first) { value.emplace(std::in_place_index<I>, std::move(first)); })),
         ...);
    }(std::index_sequence_for<Ts...>());
    static_cast<void>(co_await state.racers.join());
    if (state.failure) { std::rethrow_exception(state.failure); }
    co_return first_of<any_value>{*state.winner, std::move(*value)};
}

}  // namespace fluxnet
