// SPDX-License-Identifier: BSD-3-Clause
// `signal_set`: signals as something to await, through a signalfd.
//
// Owns the descriptor. While it lives, its signals are blocked in the thread that made it (make it before other threads,
// which inherit the mask); they are restored when it is destroyed, on that thread. One coroutine waits at a time. Source:
// signalfd(2).
#pragma once

#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <initializer_list>

#include <signal.h>

namespace fluxnet {

class signal_set {
public:
    /// Blocks `signals` and routes them here. Throws std::system_error when the kernel gives no descriptor.
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

private:
    sigset_t ours_;  // those that were not blocked before: sets may end in any order
    int fd_;
};

/// A task for executor::spawn_background(): at the first of `signals` it calls request_stop() on its executor, and gives the
/// former mask back, so that a second one does what it did before. The signals are blocked from the call on: make it before
/// other threads, which then inherit that. Throws std::system_error when the kernel gives no descriptor.
///
///     loop.spawn_background(stop_on({SIGINT, SIGTERM}));
[[nodiscard]] task<void> stop_on(std::initializer_list<int> signals);

}  // namespace fluxnet
