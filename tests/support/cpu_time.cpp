// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/cpu_time.hpp"

#include "tests/support/detail/file_descriptor.hpp"

#include <ctime>

namespace fluxnet::test {

std::chrono::nanoseconds cpu_time(pid_t pid) {
    clockid_t clock{};
    // Returns the error instead of setting errno.
    if (const int error = ::clock_getcpuclockid(pid, &clock); error != 0) {
        throw std::system_error(error, std::generic_category(), "find the CPU clock of a process");
    }
    timespec used{};
    if (::clock_gettime(clock, &used) != 0) detail::throw_errno("read the CPU clock of a process");
    return std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
}

}  // namespace fluxnet::test
