// SPDX-License-Identifier: BSD-3-Clause
// `executor`: runs coroutines on one thread: a ready queue, timers, handles that want attention each turn, and a reactor.
//
//     executor loop;
//     loop.spawn(serve(socket));           // a task<void>
//     loop.spawn_background(stop_on({SIGINT, SIGTERM}));
//     loop.run();                          // until serve() has ended
//
// Threads: one thread drives an executor, by run() and its kin or from a loop of its own (poll(), prepare_sleep(),
// after_sleep()). Everything here is used on that thread, or while no thread drives the executor, except the members marked
// "any thread". The executor owns the frames of what was spawned on it and destroys those that have not ended when it is
// destroyed itself; it must outlive every handle bound to it. What tasks use (channels, mutexes, events) is declared before
// the executor, since it has to outlive the frames. A child of fork() neither runs nor destroys what it has inherited: the
// rings and descriptors are the parent's, and it makes an executor of its own. It allocates when something is spawned or
// posted, and never on its own.
//
// A turn: take what other threads posted; resume what is ready, up to a budget; let the handles tidy up (refill, reap,
// kick); then either look at the reactor without waiting, or, when nothing is ready, do as the idle_policy says: enter the
// kernel once and sleep there until a descriptor, a timer or another thread has something, or look again. How other threads
// hand things over is told in detail/inbox.hpp.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/clock.hpp"
#include "fluxnet/runtime/core/detail/scheduler.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/idle_policy.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/core/task_info.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/base/detail/duration.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace fluxnet {

namespace detail {
class executor_tasks;
class nested_turns;
}  // namespace detail
class dump_on_signal;

/// What a loop that drives an executor has to wait for before it calls poll() again.
struct sleep_plan {
    int fd = -1;  ///< Readable (POLLIN) when something has come. The executor's: do not read from it, do not close it.
    std::optional<std::chrono::steady_clock::time_point> deadline;  ///< When the next timer is due; nothing: none is set.
};

class FLUXNET_EXPORT executor : private detail::scheduler {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Keeps run() from returning while it lives, though no task is there: for posts from elsewhere. Any thread may make,
    /// move and destroy one; the executor outlives it.
    class [[nodiscard]] work_guard {
    public:
        /// Keeps `on` from running out of work. Any thread.
        explicit work_guard(executor& on) noexcept : on_(&on) { on.add_guard(); }
        work_guard(work_guard&& other) noexcept : on_(std::exchange(other.on_, nullptr)) {}
        work_guard& operator=(work_guard&& other) noexcept {
            std::swap(on_, other.on_);
            return *this;
        }
        ~work_guard() { release(); }

        /// Lets run() return.
        void release() noexcept {
            if (executor* const on = std::exchange(on_, nullptr)) { on->drop_guard(); }
        }

    private:
        executor* on_;
    };

    /// Makes an executor with a reactor of its own. Throws std::system_error when the kernel refuses what is asked for.
    /// `threads`: changing for an executor that several threads drive, one after the other (see poll()). Its descriptors, as
    /// all that the library makes, are closed on exec, and none is 0, 1 or 2, also where the program's standard streams are
    /// closed.
    explicit executor(const idle_policy& idle = {}, reactor_kind kind = reactor_kind::automatic,
                      reactor_threads threads = reactor_threads::one);

    /// Makes an executor that goes by a clock of its own, without a kernel. See virtual_clock, which says what is different
    /// there.
    explicit executor(executor_clock& clock);
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;

    /// Destroys what has not ended. Not while a thread drives an executor that a task of this one went to. Ends the program
    /// with a message where the executor itself is being driven: inside its run() a task or a posted function destroyed it.
    ~executor();

    /// Returns the executor that the calling thread drives at the moment, or null. Any thread.
    [[nodiscard]] static executor* current() noexcept { return current_; }

    /// Starts `work` on this executor, at the next turn. What it awaits is cancelled by request_stop(). An exception that
    /// leaves it comes out of run(); what it returns is dropped. Two frames: its own, and one that joins it to the executor.
    void spawn(task<void> work, const std::source_location& where = std::source_location::current());

    /// The same for a task of any result, or for a coroutine function object, which is kept until the coroutine ends: a
    /// lambda's captures stay valid.
    template <detail::spawnable W>
    void spawn(W work, const std::source_location& where = std::source_location::current()) {
        spawn(detail::without_value(std::move(work)), where);
    }

    /// Starts `work` likewise, as something that goes on beside the program's work and does not keep run() from returning.
    /// If it is suspended when run() returns, it goes on when the executor is run again; it is destroyed with the executor.
    void spawn_background(task<void> work, const std::source_location& where = std::source_location::current());
    template <detail::spawnable W>
    void spawn_background(W work, const std::source_location& where = std::source_location::current()) {
        spawn_background(detail::without_value(std::move(work)), where);
    }

