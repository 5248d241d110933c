// SPDX-License-Identifier: BSD-3-Clause
// `timer_node`, `turn_handler`: what an awaiter or a handle links into an executor to be called back by it.
//
// Both lie in the object that wants the call, so linking allocates nothing; an object that is destroyed leaves its list by
// itself. Threads: linked, called and destroyed on the executor's thread, or while no thread runs the executor.
#pragma once

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <chrono>
#include <cstdint>

namespace fluxnet::detail {

/// A point in time at which something is to be done.
class timer_node : public boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Called once, in the first turn that begins at the deadline or later.
    virtual void on_time() noexcept = 0;

    /// Takes the timer back, if it is set.
    void clear_timer() noexcept {
        if (is_linked()) { unlink(); }
    }

    time_point deadline{};
    std::uint64_t sequence = 0;  // breaks ties: first set, first due

    friend bool operator<(const timer_node& a, const timer_node& b) noexcept {
        return a.deadline != b.deadline ? a.deadline < b.deadline : a.sequence < b.sequence;
    }

protected:
    virtual ~timer_node() = default;
};

/// A handle that an executor serves: it is told at the end of each turn, before and after each sleep, and when the thread
/// that drives the executor lets go of it.
class turn_handler : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    virtual void end_turn() noexcept = 0;      ///< Tidy up; may make coroutines ready.
    virtual void last_look() noexcept {}       ///< All have tidied up and nothing is ready; may make coroutines ready.
    virtual void before_sleep() noexcept = 0;  ///< Still nothing is ready: arm what is to end the sleep.
    virtual void after_sleep() noexcept = 0;
    virtual void leave_thread() noexcept {}  ///< Another thread may be the next to call: give up what belongs to a thread.
    virtual void end_run() noexcept = 0;     ///< Let go of the thread and of the reactor.

    /// Tells whether something is under way that a program counts on, though no task waits for it: a loop of somebody else's
    /// that drives the executor then goes on with it. Asked when there are no tasks.
    [[nodiscard]] virtual bool has_unfinished() noexcept { return false; }

protected:
    ~turn_handler() = default;
};

}  // namespace fluxnet::detail
