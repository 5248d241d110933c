// SPDX-License-Identifier: BSD-3-Clause
// `async_run`: starts a task of ours and tells a handler of Asio's how it ended, as boost::asio::co_spawn() does.
//
//     async_run(packets, count(), [](std::exception_ptr failure, int counted) { ... });
//     int counted = co_await async_run(packets, count(), boost::asio::use_awaitable);  // throws what the task threw
//     std::future<int> later = async_run(packets, count(), boost::asio::use_future);
//     const auto next = [&] { return door.accept(); };  // door: a listener
//     result<tcp_stream> peer = co_await async_run(packets, next, boost::asio::use_awaitable);
//
// Takes every completion token. The handler is told a std::exception_ptr, and the task's value unless that is void: T()
// with an exception; a result<T> has the exception's code then. It is called on its associated executor or else the
// execution's, never inside async_run(). On an execution that was moved from it is told `closed`. Cancellation: a terminal
// signal of the associated slot requests a stop of the task, which then ends as it does on a stop: by a value, most often.
//
// Threads: called on any thread; the task runs in the execution's turns.
#pragma once

#include "fluxnet/runtime/asio/detail/pending.hpp"
#include "fluxnet/runtime/asio/detail/told.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <boost/asio/async_result.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace fluxnet::asio {

namespace detail {

/// What can be carried out: a task, or a function object that returns one, or whatever else can be awaited.
template <class W>
concept runnable = fluxnet::detail::spawnable<W> || requires(W& work) {
    { work() } -> fluxnet::detail::awaitable;
};

/// What a program wants done: a task, or a function object that returns what is to be awaited and is kept until its end.
template <class W>
class wanted {
public:
    explicit wanted(W&& work) noexcept : work_(std::move(work)) {}

    auto operator()() {
        if constexpr (fluxnet::detail::is_task<W>) {
            return std::move(work_);
        } else {
            return work_();
        }
    }

private:
    W work_;
};

template <class W>
using value_wanted = fluxnet::detail::awaited_value<std::invoke_result_t<wanted<W>&>>;

}  // namespace detail

/// Starts `work`, a task or a function object that returns one, on the execution's executor, where `tasks()` lists it as
/// made at `where`. The function may return an awaiter of ours instead, that of a listener's accept() for example. An empty
/// task, or one that was awaited before, ends with std::system_error (not_awaitable).
template <class Executor, detail::runnable W, class Token = typename net::default_completion_token<Executor>::type>
auto async_run(basic_execution<Executor>& on, W work,
               Token&& token = typename net::default_completion_token<Executor>::type(),
               const std::source_location& where = std::source_location::current()) {
    using told = detail::told_as_value<detail::value_wanted<W>>;
    using work_type = detail::wanted<W>;
    return net::async_initiate<Token, typename told::signature>(
        detail::initiation<told, work_type, Executor>(detail::access::driver_of(on), on.get_executor(), where), token,
        work_type(std::move(work)));
}

}  // namespace fluxnet::asio
