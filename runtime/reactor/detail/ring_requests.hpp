// SPDX-License-Identifier: BSD-3-Clause
// Turns an `io_request` into an entry of an io_uring's submission queue.
//
// A function without state.
#pragma once

#include "fluxnet/runtime/reactor/io_operation.hpp"

#include <liburing.h>

namespace fluxnet::detail {

/// Fills in all but user_data. The kernel has been given the pool of a receive.
void prepare_request(io_uring_sqe& entry, const io_request& request) noexcept;

}  // namespace fluxnet::detail
