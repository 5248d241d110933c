// SPDX-License-Identifier: BSD-3-Clause
// `executor`: runs coroutines on one thread: a ready queue, timers, handles that want attention each turn, and a reactor.
//
// run() belongs to one thread; everything else here is used on that thread, or while no thread runs it, except the members
// marked "any thread". The executor owns the frames of what was spawned on it and destroys those that have not ended when it
// is destroyed itself; it must outlive every handle bound to it. It allocates when something is spawned or posted, and never
// on its own.
//
// A turn: take what other threads posted; resume what is ready, up to a budget; let the handles tidy up (refill, reap,
// kick); then either look at the reactor without waiting, or, when nothing is ready, do as the idle_policy says: enter the
// kernel once and sleep there until a descriptor, a timer or another thread has something, or look again.
//
// Posts travel through one word: a stack of nodes that the executor takes whole, with a tag that says that it sleeps. The
// executor sets the tag only while the word is 0, and whoever takes the tag away must wake it; so a post, or a wake() which
// leaves a tag of its own, is either seen before sleeping or ends the sleep. A push is release and the take is acquire: what
// was written before the push is visible to the node. Who has pushed touches the executor again only if he took the tag, to
// wake it; both sides count those, and the destructor waits until the numbers agree. So what an executor runs last may come
// from another thread, the end of a channel for instance, and the executor may go without knowing when that call returns.
#pragma once

#include "fluxnet/runtime/core/idle_policy.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/core/task_info.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace fluxnet {

class executor;
class virtual_clock;

namespace detail {
class link_monitor;
class executor_tasks;

/// A point in time at which something becomes ready; lies in an awaiter or a handle.
class timer_node : public boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    using time_point = std::chrono::steady_clock::time_point;

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
    ~timer_node() = default;
};

/// A handle that an executor serves: told at the end of each turn, before and after each sleep, and when run() ends.
class turn_handler : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    virtual void end_turn() noexcept = 0;      ///< Tidy up; may make coroutines ready.
    virtual void last_look() noexcept {}       ///< All have tidied up and nothing is ready; may make coroutines ready.
    virtual void before_sleep() noexcept = 0;  ///< Still nothing is ready: arm what is to end the sleep.
    virtual void after_sleep() noexcept = 0;
    virtual void end_run() noexcept = 0;  ///< Let go of the thread and of the reactor.

protected:
    ~turn_handler() = default;
};
}  // namespace detail

class executor {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Makes an executor with a reactor of its own. Throws std::system_error when the kernel refuses what is asked for.
    explicit executor(const idle_policy& idle = {}, reactor_kind kind = reactor_kind::automatic);

    /// Makes an executor in virtual time, without a kernel. See virtual_clock, which says what is different there.
    explicit executor(virtual_clock& clock);
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;

    /// Destroys what has not ended. Not while run() is under way.
    ~executor();

    /// Returns the executor whose run() the calling thread is in, or null. Any thread.
    [[nodiscard]] static executor* current() noexcept { return current_; }

    /// Starts `work` on this executor, at the next turn. What it awaits is cancelled by request_stop(). An exception that
    /// leaves it comes out of run(). Two frames: its own, and one that joins it to the executor.
    void spawn(task<void> work, const std::source_location& where = std::source_location::current());

    /// The same for a coroutine function object, which is kept until the coroutine ends: a lambda's captures stay valid.
    template <class F>
        requires std::is_invocable_r_v<task<void>, F&>
    void spawn(F function, const std::source_location& where = std::source_location::current()) {
        spawn(detail::keep_and_run(std::move(function)), where);
    }

    /// Runs until everything spawned has ended, or stop() is called. Throws the first exception that left a spawned task;
    /// may be called again then. One thread for the executor's life.
    void run();

    /// Makes the run() under way return after its turn, or the next one at once; what is suspended stays so. Any thread,
    /// also from a signal handler; the executor may go as soon as run() has returned, as with post().
    void stop() noexcept;

