// SPDX-License-Identifier: BSD-3-Clause
// `pipe_ends`: a pipe to wait on. Owned by one test case.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

namespace fluxnet::test {

struct pipe_ends {
    detail::file_descriptor read;
    detail::file_descriptor write;

    pipe_ends() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        read = detail::file_descriptor{ends[0]};
        write = detail::file_descriptor{ends[1]};
    }
    void put() const { REQUIRE(::write(write.get(), "x", 1) == 1); }
    void take() const {
        char byte = 0;
        REQUIRE(::read(read.get(), &byte, 1) == 1);
    }
};

}  // namespace fluxnet::test
