// SPDX-License-Identifier: BSD-3-Clause
// `run_with`: a child process that has few capabilities. A function without state, for the thread of a test.
#pragma once

#include "tests/support/capabilities.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <initializer_list>

#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fluxnet::test {

/// Runs `work` in a child that has no capability but these, and returns what it returned; -1 when it did not come to that.
inline int run_with(std::initializer_list<int> capabilities, const std::function<int()>& work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        try {
            for (int one = 0; one <= CAP_LAST_CAP; ++one) {
                const bool kept = std::find(capabilities.begin(), capabilities.end(), one) != capabilities.end();
                if (!kept && one != CAP_SETPCAP) { drop_capability(one); }
            }
            drop_capability(CAP_SETPCAP);
            ::_exit(work());
        } catch (...) {}
        ::_exit(255);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

}  // namespace fluxnet::test
