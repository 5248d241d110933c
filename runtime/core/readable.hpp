// SPDX-License-Identifier: BSD-3-Clause
// `readable`: wait until a descriptor has something to read. For kernel sockets, pipes, signalfds and the like.
//
//     const wait_result ready = co_await readable(fd);
//     if (ready) { co_return; }   // cancelled, or the kernel refuses it
//
// The descriptor stays the caller's and must stay open until the await has ended. Being readable is a hint: another reader
// may be faster, so read without blocking.
//
// Threads: awaited on an executor, which resumes the coroutine.
#pragma once

#include "fluxnet/runtime/core/descriptor_awaiter.hpp"

#include <poll.h>

namespace fluxnet {

/// Completes when `fd` is readable or hung up; with operation_canceled when the task is cancelled first; or with the
/// kernel's error; or with not_in_virtual_time. One poll request through the reactor.
[[nodiscard]] inline descriptor_awaiter readable(int fd) noexcept {
    return {fd, POLLIN, "readable"};
}

}  // namespace fluxnet
