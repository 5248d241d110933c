// SPDX-License-Identifier: BSD-3-Clause
// `io_result`: what an awaited transfer ends with. A plain value; made for `auto [ec, n] = co_await ...`.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <system_error>

namespace fluxnet {

struct io_result {
    std::error_code ec = no_error;  ///< No error, or why the transfer ended early.
    std::size_t n = 0;              ///< What was transferred, also when there is an error.
};

}  // namespace fluxnet
