// SPDX-License-Identifier: BSD-3-Clause
// How much processor time a process has used, to show that an idle program sleeps.
//
// A function without state, for any thread. Reading costs one or two system calls, which the process measured notices
// only when it is the caller itself.
#pragma once

#include <sys/types.h>

#include <chrono>

namespace fluxnet::test {

/// Returns user and system time together, of all threads of a process, including those that have ended; without its
/// children. Works until the process has been reaped. Counted by the scheduler in nanoseconds, and always up to date.
/// Throws std::system_error when there is no such process. Source: clock_getcpuclockid(3).
[[nodiscard]] std::chrono::nanoseconds cpu_time(pid_t pid);

}  // namespace fluxnet::test
