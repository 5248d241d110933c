// SPDX-License-Identifier: BSD-3-Clause
// `when_all`, `when_any`: await several tasks at once. All of them have ended when either completes.
//
//     const auto [one, other] = co_await when_all(ask(a), ask(b));
//     const auto first = co_await when_any(ask(a), ask(b));
//     if (first.index == 0) { use(*std::get<0>(first.values)); }
//
// The tasks run beside each other on the awaiting executor, as children of a scope. Allocates: a frame for the call and the
// scope's stop state, and two frames for each task beside its own.
#pragma once

#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace fluxnet {

namespace detail {

/// Several tasks of which the first counts.
struct race_state {
    scope racers;
    std::optional<std::size_t> winner;
    std::exception_ptr failure;  // of the winner
};

template <class T>
task<void> race(task<T> work, std::size_t index, race_state& state, std::optional<value_of<T>>& value) {
    executor& home = *executor::current();
    std::exception_ptr failure;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await work;
            value.emplace();
        } else {
            value.emplace(co_await work);
        }
    } catch (...) { failure = std::current_exception(); }
    co_await return_awaiter(home);  // the state belongs to its thread
    if (state.winner) {
        if (failure) { tell_exception(failure, "a task of when_any(), after the first had ended"); }
        co_return;
    }
    state.winner = index;
    state.failure = std::move(failure);
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
        (children.spawn(detail::keep_value(std::move(work), &std::get<I>(values))), ...);
    }
    (std::index_sequence_for<Ts...>());
    static_cast<void>(co_await children.join());
    co_return std::apply([](auto&... value) { return std::tuple<detail::value_of<Ts>...>(std::move(*value)...); }, values);
}

/// The same for any number of tasks of one type: the values are a std::vector.
template <class T>
[[nodiscard]] task<std::vector<detail::value_of<T>>> when_all(std::vector<task<T>> work) {
    scope children;
    std::vector<std::optional<detail::value_of<T>>> values(work.size());
    for (std::size_t i = 0; i < work.size(); ++i) { children.spawn(detail::keep_value(std::move(work[i]), &values[i])); }
    static_cast<void>(co_await children.join());
    std::vector<detail::value_of<T>> all;
    all.reserve(values.size());
    for (auto& value : values) { all.push_back(std::move(*value)); }
    co_return all;
}

/// Which of several tasks was first, and what all of them came to.
template <class Values>
struct [[nodiscard]] first_of {
    std::size_t index = 0;  ///< Of the task that ended first.
    Values values;          ///< In the order of the tasks, of each a std::optional: the value that it returned.
};

/// Completes when one task has ended and the others, cancelled then, have too. Hands out the values of all that returned
/// one, so that nothing is lost that a task had received when it was cancelled. When the first to end throws, that comes
/// out instead; what others throw is dropped, and leaves their values empty. Of nothing it throws std::system_error
/// (invalid_option).
template <class T>
[[nodiscard]] task<first_of<std::vector<std::optional<detail::value_of<T>>>>> when_any(std::vector<task<T>> work) {
    using values_of_all = std::vector<std::optional<detail::value_of<T>>>;
    if (work.empty()) { throw std::system_error(make_error_code(errc::invalid_option), "when_any() of no task"); }
    values_of_all values(work.size());
    detail::race_state state;
    for (std::size_t i = 0; i < work.size(); ++i) {
        state.racers.spawn(detail::race(std::move(work[i]), i, state, values[i]));
    }
    static_cast<void>(co_await state.racers.join());
    if (state.failure) { std::rethrow_exception(state.failure); }
    co_return first_of<values_of_all>{*state.winner, std::move(values)};
}

/// The same for tasks of different types: the values are a std::tuple.
template <class... Ts>
requires(sizeof...(Ts) > 0)
    [[nodiscard]] task<first_of<std::tuple<std::optional<detail::value_of<Ts>>...>>> when_any(task<Ts>... work) {
    using values_of_all = std::tuple<std::optional<detail::value_of<Ts>>...>;
    values_of_all values;
    detail::race_state state;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (state.racers.spawn(detail::race(std::move(work), I, state, std::get<I>(values))), ...);
    }
    (std::index_sequence_for<Ts...>());
    static_cast<void>(co_await state.racers.join());
    if (state.failure) { std::rethrow_exception(state.failure); }
    co_return first_of<values_of_all>{*state.winner, std::move(values)};
}

}  // namespace fluxnet
