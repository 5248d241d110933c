// SPDX-License-Identifier: BSD-3-Clause
// `executor_group`: several executors, each on a thread of its own, pinned to a CPU of its own.
//
//     executor_group group;
//     for (std::size_t i = 0; i < group.size(); ++i) { group.spawn(i, [i] { return serve_queue(i); }); }
//     group.run();
//
// Threads: made, run and destroyed on one; spawn() and request_stop() on any.
//
// The way to one network queue per core: open queue i (builder::build_queues) on executor i, and nothing is shared on a
// packet's way. Made, run and destroyed on one thread. Handles are opened and tasks spawned before run(), or on the
// executors' threads; spawn() may be called on any. Threads exist during run() only; the executors are destroyed together,
// when no thread runs any of them, so tasks may have gone from one to another.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <atomic>
#include <cassert>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

namespace fluxnet {

/// How many executors a group has, where they run and how they wait.
struct group_options {
    std::size_t size = 0;  ///< 0: one for each CPU that the process may use.
    bool pinned = true;    ///< Executor i keeps to the i-th of these CPUs, beginning again when there are fewer.
    idle_policy idle{};
};

class FLUXNET_EXPORT executor_group {
public:
    /// Throws std::system_error when the kernel refuses a reactor.
    explicit executor_group(const group_options& options = {});
    executor_group(const executor_group&) = delete;
    executor_group& operator=(const executor_group&) = delete;
    ~executor_group();

    /// How many executors, and so threads, it has.
    [[nodiscard]] std::size_t size() const noexcept { return executors_.size(); }
    /// Asserts that `i` is below size().
    [[nodiscard]] executor& operator[](std::size_t i) noexcept {
        assert(i < size() && "a group has no executor of this index");
        return executors_[i];
    }

    /// Starts `work` on executor `i`, on whose thread it begins. What it returns is dropped. Any thread; allocates. An
    /// executor may end when no task that was started here is left on any; one that was spawned on an executor itself holds
    /// only that. Throws std::out_of_range when the group has no executor `i`.
    void spawn(std::size_t i, task<void> work, const std::source_location& where = std::source_location::current());

    /// The same for a task of any result, or for a function object that returns a task: the executor's thread calls it. It
    /// may be one that can only be moved, and is kept until the coroutine ends.
    template <detail::spawnable W>
    void spawn(std::size_t i, W work, const std::source_location& where = std::source_location::current()) {
        spawn(i, detail::without_value(std::move(work)), where);
    }

    /// Runs all executors, once, until every task on every one of them has ended, or request_stop() has made them end. The
    /// first exception that left a task cancels all the others and is thrown. Throws std::system_error when a thread cannot
    /// be made or pinned, std::logic_error when the group has run before.
    void run();

    /// Cancels what all tasks await. Any thread.
    void request_stop();

private:
    void run_one(std::size_t i);
    void keep_failure(std::exception_ptr failure) noexcept;
    void task_ended() noexcept;
    void take_guards();
    void release_guards() noexcept;

    const bool pinned_;
    std::vector<int> cpus_;
    std::atomic<std::size_t> tasks_ = 0;
    std::deque<executor> executors_;
    bool ran_ = false;
    std::mutex mutex_;                          // guards what follows
    std::exception_ptr failure_;                // the first
    std::vector<executor::work_guard> guards_;  // while run() is under way and a task is left that was spawned here
    bool released_ = false;                     // and they are gone for good
};

}  // namespace fluxnet
