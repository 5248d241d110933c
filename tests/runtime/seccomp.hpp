// SPDX-License-Identifier: BSD-3-Clause
// Tells what the code under test says where a system call is forbidden: in a child, which ends with its filter.
#pragma once

#include "tests/support/seccomp.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>

namespace fluxnet::test {

/// Returns what `function`, which returns a string, says where `call` is forbidden.
template <class F>
std::string said_without(const forbidden_call& call, F&& function) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        forbid(call);
        const std::string text = function();
        const ssize_t written = ::write(ends[1], text.data(), text.size());
        ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 3);
    }
    ::close(ends[1]);
    std::array<char, 4096> text{};
    const ssize_t length = ::read(ends[0], text.data(), text.size());
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(length >= 0);
    return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace fluxnet::test
