// SPDX-License-Identifier: BSD-3-Clause
// `signal_set`: signals as something to await, through a signalfd.
//
//     signal_set hangup{SIGHUP};  // before other threads are made
//     for (;;) {
//         const int number = co_await hangup.next();
//         if (number == 0) { co_return; }
//         read_settings_again();
//     }
//
// Owns the descriptor. While the set lives, its signals are blocked in the thread that made it, and in the threads that this
// thread makes meanwhile, which inherit the mask. The destructor restores them. One coroutine waits at a time.
//
// Child processes inherit the mask too, through exec as well: a child of a program that awaits SIGTERM is not ended by
// SIGTERM. After fork() the child calls restore_in_child() before it calls exec; for posix_spawn() there is child_mask():
//
//     if (const pid_t child = ::fork(); child == 0) {
//         signal_set::restore_in_child();
//         ::execvp(argv[0], argv);
//         ::_exit(127);
//     }
//
// Threads: made and destroyed on one thread; next() on an executor's; the static functions on any.
// Source: signalfd(2), signal(7), posix_spawnattr_setsigmask(3).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <initializer_list>

#include <signal.h>

namespace fluxnet {

class FLUXNET_EXPORT signal_set {
public:
    /// Blocks `signals`, one at least, and routes them here. Throws std::system_error: invalid_option, naming the number,
    /// for what is no signal or cannot be blocked (SIGKILL, SIGSTOP); or the kernel's when it gives no descriptor.
    explicit signal_set(std::initializer_list<int> signals);
    signal_set(const signal_set&) = delete;
    signal_set& operator=(const signal_set&) = delete;
    ~signal_set();

    /// Completes with the number of the next signal, or 0 when the task is cancelled first. Throws std::system_error for
    /// every other reason not to wait: not_in_virtual_time, or the kernel's.
    [[nodiscard]] task<int> next();

    /// Takes a signal that has arrived and returns its number; 0 when there is none.
    [[nodiscard]] int take() noexcept;

    /// The signalfd, readable when one has arrived.
    [[nodiscard]] int fd() const noexcept { return fd_; }

    /// The signal mask for a child process: the calling thread's, without the signals that the signal sets of this process
    /// block (those of stop_on() and dump_on_signal too). What the program has blocked by other means stays in it. For
    /// posix_spawnattr_setsigmask(), with POSIX_SPAWN_SETSIGMASK.
    [[nodiscard]] static sigset_t child_mask() noexcept;

    /// Sets that mask. For a child of fork(), before it calls exec. Async-signal-safe, as such a child of a program with
    /// several threads needs. In the parent it would undo the sets.
    static void restore_in_child() noexcept;

private:
    sigset_t ours_;  // those that were not blocked before: sets may end in any order
    int fd_;
};

/// A task for executor::spawn_background(): at the first of `signals` it calls request_stop() on its executor, and gives the
/// former mask back, so that a second one does what it did before. From then on every await of every task is cancelled: a
/// program whose sessions have to say goodbye awaits a signal_set in its place. What it still wants to await when run() has
/// returned takes executor::restart() first. The signals are blocked from the call on: make it before other threads, which
/// then inherit that. Throws std::system_error as the constructor of a signal_set does.
///
///     loop.spawn_background(stop_on({SIGINT, SIGTERM}));
///
/// A handler of the same signal, as boost::asio::signal_set installs, is not called: a blocked signal does not reach it.
[[nodiscard]] FLUXNET_EXPORT task<void> stop_on(std::initializer_list<int> signals);

}  // namespace fluxnet
