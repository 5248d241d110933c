// SPDX-License-Identifier: BSD-3-Clause
// Runs something that an assertion has to stop, in a child process. For test cases that have one thread.
#pragma once

#include "fluxnet/xsk/memory/detail/checked.hpp"

#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fluxnet::test {

/// Whether assert() does anything in this build.
#if defined(NDEBUG)
inline constexpr bool asserts = false;
#else
inline constexpr bool asserts = true;
#endif

/// Why nothing stops a breach of contract here; none when something does.
[[nodiscard]] inline std::optional<std::string> why_no_assertions() {
    if (asserts) { return std::nullopt; }
    return "a build without assertions";
}

/// Why nothing follows the frames here; none when something does.
[[nodiscard]] inline std::optional<std::string> why_not_checked() {
    if (asserts && fluxnet::detail::checked_build) { return std::nullopt; }
    return "a build that does not check frames (FLUXNET_CHECKED)";
}

/// Tells whether `action` ended in abort().
template <class Action>
[[nodiscard]] bool dies(Action&& action) {
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        const int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(quiet, STDERR_FILENO);
        action();
        ::_exit(0);
    }
    int status = 0;
    return child > 0 && ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace fluxnet::test
