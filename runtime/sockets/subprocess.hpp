// SPDX-License-Identifier: BSD-3-Clause
// `subprocess`: a program that this one runs, and whose end it awaits.
//
//     process_options options{.argv = {"sleep", "3"}};
//     options.in = process_stream::null();
//     subprocess child = subprocess::start(options).value();
//     const exit_result end = co_await child.wait();
//
// Owns the process: when the handle is destroyed the program is killed and nothing of it is left. To let it go on, detach()
// it. To end it gently, kill(SIGTERM) and give wait() a timeout. Its own children are not followed, but
// see process_options::own_group.
//
// The program is given the standard streams and the environment that its options name, and the signal mask that this
// process has without its signal sets (signal_set.hpp). Signals that this process catches, and SIGPIPE, do in it what they
// do by default; others that this process ignores it ignores too. Of this process's descriptors it gets those without
// FD_CLOEXEC; those that this library makes all have it.
//
// The process is named by a pidfd, never by its number, which the kernel gives to another process one day. No handler of
// SIGCHLD is needed, and no other children of this process are touched. In turn, the rest of the program must leave this
// child alone: where SIGCHLD is ignored, or other code waits for every child (wait(), waitpid(-1)), its status goes there,
// and wait() says no_child_process.
//
// Threads: one at a time; wait() on an executor's. Kernel: 5.4. Source: posix_spawn(3), pidfd_open(2), waitid(2).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/exit_status.hpp"
#include "fluxnet/runtime/sockets/process_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/types.h>

namespace fluxnet {

class FLUXNET_EXPORT subprocess {
public:
    /// Starts a program. Returns once the kernel has begun to execute it; until then the calling thread waits, as with
    /// vfork(2). Errors, with the step that failed: the kernel's (ENOENT, EACCES, ENOTDIR, ENOEXEC, E2BIG, EMFILE, EAGAIN,
    /// ...), kernel_not_supported, invalid_option, or not_in_virtual_time on an executor there.
    [[nodiscard]] static result<subprocess> start(const process_options& options);

    subprocess(subprocess&& other) noexcept;
    subprocess& operator=(subprocess&& other) noexcept;

    /// Closes the streams. Kills the program with SIGKILL if it is running, and reaps it: waits for its end, which takes a
    /// moment, and at most one second. A program that the kernel cannot end by then, or that this process may not kill (one
    /// that has become another user), is reaped later, by the next start() after its end. Not while wait() is awaited.
    ~subprocess();

    /// Completes when the program has ended, with its exit status, which is kept: a later wait() completes at once with the
    /// same. Several coroutines may wait. When the task is cancelled first: operation_canceled, and the program goes on.
    /// Other errors: no_child_process (std::errc: the status went elsewhere, see above), closed (detached or moved away),
    /// not_in_virtual_time. The handle stays in place meanwhile. Two system calls if it waits, and one poll request.
    [[nodiscard]] task<exit_result> wait();

    /// Tells how the program ended, without waiting; nothing while it is running.
    [[nodiscard]] std::optional<exit_result> ended() noexcept;

    /// Sends a signal; with process_options::own_group to all of the group, also when the program itself has ended.
    /// no_such_process (std::errc) when it has ended and wait() or ended() has told; or the kernel's error; or closed. A
    /// program that has ended but has not been waited for takes a signal without an effect.
    [[nodiscard]] std::error_code kill(int signal) noexcept;

    /// Lets the program go on by itself, and gives up this handle: its streams are closed, unless they were released. On an
    /// executor, a task in the background reaps the program; otherwise the next start() after its end does.
    void detach() noexcept;

    /// The number of the process, for messages; 0 when there is none. After wait() another process may have it.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// This process's ends of the streams for which the options said pipe(); -1 for others, and once released. They are
    /// blocking descriptors, for recv and send with MSG_DONTWAIT (input), or for requests of the reactor; readable() awaits
    /// output. A program that reads its input to the end ends when its end of it is closed here.
    [[nodiscard]] int stdin_fd() const noexcept { return streams_[0].get(); }
    [[nodiscard]] int stdout_fd() const noexcept { return streams_[1].get(); }
    [[nodiscard]] int stderr_fd() const noexcept { return streams_[2].get(); }

    /// Gives them away: to a pipe_reader or pipe_writer that adopts them (pipe.hpp), or to be closed. That of the input is a
    /// Unix stream socket.
    [[nodiscard]] descriptor release_stdin() noexcept { return std::move(streams_[0]); }
    [[nodiscard]] descriptor release_stdout() noexcept { return std::move(streams_[1]); }
    [[nodiscard]] descriptor release_stderr() noexcept { return std::move(streams_[2]); }

private:
    using streams = std::array<descriptor, 3>;  // of this process; by the number that the other ends have in the program

    subprocess(pid_t pid, descriptor process, streams ends, bool leads_group) noexcept
        : pid_(pid), process_(std::move(process)), streams_(std::move(ends)), leads_group_(leads_group) {}

    void end_now() noexcept;

    pid_t pid_ = 0;
    descriptor process_;  // the pidfd; none when the handle is empty
    streams streams_;
    std::optional<exit_result> ended_;  // set once the process is reaped, or found to have been reaped elsewhere
    bool leads_group_ = false;
};

}  // namespace fluxnet
