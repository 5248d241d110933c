// SPDX-License-Identifier: BSD-3-Clause
// `executor_clock`: a time of its own that an executor goes by instead of the real one.
//
// The seam between an executor and a simulation. An executor that has a clock asks it which coroutine to resume next, and
// lets it pass time when none is ready. `virtual_clock` (fluxnet/runtime/simulation/virtual_clock.hpp) implements it.
// Owned by the user; made before its executor and destroyed after it.
//
// Threads: only the thread that made it.
#pragma once

#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

namespace fluxnet {

class executor;

namespace detail {
class scheduler;
}

class executor_clock {
public:
    using time_point = std::chrono::steady_clock::time_point;

    executor_clock(const executor_clock&) = delete;
    executor_clock& operator=(const executor_clock&) = delete;

    /// The time by this clock.
    [[nodiscard]] time_point now() const noexcept { return now_; }

    /// Time since the clock's start.
    [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept { return now_ - start_; }

protected:
    /// Begins at `start`.
    explicit executor_clock(time_point start) noexcept : now_(start), start_(start) {}
    virtual ~executor_clock() = default;

    time_point now_;

private:
    friend executor;
    friend detail::scheduler;

    /// Makes the reactor of an executor that goes by this clock.
    [[nodiscard]] virtual std::unique_ptr<reactor> make_reactor() = 0;

    /// Takes the node that is to be resumed next out of `ready`, which is not empty.
    [[nodiscard]] virtual ready_node& take_next(ready_queue& ready) noexcept = 0;

    /// Lets time pass until the next event, `timer` or one of the clock's own; false when there is none.
    [[nodiscard]] virtual bool advance(std::optional<time_point> timer) noexcept = 0;

    [[nodiscard]] bool is_foreign_thread() const noexcept { return std::this_thread::get_id() != thread_; }

    const time_point start_;
    const std::thread::id thread_ = std::this_thread::get_id();
    std::atomic<bool> disturbed_ = false;  // by another thread
};

}  // namespace fluxnet
