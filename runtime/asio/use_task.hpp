// SPDX-License-Identifier: BSD-3-Clause
// `use_task`: a completion token by which tasks of ours await any operation of Asio's.
//
//     const wait_result rung = co_await timer.async_wait(fluxnet::asio::use_task);
//     const io_result got = co_await socket.async_read_some(boost::asio::buffer(bytes), fluxnet::asio::use_task);
//
// Awaited in a task that runs on an `execution`, in the expression that makes it or later, once; until then it may be moved.
// Elsewhere it throws std::system_error: wrong_executor, no_executor. So does a second await, or one of an operation that
// was moved from: not_awaitable.
//
// What the await gives follows from the handler's signature: an error code is told as ours, not thrown.
//   (error_code)             wait_result
//   (error_code, size_t)     io_result
//   (error_code, T...)       std::tuple<std::error_code, T...>
//   (exception_ptr, T...)    throws, or gives as the next two
//   ()                       nothing
//   (T), (T, U...)           T, std::tuple<T, U...>
// operation_aborted is told as operation_canceled and eof as end_of_stream; as_tuple(use_task) and redirect_error(use_task,
// code) leave Asio's codes as they are.
//
// Cancellation: a stop of the task emits a signal of all kinds at the operation, whose end is then awaited; an operation
// that cannot be cancelled goes on. When the coroutine is destroyed the signal is emitted too and the rest ignored. The
// object of the operation has to be there then: declare it before what destroys the coroutine.
//
// Threads: the operation's handler is associated with the execution's strand, so that a composed operation runs there.
#pragma once

#include "fluxnet/runtime/asio/detail/asio_operation.hpp"

#include <boost/asio/async_result.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace fluxnet::asio {

/// The type of `use_task`.
struct use_task_t {
    /// An executor with this token as the default.
    template <class InnerExecutor>
    struct executor_with_default : InnerExecutor {
        using default_completion_token_type = use_task_t;

        /// Makes it of such an executor without the default.
        template <class Other>
        requires(!std::same_as<Other, executor_with_default> && std::convertible_to<Other, InnerExecutor>)
            executor_with_default(const Other& from)
        noexcept : InnerExecutor(from) {}
    };

    /// The type of an object of Asio's whose operations have this token as their default.
    template <class T>
    using as_default_on_t = typename T::template rebind_executor<executor_with_default<typename T::executor_type>>::other;

    /// Makes such an object of `object`.
    template <class T>
    static as_default_on_t<std::decay_t<T>> as_default_on(T&& object) {
        return as_default_on_t<std::decay_t<T>>(std::forward<T>(object));
    }
};

inline constexpr use_task_t use_task;

}  // namespace fluxnet::asio

template <class R, class... Args>
class boost::asio::async_result<fluxnet::asio::use_task_t, R(Args...)> {
public:
    using return_type = typename fluxnet::asio::detail::any_asio_operation<R(Args...)>::type;

    template <class Initiation, class... InitArgs>
    static auto initiate(Initiation&& initiation, fluxnet::asio::use_task_t, InitArgs&&... args) {
        using operation =
            fluxnet::asio::detail::asio_operation<R(Args...), std::decay_t<Initiation>, std::decay_t<InitArgs>...>;
        return operation(std::forward<Initiation>(initiation), std::forward<InitArgs>(args)...);
    }
};
