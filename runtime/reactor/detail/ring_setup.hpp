// SPDX-License-Identifier: BSD-3-Clause
// Makes an io_uring with the best flags that the kernel grants, and says why it grants none.
//
// Functions without state. The ring is made disabled on any thread, and enabled by the thread that is going to use it: with
// SINGLE_ISSUER the enabling thread becomes the ring's only submitter. Whether the kernel will enable and enter the ring is
// found out when it is made, while another backend can still be chosen.
#pragma once

#include "fluxnet/runtime/reactor/reactor.hpp"

#include <chrono>
#include <string>
#include <string_view>

#include <liburing.h>

namespace fluxnet::detail {

/// Makes the ring, disabled, and returns the name of what was granted. Throws std::system_error, leaving nothing, when the
/// kernel refuses to make, enable or enter one.
std::string_view set_up_ring(io_uring& ring, unsigned entries, reactor_threads threads);

/// Enables the ring; the calling thread is its submitter if it may have only one. Throws std::system_error, leaving the ring
/// as it was.
void enable_ring(io_uring& ring);

/// Tells whether one completion may tell of several buffers received into, in the order of the bytes. The first kernels that
/// know such bundles mix up that order, and know no limit.
[[nodiscard]] bool has_bundles(const io_uring& ring) noexcept;

/// Has each wait in the ring busy-poll, for so long, the network devices from which the ring's sockets have received, before
/// it sleeps. Any thread, before the ring is enabled. Returns what reactor::name() is to say of it: what was granted, or why
/// not. Source: io_uring_register_napi(3).
[[nodiscard]] std::string poll_devices(const io_uring& ring, std::chrono::microseconds how_long);

}  // namespace fluxnet::detail
