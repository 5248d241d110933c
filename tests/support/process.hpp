// SPDX-License-Identifier: BSD-3-Clause
// A program started by a test, inside a network namespace when asked, with its output collected.
//
// The `process` owns its child: destruction kills it and reaps it, by its own process id and nothing else. The child also
// dies when the test dies, because it asks the kernel for SIGKILL on its parent's death. The kernel's notion of "parent" is
// the *thread* that started the child (prctl(2), PR_SET_PDEATHSIG): start children from a thread that outlives them.
// One thread at a time may use a `process`. Output goes to a memory file that the child writes directly: a chatty child
// never blocks, and no thread of ours runs beside the test (which would disturb counters of allocations and system calls).
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// How a child ended: one of the two, the other is -1 or 0.
struct exit_status {
    int exit_code = -1;  ///< The code it exited with; -1 when a signal killed it.
    int signal = 0;      ///< The signal that killed it; 0 when it exited.

    [[nodiscard]] bool success() const noexcept { return exit_code == 0; }
};

/// How a program ended, with all that it wrote.
struct finished {
    int exit_code = -1;      ///< -1 when a signal killed it.
    int signal = 0;          ///< 0 when it exited by itself.
    std::string output;      ///< Standard output and standard error in the order of writing.
    bool timed_out = false;  ///< The deadline passed, so it was killed: `signal` is SIGKILL.

    [[nodiscard]] bool success() const noexcept { return exit_code == 0; }
};

struct process_options {
    int netns_fd = -1;    ///< A network namespace to enter before anything else; -1 stays in the caller's.
    bool capture = true;  ///< Collect standard output and standard error; otherwise they are the test's own.

    /// Runs in the child after it entered the namespace, before the program starts: drop capabilities, set limits. The
    /// child is a copy of the calling thread alone. If the test has other threads, any lock (malloc's, stdio's) may be
    /// held for ever in the copy: make plain system calls here, as in a signal handler. An exception, which is for
    /// single-threaded tests, is reported by process's constructor.
    std::function<void()> in_child = {};

    /// Added to the environment, replacing variables of the same name.
    std::vector<std::pair<std::string, std::string>> env = {};
};

/// A running or ended child.
class process {
public:
    /// Starts `argv[0]`, looked up in PATH, with standard input empty and no other descriptor of the test's, unless
    /// `in_child` clears FD_CLOEXEC on it. Signals are unblocked. Throws std::system_error naming the step when the
    /// child could not be prepared or the program could not be started: a `process` that exists has executed its program.
    explicit process(const std::vector<std::string>& argv, const process_options& options = {});

    /// Kills the child with SIGKILL unless it has ended, and reaps it. Its own children are not followed: have a shell end
    /// with `exec program`, or the program outlives the shell (and keeps its network namespace alive).
    ~process();
    process(process&& other) noexcept;
    process& operator=(process&& other) noexcept;

    /// Waits for the end of the child and reaps it. Returns nothing when it is still running at the deadline; may be
    /// called again, also after the end.
    std::optional<exit_status> wait(deadline limit);

    /// Sends a signal. Returns false when the child has ended already.
    bool signal(int number);

    /// Waits until the output contains `text` behind the previous match, so that consecutive calls follow the course of
    /// the output. Returns false when the child ends or the deadline passes first; the next call then looks from the same
    /// place again. Needs `capture`.
    bool read_until(std::string_view text, deadline limit);

    /// Returns all that the child, and children of its own, have written so far. Needs `capture`.
    [[nodiscard]] std::string output() const;

    /// The process id as seen by the test; stays the same after the end.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] bool running();

private:
    void kill_and_reap() noexcept;

    pid_t pid_ = -1;                     // -1 when moved from
    detail::file_descriptor pidfd_;      // readable once the child has ended
    detail::file_descriptor output_;     // a memory file; none without capture
    std::optional<exit_status> status_;  // set once reaped
    std::size_t searched_ = 0;           // end of the previous match of read_until
};

/// Starts a program, waits for its end and returns what it wrote. Kills it when the deadline passes.
finished run(const std::vector<std::string>& argv, const process_options& options, deadline limit);

}  // namespace fluxnet::test