    /// Runs until everything spawned has ended and no work_guard is held, or stop() is called. Throws the first exception
    /// that left a spawned task; may be called again then. When it returns, the handles have let go of the thread and their
    /// polls are taken back. Inside run() of another executor, whose turn then waits; afterwards executor::current() is what
    /// it was. Errors: std::system_error, already_running inside run() of this executor, wrong_thread on another thread than
    /// before.
    void run();

    /// Runs `work` to its end, as a program's main task: then cancels what else goes on here, in the background too, and
    /// runs until that has ended, for `rest` at the longest, which may be any duration. Returns the value of `work`. Throws
    /// the first exception that left a task, which cancels everything likewise; or std::system_error: stopped, when stop()
    /// came before `work` had ended; and as run() does. A task that ignores that it was cancelled is still suspended after
    /// `rest`, and no error: tasks() names it. Afterwards the executor may be used again.
    template <class T>
    T run(task<T> work, detail::any_duration rest = std::chrono::seconds(5),
          const std::source_location& where = std::source_location::current()) {
        // On the heap: a task that stays suspended must find it when it goes on.
        const auto kept = std::make_shared<std::optional<detail::value_of<T>>>();
        run_main(detail::keep_value(std::move(work), kept), rest, where);
        if constexpr (!std::is_void_v<T>) { return std::move(**kept); }
    }

    /// As run() without a task, but returns at `limit` at the latest. Handles keep the thread and their polls: call it again, or release().
    /// Returns whether something is left to run.
    template <class Duration>
    bool run_until(std::chrono::time_point<std::chrono::steady_clock, Duration> limit) {
        return run_to(detail::saturated(limit));
    }
    template <class Rep, class Period>
    bool run_for(std::chrono::duration<Rep, Period> limit) {
        return run_to(detail::time_after(now(), detail::saturated(limit)));
    }

    // For a loop of the user's own:
    //
    //     for (;;) {
    //         while (loop.poll()) {}
    //         if (!loop.has_work() || loop.stopped()) { break; }
    //         const auto plan = loop.prepare_sleep();
    //         if (!plan) { continue; }             // there is something to do already
    //         wait_for(plan->fd, plan->deadline);  // poll(2) or the like, beside descriptors of the loop's own
    //         loop.after_sleep();
    //     }
    //
    // A loop that looks at has_work() only after prepare_sleep() may wait for ever: an executor without work sleeps without a
    // deadline, for another thread may post something. After stop() poll() does nothing and prepare_sleep() gives no plan.
    // Handles keep their frames and armed polls between these calls. With reactor_threads::one it is always the same thread;
    // with `changing` each call may come from another, one at a time, and the handles belong to no thread between two calls.
    // An eventfd that a task awaits ends such a sleep some milliseconds late with reactor_threads::one on io_uring, because the
    // kernel puts that off; with `changing` it does not.

    /// Makes one turn without waiting. Returns whether another is to follow at once. Throws the first exception that left a
    /// spawned task. After stop() it does nothing, until restart().
    bool poll();

    /// Arms what is to end a sleep, and says what to wait for; nothing when there is something to do already: poll() then.
    /// The executor counts as asleep until after_sleep(). Throws std::system_error: not_in_virtual_time.
    [[nodiscard]] std::optional<sleep_plan> prepare_sleep();

    /// Ends the sleep that prepare_sleep() began.
    void after_sleep();

    /// Lets go of the thread: handles give up what belongs to it, and take their polls back from the kernel. Another thread
    /// may then drive the executor if it was made for that, or destroy its handles. run() does so by itself when it returns.
    void release() noexcept;

    /// Makes the run() under way return after its turn, or the next one at once; what is suspended stays so. Any thread,
    /// also from a signal handler; the executor may go as soon as run() has returned, as with post(). run() forgets the
    /// request when it returns; poll() keeps to it until restart().
    void stop() noexcept;
    [[nodiscard]] bool stopped() const noexcept { return inbox_.stopped(); }

