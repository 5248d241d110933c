// SPDX-License-Identifier: BSD-3-Clause
// `io_result`: what an awaited transfer ends with.
//
//     const auto [ec, n] = co_await rx.recv(burst);  // n counts also when there is an error
//
// A plain value; the compiler warns of one that nobody looks at.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <system_error>

namespace fluxnet {

struct [[nodiscard]] io_result {
    std::error_code ec = no_error;  ///< No error, or why the transfer ended early.
    std::size_t n = 0;              ///< What was transferred, also when there is an error.
};

}  // namespace fluxnet
