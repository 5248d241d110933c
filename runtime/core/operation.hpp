// SPDX-License-Identifier: BSD-3-Clause
// `operation`: the common part of every awaiter of ours: a suspended coroutine, its outcome, and how it is cancelled.
//
// Lies in the coroutine's frame; used on the executor's thread. States: idle -> waiting (suspend) -> done (complete) ->
// resumed from the ready queue. It completes once: what comes second is ignored. An operation that moves its coroutine to
// another executor goes idle -> travelling -> resumed there.
//
// Cancellation. suspend() registers with the coroutine's stop token last, when the operation is fully set up. A stop
// requested on the executor's thread calls cancel() at once. One requested elsewhere posts the operation to the executor,
// which calls cancel() there.
//
// Posts from other threads. `asked_` has a bit for each thing that another thread may ask: to cancel, to grant. The thread
// that sets the first bit posts the operation; one that finds a bit set leaves that to the other thread. The owner takes all
// bits at once when the operation comes out of the ready queue. An operation that completes while it is in the inbox goes
// into the ready queue at once, and the inbox, which holds it still, then leaves it where it is. Before the coroutine
// resumes, end() takes the registration back (which waits for a request under way on another thread) and, if a bit is set,
// fetches the operation out of the inbox, so that it does not outlive its frame there.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <atomic>
#include <cassert>
#include <coroutine>
#include <new>
#include <stop_token>
#include <system_error>

namespace fluxnet::detail {

class operation : public ready_node {
public:
    /// Ends the operation with an outcome; its coroutine resumes in the next turn. Ignored unless it is waiting.
    void complete(std::error_code outcome) noexcept {
        if (phase_ != phase::waiting) { return; }
        phase_ = phase::done;
        outcome_ = outcome;
        coroutine = coroutine_;
        if (!is_linked()) [[likely]] { inside(*executor_).make_ready(*this); }
    }

    /// Ends a waiting operation well, from any thread. The caller sees to it that nobody else ends it too and that it lives
    /// until the call returns: by a lock that cancel() and the destructor take as well.
    void grant() noexcept {
        if (executor::current() == executor_) {
            complete(no_error);
        } else {
            ask(to_grant);
        }
    }

    [[nodiscard]] bool waiting() const noexcept { return phase_ == phase::waiting; }

    /// What is awaited, as a call reads: "async_rx::recv".
    [[nodiscard]] virtual const char* name() const noexcept = 0;

protected:
    operation() noexcept {}  // not defaulted, for the sake of registration_
    ~operation() {
        if (phase_ != phase::idle) { end(); }
    }

    /// The body of await_suspend(): notes which coroutine waits, calls `start`, which begins what is waited for, and
    /// registers with the stop token. When the coroutine was asked to stop already it starts nothing: the outcome is
    /// operation_canceled, and the coroutine goes on in the next turn, so that a loop that does not look at outcomes lets
    /// others run all the same. `give_up` is called instead of `start` then.
    template <class Promise, class Start, class GiveUp>
    void suspend(std::coroutine_handle<Promise> waiting, Start start, GiveUp give_up) {
        if (stopped_before(waiting)) [[unlikely]] {
            give_up();
            end_canceled(waiting);
            return;
        }
        enter(waiting, phase::waiting, here());
        wait_for(start);
    }

    template <class Promise, class Start>
    void suspend(std::coroutine_handle<Promise> waiting, Start start) {
        suspend(waiting, start, [] {});
    }

    /// For operations (join) that cannot return early on a stop: they pass the stop on and still wait. Calls `start` even
    /// when the coroutine was asked to stop already, and then cancel() at once.
    template <class Promise, class Start>
    void begin(std::coroutine_handle<Promise> waiting, Start start) {
        context_ = context_of(waiting);
        enter(waiting, phase::waiting, here());
        wait_for(start);
    }

    /// For an operation that resumes its coroutine on another executor; where it is when it was asked to stop already, as
    /// suspend() does. Nothing of the operation is touched afterwards: it may have resumed there already. It cannot be
    /// cancelled on its way.
    template <class Promise>
    void travel(std::coroutine_handle<Promise> waiting, fluxnet::executor& target) {
        if (stopped_before(waiting)) {
            end_canceled(waiting);
        } else {
            set_out(waiting, target);
        }
    }

    /// The same whether or not a stop was requested.
    template <class Promise>
    void travel_home(std::coroutine_handle<Promise> waiting, fluxnet::executor& target) {
        context_ = context_of(waiting);
        set_out(waiting, target);
    }

    /// Notes how it ended that began nothing.
    void refuse(std::error_code why) noexcept { outcome_ = why; }

    /// Tells whether nothing goes on: it has not begun, or has been finished.
    [[nodiscard]] bool idle() const noexcept { return phase_ == phase::idle; }

