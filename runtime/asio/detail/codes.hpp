// SPDX-License-Identifier: BSD-3-Clause
// How errors are told on the other side: ours to Boost.Asio's handlers, Asio's to our tasks. Functions without state.
//
// Asio's programs compare with boost::asio::error::operation_aborted and eof, ours with errc::operation_canceled and
// errc::end_of_stream. Errors of the system keep their number; all others keep their category too.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <new>
#include <system_error>

namespace fluxnet::asio {

namespace net = boost::asio;

namespace detail {

/// What a handler is told. Asio has one name for an operation that was cancelled and one whose object was closed.
[[nodiscard]] inline boost::system::error_code code_for_asio(const std::error_code& code) {
    if (!code) { return {}; }
    if (code == errc::operation_canceled || code == errc::closed) { return net::error::operation_aborted; }
    if (code == errc::end_of_stream) { return net::error::eof; }
    if (code.category() == std::system_category() || code.category() == std::generic_category()) {
        return {code.value(), boost::system::system_category()};
    }
    return boost::system::error_code(code);
}

/// What a task is told.
[[nodiscard]] inline std::error_code code_from_asio(const boost::system::error_code& code) {
    if (!code) { return no_error; }
    if (code == net::error::operation_aborted) { return errc::operation_canceled; }
    if (code == net::error::eof) { return errc::end_of_stream; }
    return static_cast<std::error_code>(code);
}

/// What a handler without an exception_ptr is told of an exception.
[[nodiscard]] inline boost::system::error_code code_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::system_error& error) {
        return code_for_asio(error.code());
    } catch (const boost::system::system_error& error) { return error.code(); } catch (const std::bad_alloc&) {
        return net::error::no_memory;
    } catch (...) { return boost::system::error_code(make_error_code(errc::system_failure)); }
}

}  // namespace detail
}  // namespace fluxnet::asio
