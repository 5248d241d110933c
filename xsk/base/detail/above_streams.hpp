// SPDX-License-Identifier: BSD-3-Clause
// `above_streams`: keeps the descriptors that the library makes away from 0, 1 and 2.
//
// A program may be started with its standard streams closed. The kernel then gives their numbers to the next descriptors
// that are made, and whatever prints or reads would do so on an eventfd, a socket or a ring of ours. Function without state;
// any thread.
#pragma once

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace fluxnet::detail {

/// Takes what a call that makes a descriptor has returned, and returns it; a descriptor below 3 is moved to a higher number,
/// close-on-exec, which costs two system calls. Negative, with errno, when the call had failed, or when no higher number is
/// free, and then the descriptor is closed.
[[nodiscard]] inline int above_streams(int fd) noexcept {
    if (fd < 0 || fd > STDERR_FILENO) [[likely]] { return fd; }
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    // EINVAL: the limit of descriptors is below the lowest number that would do.
    const int number = errno == EINVAL ? EMFILE : errno;
    ::close(fd);
    errno = number;
    return moved;
}

}  // namespace fluxnet::detail