    /// Cancels everything that spawned tasks await, now and later. Any thread.
    void request_stop();
    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_source_.get_token(); }

    /// Ends what goes on: cancels everything, and runs until all tasks have ended or `limit` has passed. Returns the tasks
    /// that have not; they stay suspended, and go when the executor does. Not inside run().
    std::vector<task_info> shut_down(std::chrono::nanoseconds limit);

    /// Destroys the frames of all tasks that have not ended, so that nothing of them is left in any executor. Not inside
    /// run(), and while no thread runs an executor that one of them went to.
    void discard_tasks() noexcept;

    /// Lists the tasks that were spawned here, by scopes and the like too, and have not ended. On the executor's thread, or
    /// while no thread runs it.
    [[nodiscard]] std::vector<task_info> tasks() const;

    /// Runs `function` on the executor's thread. An exception that leaves it comes out of run(). Any thread; allocates.
    /// Throws std::system_error (not_in_virtual_time) on another thread than that of a virtual clock.
    void post(std::function<void()> function);

    /// Queues a node that lives until it has run. Any thread; allocates nothing. The executor may go as soon as the node has
    /// run: its destructor waits for whoever is still waking it.
    void post(ready_node& node) noexcept;

    /// Makes run() look around, should it sleep. Any thread; a system call only when it does. The executor outlives the
    /// call.
    void wake() noexcept;

    /// Puts a node at the end of the ready queue.
    void make_ready(ready_node& node) noexcept { ready_.push_back(node); }

    /// Puts a node with a coroutine at the end of the ready queue and returns whom to transfer control to: the coroutine at
    /// its front, within the budget of this turn.
    [[nodiscard]] std::coroutine_handle<> switch_from(ready_node& node) noexcept {
        ready_.push_back(node);
        ready_node& next = ready_.front();
        if (ready_left_ == 0 || !next.coroutine || detail::stack_is_deep()) { return std::noop_coroutine(); }
        --ready_left_;
        ready_.pop_front();
        return next.coroutine;
    }

    /// Tells whether another turn follows at once.
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.empty(); }

    /// The time that timers here go by.
    [[nodiscard]] time_point now() const noexcept {
        return virtual_now_ == nullptr ? std::chrono::steady_clock::now() : *virtual_now_;
    }

    /// The clock of an executor in virtual time; null in real time.
    [[nodiscard]] virtual_clock* clock() const noexcept { return clock_; }

    /// The same as it was not long ago: read once in 64 turns, and whenever timers or sleeps need it.
    [[nodiscard]] time_point coarse_now() const noexcept { return coarse_now_; }

    void add_timer(detail::timer_node& timer, time_point deadline) noexcept;

    /// Lists a strand among those that belong here.
    void add_context(detail::task_context& context) noexcept { contexts_.push_back(context); }

    void add_handler(detail::turn_handler& handler) noexcept { handlers_.push_back(handler); }

    /// Takes what other threads posted into the ready queue.
    void take_inbox() noexcept;

    /// Draws on the packets of this turn; false when they are spent, and the caller should let others run first.
    [[nodiscard]] bool has_packet_budget() const noexcept { return packet_budget_ > 0; }
    void spend_packet_budget(std::size_t packets) noexcept { packet_budget_ -= static_cast<std::int64_t>(packets); }

    [[nodiscard]] fluxnet::reactor& reactor() noexcept { return *reactor_; }

    /// Names the reactor and what it was granted.
    [[nodiscard]] std::string_view reactor_name() const noexcept { return reactor_->name(); }

    /// Says why it has this reactor: why the kernel refused io_uring, if it did.
    [[nodiscard]] std::string_view reactor_reason() const noexcept { return reactor_->reason(); }

    /// Turns since the start, and sleeps among them. Snapshots elsewhere.
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_.get(); }
    [[nodiscard]] std::uint64_t sleeps() const noexcept { return sleeps_.get(); }

    /// Operations of the reactor that have fired.
    [[nodiscard]] std::uint64_t reactor_completions() const noexcept { return reactor_->completions(); }

    /// Coroutines and other nodes that were resumed.
    [[nodiscard]] std::uint64_t resumptions() const noexcept { return resumptions_.get(); }

    /// Turns that found nothing to do and did not sleep.
    [[nodiscard]] std::uint64_t spins() const noexcept { return spins_.get(); }
    [[nodiscard]] const idle_policy& idle() const noexcept { return idle_; }

    /// The monitor of the calling thread's network namespace; made at first use (one rtnetlink socket each). Throws
    /// std::system_error: the kernel's refusal, or not_in_virtual_time.
    [[nodiscard]] detail::link_monitor& links();

