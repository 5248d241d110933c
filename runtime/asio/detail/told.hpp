// SPDX-License-Identifier: BSD-3-Clause
// How the end of an operation is told to a handler. Types without state, for `pending`.
//
// `signature`: the handler's; `arguments`: a tuple for it. `of()`: from a value or an exception. `closed()`: when the
// operation was given up. `cancelled_by`: the kinds of cancellation that the operation can promise. `begins_when_stopped`:
// whether it is carried out after a request_stop() of the executor. A task is, and what it awaits is cancelled. A transfer
// that need not wait would succeed, and a loop of handlers never end.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <boost/asio/cancellation_type.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>

namespace fluxnet::asio::detail {

[[nodiscard]] inline std::exception_ptr closed_failure() {
    return std::make_exception_ptr(
        std::system_error(make_error_code(errc::closed), "run a task: its execution was destroyed before its end"));
}

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// A task's value, as boost::asio::co_spawn() tells it. Beside an exception a result has an error with the exception's code.
template <class T>
struct told_as_value {
    static_assert(is_result<T> || std::default_initializable<T>,
                  "a handler is told T() beside an exception: return a result<T> or a std::optional<T>");
    using signature = void(std::exception_ptr, T);
    using arguments = std::tuple<std::exception_ptr, T>;
    static constexpr auto cancelled_by = net::cancellation_type::terminal;
    static constexpr bool begins_when_stopped = true;

    static arguments of(std::optional<T>&& value, const std::exception_ptr& failure) {
        if (!value) { return arguments(failure, beside(failure)); }
        return arguments(nullptr, std::move(*value));
    }
    static arguments closed() { return of(std::nullopt, closed_failure()); }

private:
    [[nodiscard]] static T beside([[maybe_unused]] const std::exception_ptr& failure) {
        if constexpr (is_result<T>) {
            return error{static_cast<std::error_code>(code_of(failure)), "run a task", "", ""};
        } else {
            return T();
        }
    }
};

template <>
struct told_as_value<void> {
    using signature = void(std::exception_ptr);
    using arguments = std::tuple<std::exception_ptr>;
    static constexpr auto cancelled_by = net::cancellation_type::terminal;
    static constexpr bool begins_when_stopped = true;

    static arguments of(std::optional<std::monostate>&&, std::exception_ptr failure) {
        return arguments(std::move(failure));
    }
    static arguments closed() { return arguments(closed_failure()); }
};

/// An error code and how much was transferred. When it is cancelled, that tells what has been done.
struct told_as_transfer {
    using signature = void(boost::system::error_code, std::size_t);
    using arguments = std::tuple<boost::system::error_code, std::size_t>;
    static constexpr auto cancelled_by = net::cancellation_type::terminal | net::cancellation_type::partial;
    static constexpr bool begins_when_stopped = false;

    static arguments of(std::optional<io_result>&& value, const std::exception_ptr& failure) {
        if (!value) { return arguments(code_of(failure), 0); }
        return arguments(code_for_asio(value->ec), value->n);
    }
    static arguments closed() { return arguments(net::error::operation_aborted, 0); }
};

/// The same of an operation that has done nothing when it is cancelled.
struct told_as_reception : told_as_transfer {
    static constexpr auto cancelled_by =
        net::cancellation_type::terminal | net::cancellation_type::partial | net::cancellation_type::total;
};

/// An error code alone.
struct told_as_wait {
    using signature = void(boost::system::error_code);
    using arguments = std::tuple<boost::system::error_code>;
    static constexpr auto cancelled_by =
        net::cancellation_type::terminal | net::cancellation_type::partial | net::cancellation_type::total;
    static constexpr bool begins_when_stopped = false;

    static arguments of(std::optional<wait_result>&& value, const std::exception_ptr& failure) {
        return arguments(value ? code_for_asio(*value) : code_of(failure));
    }
    static arguments closed() { return arguments(net::error::operation_aborted); }
};

/// The same of a transfer that transfers nothing.
struct told_as_readiness : told_as_wait {
    static arguments of(std::optional<io_result>&& value, const std::exception_ptr& failure) {
        return arguments(value ? code_for_asio(value->ec) : code_of(failure));
    }
};

}  // namespace fluxnet::asio::detail
