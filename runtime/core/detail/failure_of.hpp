// SPDX-License-Identifier: BSD-3-Clause
// What a reactor's negative result means. A function without state.
#pragma once

#include "fluxnet/runtime/reactor/poll_operation.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cerrno>
#include <system_error>

namespace fluxnet::detail {

/// Says what a negative result of a poll operation or a completion operation means.
[[nodiscard]] inline std::error_code failure_of(int result) noexcept {
    if (result == -ECANCELED) { return errc::operation_canceled; }
    if (result == poll_operation::refused) { return errc::not_in_virtual_time; }
    return {-result, std::system_category()};
}

}  // namespace fluxnet::detail