protected:
    /// For as long as it lives the calling thread is in run().
    class visit {
    public:
        explicit visit(executor& self);
        visit(const visit&) = delete;
        visit& operator=(const visit&) = delete;
        ~visit();

    private:
        executor& self_;
    };

    /// The first half of a turn: what was posted, what is due, what is ready.
    void start_turn();

    /// The second half: the handles tidy up; then a look at the reactor, or a rest if nobody has anything to do. `worked`:
    /// the caller had. Throws what left a spawned task.
    void end_turn(bool worked);

    [[nodiscard]] bool stopped() const noexcept { return (inbox_.load(std::memory_order_relaxed) & stop_tag) != 0; }
    [[nodiscard]] bool has_tasks() const noexcept;

private:
    friend class detail::executor_tasks;
    friend bool detail::make_ready_here(ready_node& node) noexcept;
    class posted_function;

    static constexpr unsigned ready_budget = 256;          // resumptions a turn
    static constexpr std::int64_t packets_per_turn = 512;  // receptions a turn that take no detour
    static constexpr std::uintptr_t sleeping_tag = 1;      // asleep: whoever takes it away wakes
    static constexpr std::uintptr_t poked_tag = 2;         // wake() was called: do not sleep
    static constexpr std::uintptr_t stop_tag = 4;          // stop() was called: stays until run() has returned
    static constexpr std::uintptr_t tags = sleeping_tag | poked_tag | stop_tag;

    static void resume(ready_node& node) noexcept;
    void set_tag(std::uintptr_t tag) noexcept;
    void wake_sleeper() noexcept;
    void run_ready();
    void fire_timers();
    void rest();
    [[nodiscard]] bool keeps_spinning() noexcept;
    void sleep();
    void leave() noexcept;
    void keep_failure(std::exception_ptr failure) noexcept;

    // In virtual time (virtual_clock.cpp):
    void run_ready_by_clock();
    void pass_time(std::optional<time_point> deadline);
    [[nodiscard]] std::string what_is_awaited() const;
    void note_thread() noexcept;
    void refuse_foreign_thread() const;

    static constinit thread_local executor* current_;

    const idle_policy idle_;
    virtual_clock* const clock_ = nullptr;           // null in real time
    const time_point* const virtual_now_ = nullptr;  // of clock_
    std::unique_ptr<fluxnet::reactor> reactor_;
    ready_queue ready_;
    unsigned ready_left_ = 0;  // resumptions that this turn may still make; none in virtual time, which chooses each
    ready_queue unwound_;      // in virtual time: what is to go on as soon as the present resumption has left the stack
    boost::intrusive::multiset<detail::timer_node, boost::intrusive::constant_time_size<false>> timers_;
    boost::intrusive::list<detail::turn_handler, boost::intrusive::constant_time_size<false>> handlers_;
    boost::intrusive::list<
        detail::task_context,
        boost::intrusive::base_hook<boost::intrusive::list_base_hook<
            boost::intrusive::tag<detail::task_context_tag>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>,
        boost::intrusive::constant_time_size<false>>
        contexts_;
    std::unique_ptr<detail::executor_tasks> tasks_;
    std::vector<std::unique_ptr<detail::link_monitor>> monitors_;
    std::stop_source stop_source_;
    std::exception_ptr failure_;
    std::uint64_t timer_sequence_ = 0;
    detail::counter turns_;
    detail::counter sleeps_;
    detail::counter spins_;
    detail::counter resumptions_;
    bool worked_ = false;  // in this turn
    time_point coarse_now_ = now();
    std::optional<time_point> resting_;  // since when a spinning executor has had nothing to do
    std::int64_t packet_budget_ = packets_per_turn;
    std::uint64_t tags_taken_ = 0;  // by others, who then woke or wake this executor:
    std::atomic<std::uint64_t> woken_ = 0;

    alignas(64) std::atomic<std::uintptr_t> inbox_ = 0;  // top ready_node and tags; sleeping_tag stands alone
};

}  // namespace fluxnet