    /// Cancels everything that spawned tasks await, now and later, those in the background included. Any thread.
    void request_stop();
    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_source_.get_token(); }

    /// Tells whether request_stop() was called since the last restart(); its effect may still come. Any thread.
    [[nodiscard]] bool stop_requested() const noexcept {
        return stop_asked_.load(std::memory_order_relaxed) == restarts_.load(std::memory_order_relaxed) + 1;
    }

    /// Makes the executor fit for new work after stop() or request_stop(): what is spawned from now on is not cancelled.
    /// Tasks that were there before stay so.
    void restart();

    /// Tells whether tasks, or guards, keep run() from returning.
    [[nodiscard]] bool has_work() const noexcept;

    /// Ends what goes on: cancels everything, and runs until all tasks have ended, those in the background included, or
    /// `limit` has passed. Returns the tasks that have not; they stay suspended, and go when the executor does. Not inside
    /// run().
    template <class Rep, class Period>
    std::vector<task_info> shut_down(std::chrono::duration<Rep, Period> limit) {
        return shut_down_by(detail::time_after(now(), detail::saturated(limit)));
    }

    /// Destroys the frames of all tasks that have not ended, so that nothing of them is left in any executor. A task may have
    /// moved to another executor (schedule_on): no thread runs that executor meanwhile. Throws std::system_error
    /// (already_running) inside run(), where one of the tasks may be the caller: request_stop() is for that.
    void discard_tasks();

    /// Lists the tasks that were spawned here, by scopes and the like too, and have not ended. On the executor's thread, or
    /// while no thread runs it.
    [[nodiscard]] std::vector<task_info> tasks() const;

    /// Runs `function` on the executor's thread. An exception that leaves it comes out of run(). Any thread; allocates.
    /// Throws std::system_error (not_in_virtual_time) on another thread than that of a virtual clock.
    void post(std::function<void()> function);

    using scheduler::wake;

    /// The service of type T, made at first use. See services.hpp.
    template <class T>
    [[nodiscard]] T& use_service() {
        return services_.use<T>(*this);
    }

    using scheduler::now;

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

protected:
    /// For as long as it lives the calling thread drives the executor.
    class visit {
    public:
        /// Throws std::system_error: already_running, wrong_thread, or the reactor's.
        explicit visit(executor& self);
        visit(const visit&) = delete;
        visit& operator=(const visit&) = delete;
        ~visit();

    private:
        executor& self_;
        executor* const outer_;  // the executor that the thread drove before; its turn waits meanwhile
    };

    /// A visit at whose end the executor lets go of the thread, and forgets stop().
    class run_visit : public visit {
    public:
        /// Throws as a visit does.
        explicit run_visit(executor& self) : visit(self.awake()), self_(self) {}
        ~run_visit();

    private:
        executor& self_;
    };

    /// The first half of a turn: what was posted, what is due, what is ready.
    void start_turn();

    /// The second half: the handles tidy up; then the executor looks at the reactor, or rests if there is nothing to do.
    /// `worked`: the caller has done something in this turn. Throws the exception that left a spawned task.
    void end_turn(bool worked);

private:
    friend class detail::executor_tasks;
    friend class detail::nested_turns;
    friend class dump_on_signal;
    friend detail::scheduler& detail::inside(executor& of) noexcept;
    class posted_function;
    class awakening;

    static void resume(ready_node& node) noexcept;
    void run_ready();
    void fire_timers();
    void rest();
    [[nodiscard]] bool keeps_spinning() noexcept;
    void sleep();
    bool run_to(time_point limit);
    void run_main(task<void> work, std::chrono::nanoseconds rest, const std::source_location& where);
    void finish_turn(bool worked);
    std::vector<task_info> shut_down_by(time_point limit);
    void destroy_tasks() noexcept;
    void keep_failure(std::exception_ptr failure) noexcept;
    void throw_failure();
    void add_guard() noexcept;
    void drop_guard() noexcept;
    void check_thread();

    /// Ends a sleep that was prepared for another loop, before this thread runs the executor itself.
    executor& awake();

    // By a clock of its own (executor_clock.cpp):
    void run_ready_by_clock();
    void pass_time(std::optional<time_point> deadline);
    [[nodiscard]] std::string what_is_awaited() const;
    void refuse_foreign_thread() const;

    static constinit thread_local executor* current_;

    const idle_policy idle_;
    const reactor_threads threads_;
    bool driven_ = false;                                      // a visit is under way
    std::atomic<std::thread::id> thread_ = std::thread::id();  // that drives it, or drove it last
    std::unique_ptr<detail::executor_tasks> tasks_;
    std::atomic<std::uint32_t> guards_ = 0;
    std::stop_source stop_source_;
    std::atomic<std::uint64_t> restarts_ = 0;    // how often stop_source_ was replaced
    std::atomic<std::uint64_t> stop_asked_ = 0;  // after how many of these a stop was requested last, and 1; 0: never
    std::exception_ptr failure_;
    detail::counter turns_;
    detail::counter sleeps_;
    detail::counter spins_;
    detail::counter resumptions_;
    bool worked_ = false;                // in this turn
    std::optional<time_point> resting_;  // since when a spinning executor has had nothing to do
    detail::service_registry services_;
};

namespace detail {

inline scheduler& inside(executor& of) noexcept {
    return of;
}

/// Draws on the budget of the calling thread's executor for an await that completes at once; see scheduler::draw().
[[nodiscard]] inline bool draw_here() noexcept {
    executor* const here = executor::current();
    return here == nullptr || inside(*here).draw();
}

}  // namespace detail
}  // namespace fluxnet
