// SPDX-License-Identifier: BSD-3-Clause
// `writable`: wait until a descriptor takes more. For kernel sockets, pipes and the like.
//
//     const wait_result ready = co_await writable(fd);
//     if (ready) { co_return; }   // cancelled, or the kernel refuses it
//
// The descriptor stays the caller's and must stay open until the await has ended. Being writable is a hint: another writer
// may be faster, so write without blocking. A socket whose connect(2) is under way becomes writable when that has ended;
// SO_ERROR tells how.
//
// Threads: awaited on an executor, which resumes the coroutine.
#pragma once

#include "fluxnet/runtime/core/descriptor_awaiter.hpp"

#include <poll.h>

namespace fluxnet {

/// Completes when `fd` is writable, or its peer has closed and a write would fail at once; with operation_canceled when the
/// task is cancelled first; or with the kernel's error; or with not_in_virtual_time. One poll request through the reactor.
[[nodiscard]] inline descriptor_awaiter writable(int fd) noexcept {
    return {fd, POLLOUT, "writable"};
}

}  // namespace fluxnet
