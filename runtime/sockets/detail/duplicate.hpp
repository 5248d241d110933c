// SPDX-License-Identifier: BSD-3-Clause
// A duplicate of a descriptor that stays its owner's, such as a standard stream. A function without state.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/file_error.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace fluxnet::detail {

/// Close-on-exec, with a number above those of the standard streams. One system call. Errors: the kernel's: EBADF, EMFILE.
[[nodiscard]] inline result<descriptor> duplicate_of(int fd) {
    descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!copy) { return file_error(errno, "duplicate descriptor " + std::to_string(fd)); }
    return copy;
}

}  // namespace fluxnet::detail
