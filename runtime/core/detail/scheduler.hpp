// SPDX-License-Identifier: BSD-3-Clause
// `scheduler`: the part of an executor that awaiters and handles use: the ready queue, timers, handlers, budgets, the
// reactor.
//
// A private base of `executor`; inside() leads from an executor to it. Everything belongs to the thread that drives the
// executor, or is used while no thread does, except post() and wake(): any thread. Nothing here allocates.
#pragma once

#include "fluxnet/runtime/core/clock.hpp"
#include "fluxnet/runtime/core/detail/inbox.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace fluxnet {

class executor;

namespace detail {

class nested_turns;

class scheduler {
public:
    using time_point = std::chrono::steady_clock::time_point;

    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;

    /// Puts a node at the end of the ready queue.
    void make_ready(ready_node& node) noexcept { ready_.push_back(node); }

    /// The same for a coroutine that goes on although it has not waited: in virtual time the stack is unwound without a
    /// choice of whom to resume, so that the schedule is the same where compilers differ.
    void unwind(ready_node& node) noexcept { (clock_ == nullptr ? ready_ : unwound_).push_back(node); }

    /// Puts a node with a coroutine at the end of the ready queue and returns what to transfer control to: the coroutine at
    /// its front, within the budget of this turn.
    [[nodiscard]] std::coroutine_handle<> switch_from(ready_node& node) noexcept {
        ready_.push_back(node);
        ready_node& next = ready_.front();
        if (ready_left_ == 0 || !next.coroutine || stack_is_deep()) { return std::noop_coroutine(); }
        --ready_left_;
        ready_.pop_front();
        return next.coroutine;
    }

    /// Draws on the turn's budget for an await that completes at once. False when it is spent: the await then goes through
    /// the ready queue, so that a loop of such awaits does not hold the thread.
    [[nodiscard]] bool draw() noexcept { return draw(1); }

    /// The same for an await that has made a system call.
    [[nodiscard]] bool draw_call() noexcept { return draw(at_once_budget / calls_per_turn); }

    /// Tells whether another turn follows at once.
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.empty(); }

    /// The time that timers here go by.
    [[nodiscard]] time_point now() const noexcept {
        return clock_ == nullptr ? std::chrono::steady_clock::now() : clock_->now();
    }

    /// The same as it was not long ago: read once in 64 turns, and whenever timers or sleeps need it.
    [[nodiscard]] time_point coarse_now() const noexcept { return coarse_now_; }

    /// The clock that the executor goes by; null in real time.
    [[nodiscard]] executor_clock* clock() const noexcept { return clock_; }

    void add_timer(timer_node& timer, time_point deadline) noexcept {
        timer.deadline = deadline;
        timer.sequence = ++timer_sequence_;
        timers_.insert(timer);
    }

    /// Lists a strand among those that belong here.
    void add_context(task_context& context) noexcept { contexts_.push_back(context); }

    void add_handler(turn_handler& handler) noexcept { handlers_.push_back(handler); }

    /// Draws on the packets of this turn; false when they are spent, and the caller should let others run first.
    [[nodiscard]] bool has_packet_budget() const noexcept { return packet_budget_ > 0; }
    void spend_packet_budget(std::size_t packets) noexcept { packet_budget_ -= static_cast<std::int64_t>(packets); }

    [[nodiscard]] fluxnet::reactor& reactor() noexcept { return *reactor_; }

    /// Takes what other threads posted into the ready queue.
    void take_inbox() noexcept { inbox_.take(ready_); }

    /// Queues a node that lives until it has run. Any thread; a system call only when the executor sleeps. The executor may
    /// go as soon as the node has run: its destructor waits for the thread that is still waking it.
    void post(ready_node& node) noexcept {
        note_thread();
        if (inbox_.post(node)) { wake_sleeper(); }
    }

    /// Tells whether a loop of somebody else's waits for the executor, between prepare_sleep() and after_sleep(), when it is
    /// asked outside of turns.
    [[nodiscard]] bool asleep() const noexcept { return inbox_.asleep(); }

    /// Makes the executor look around, should it sleep. Any thread; a system call only when it does. The executor outlives
    /// the call.
    void wake() noexcept {
        note_thread();
        if (inbox_.poke()) { wake_sleeper(); }
    }

    /// Has `told` hear of work that comes while the executor rests: for what drives it from outside. Before other threads
    /// know the executor.
    void set_rest_listener(rest_listener& told) noexcept { rest_listener_ = &told; }

    /// Tells whether a handle has something under way for which no task waits.
    [[nodiscard]] bool has_unfinished() noexcept {
        return std::ranges::any_of(handlers_, [](turn_handler& each) { return each.has_unfinished(); });
    }

    /// Begins a rest, which ends with the next turn: nothing waits for the reactor. False when there is something to do
    /// already.
    [[nodiscard]] bool begin_rest() noexcept { return ready_.empty() && inbox_.begin_rest(*rest_listener_); }

protected:
    friend class nested_turns;

    scheduler(std::unique_ptr<fluxnet::reactor> with, executor_clock* clock) noexcept
        : clock_(clock), reactor_(std::move(with)) {}
    ~scheduler() = default;

    void wake_sleeper() noexcept {
        if (rest_listener* const told = inbox_.resting()) {
            told->on_work();
        } else {
            reactor_->wake();
        }
        inbox_.woken();
    }

    static constexpr unsigned ready_budget = 256;          // resumptions a turn
    static constexpr unsigned at_once_budget = 4096;       // awaits a turn that complete without waiting
    static constexpr unsigned calls_per_turn = 32;         // the most of them that may have made a system call
    static constexpr std::int64_t packets_per_turn = 512;  // receptions a turn that take no detour

    executor_clock* const clock_;  // null in real time
    std::unique_ptr<fluxnet::reactor> reactor_;
    ready_queue ready_;
    unsigned ready_left_ = 0;    // resumptions that this turn may still make; none in virtual time, which chooses each
    unsigned at_once_left_ = 0;  // likewise awaits that complete at once
    std::int64_t packet_budget_ = packets_per_turn;
    ready_queue unwound_;  // in virtual time: what is to go on as soon as the present resumption has left the stack
    boost::intrusive::multiset<timer_node, boost::intrusive::constant_time_size<false>> timers_;
    boost::intrusive::list<turn_handler, boost::intrusive::constant_time_size<false>> handlers_;
    boost::intrusive::list<
        task_context,
        boost::intrusive::base_hook<boost::intrusive::list_base_hook<
            boost::intrusive::tag<task_context_tag>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>,
        boost::intrusive::constant_time_size<false>>
        contexts_;
    std::uint64_t timer_sequence_ = 0;
    time_point coarse_now_ = now();
    rest_listener* rest_listener_ = nullptr;  // of an executor that another loop drives, which may rest
    inbox inbox_;

private:
    [[nodiscard]] bool draw(unsigned cost) noexcept {
        if (at_once_left_ < cost) { return false; }
        at_once_left_ -= cost;
        return true;
    }

    void note_thread() noexcept {
        if (clock_ != nullptr && clock_->is_foreign_thread()) [[unlikely]] {
            clock_->disturbed_.store(true, std::memory_order_relaxed);
        }
    }
};

/// What only the library uses of an executor.
[[nodiscard]] inline scheduler& inside(executor& of) noexcept;

}  // namespace detail
}  // namespace fluxnet
