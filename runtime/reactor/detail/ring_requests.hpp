// SPDX-License-Identifier: BSD-3-Clause
// Turns an `io_request` or a poll into an entry of an io_uring's submission queue.
//
// Functions without state.
#pragma once

#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"

#include <liburing.h>

namespace fluxnet::detail {

/// Fills in all but user_data. The kernel has been given the pool of a receive. `bundles`: it may fill several buffers of
/// that for a stream.
void prepare_request(io_uring_sqe& entry, const io_request& request, bool bundles) noexcept;

/// Fills in a one-shot poll, with the operation's address as user_data.
void prepare_poll(io_uring_sqe& entry, poll_operation& operation, int fd, unsigned events) noexcept;

}  // namespace fluxnet::detail