    /// The body of await_resume(): detaches from everything and tells how it ended.
    std::error_code finish() noexcept {
        if (phase_ != phase::idle) { end(); }
        return outcome_;
    }

    /// Detaches from everything; called before the coroutine goes on and when its frame is destroyed.
    void end() noexcept {
        if (registered_) {
            registration_.~stop_callback();
            registered_ = false;
        }
        if (context_ != nullptr && context_->awaiting == this) { context_->awaiting = nullptr; }
        if (phase_ == phase::travelling && context_ != nullptr) { context_->arrives(); }
        const unsigned char asked = asked_.load(std::memory_order_acquire);
        if (phase_ == phase::travelling || asked != 0) {
            if ((asked & to_cancel) != 0) { probe<"operation: ends with its canceler posted">(); }
            inside(*executor_).take_inbox();
            if (is_linked()) { unlink(); }
            asked_.store(0, std::memory_order_relaxed);
        }
        phase_ = phase::idle;
    }

    /// Gives up what is waited for and completes with operation_canceled, now or soon. On the executor's thread.
    virtual void cancel() noexcept = 0;

    [[nodiscard]] fluxnet::executor& home_executor() const noexcept { return *executor_; }

private:
    enum class phase : unsigned char { idle, waiting, done, travelling };

    static constexpr unsigned char to_cancel = 1;
    static constexpr unsigned char to_grant = 2;

    /// Asks the owner for something. Any thread but the owner's.
    void ask(unsigned char what) noexcept {
        if (asked_.fetch_or(what, std::memory_order_acq_rel) == 0) { inside(*executor_).post(*this); }
    }

    /// Notes the coroutine's context; tells whether that was asked to stop, which is the outcome then.
    template <class Promise>
    [[nodiscard]] bool stopped_before(std::coroutine_handle<Promise> waiting) noexcept {
        context_ = context_of(waiting);
        if (context_ == nullptr || !context_->stop.stop_requested()) { return false; }
        probe<"operation: cancelled before it began">();
        outcome_ = errc::operation_canceled;
        return true;
    }

    [[nodiscard]] static fluxnet::executor& here() {
        executor* const current = executor::current();
        if (current == nullptr) [[unlikely]] { throw_no_executor(); }
        return *current;
    }

    void set_out(std::coroutine_handle<> waiting, fluxnet::executor& target) {
        enter(waiting, phase::travelling, target);
        if (context_ != nullptr) {
            context_->awaiting = this;
            context_->since = target.now();
            // From here on the home executor's tasks() does not look at what is awaited, which may be gone at any time.
            context_->sets_out(target, *this);
        }
        inside(target).post(*this);
    }

    /// Has the coroutine go on through the ready queue, as if the operation had been cancelled at once.
    void end_canceled(std::coroutine_handle<> waiting) {
        enter(waiting, phase::waiting, here());
        complete(errc::operation_canceled);
    }

    void enter(std::coroutine_handle<> waiting, phase next, fluxnet::executor& on) noexcept {
        executor_ = &on;
        coroutine = nullptr;
        coroutine_ = waiting;
        phase_ = next;
    }

    template <class Start>
    void wait_for(Start start) {
        if (context_ != nullptr) {
            context_->awaiting = this;
            context_->since = inside(*executor_).coarse_now();
        }
        start();
        if (context_ != nullptr && context_->stop.stop_possible()) {
            new (&registration_) std::stop_callback<requester>(context_->stop, requester{*this});
            registered_ = true;
        }
    }

    struct requester {
        operation& self;
        void operator()() const noexcept {
            if (executor::current() == self.executor_) {
                self.cancel();
            } else {
                probe<"operation: canceler posted">();
                self.ask(to_cancel);
            }
        }
    };

    void run() noexcept override {
        if (phase_ == phase::travelling) {
            phase_ = phase::done;
            if (context_ != nullptr) { context_->arrives(); }
        } else if ((asked_.exchange(0, std::memory_order_acq_rel) & to_grant) != 0) {
            phase_ = phase::done;
            outcome_ = no_error;
        } else {
            if (waiting()) { cancel(); }
            return;
        }
        coroutine_.resume();
    }

    fluxnet::executor* executor_ = nullptr;
    task_context* context_ = nullptr;
    std::coroutine_handle<> coroutine_;
    std::error_code outcome_ = no_error;
    phase phase_ = phase::idle;
    std::atomic<unsigned char> asked_ = 0;  // by other threads; not 0: it is in the executor's inbox, or soon will be
    bool registered_ = false;
    union {
        std::stop_callback<requester> registration_;  // while registered_; no std::optional, whose flag would cost a word
    };
};

// Each coroutine's frame has one of these for every await in it.
static_assert(sizeof(operation) <= 144 || sizeof(std::stop_callback<void (*)()>) > 56);

}  // namespace fluxnet::detail
