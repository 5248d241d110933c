// SPDX-License-Identifier: BSD-3-Clause
// What the kernel does with a process that is named by a pidfd: a descriptor that is readable once the process has ended.
//
// Plain functions. Threads: any. Source: pidfd_open(2), pidfd_send_signal(2), waitid(2).
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/exit_status.hpp"

#include <chrono>
#include <optional>
#include <system_error>

#include <sys/types.h>

namespace fluxnet::detail {

/// Opens a child that has not been reaped, or this process; errno tells why not.
[[nodiscard]] descriptor open_process(pid_t pid) noexcept;

[[nodiscard]] std::error_code signal_process(int pidfd, int signal) noexcept;

/// Reaps the child if it has ended; nothing while it is running. An error when it is reaped already.
[[nodiscard]] std::optional<exit_result> reap(int pidfd) noexcept;

/// Waits until the process has ended, `limit` at the longest. Does not reap it.
void wait_for_end(int pidfd, std::chrono::milliseconds limit) noexcept;

/// Takes a child that nobody waits for. It is reaped here or by a later reap_left_behind(). In a process that ends before,
/// it becomes a child of init.
void leave_behind(descriptor pidfd) noexcept;
void reap_left_behind() noexcept;

}  // namespace fluxnet::detail
