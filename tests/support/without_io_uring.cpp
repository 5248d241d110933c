// SPDX-License-Identifier: BSD-3-Clause
// Runs a program where io_uring is refused, as it is in a container: without_io_uring EPERM|ENOSYS PROGRAM [ARGUMENT...]
//
// Whatever the program starts is refused it too. FLUXNET_WITHOUT_IO_URING holds the answer, for tests that want to know.
#include "tests/support/seccomp.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
    const bool hidden = argc > 1 && std::strcmp(argv[1], "ENOSYS") == 0;
    if (argc < 3 || (!hidden && std::strcmp(argv[1], "EPERM") != 0)) {
        std::fprintf(stderr, "usage: without_io_uring EPERM|ENOSYS PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    fluxnet::test::forbid({SYS_io_uring_setup, hidden ? ENOSYS : EPERM});
    ::setenv("FLUXNET_WITHOUT_IO_URING", argv[1], 1);
    ::execvp(argv[2], argv + 2);
    std::perror(argv[2]);
    return 127;
}
