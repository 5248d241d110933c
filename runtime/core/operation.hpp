// SPDX-License-Identifier: BSD-3-Clause
// `operation`: the common part of every awaiter of ours: a suspended coroutine, its outcome, and how it is cancelled.
//
// Lies in the coroutine's frame; used on the executor's thread. States: idle -> waiting (suspend) -> done (complete) ->
// resumed from the ready queue. It completes once: what comes second is ignored. An operation that moves its coroutine to
// another executor goes idle -> travelling -> resumed there.
//
// Cancellation. The strand's context (task_context.hpp) calls cancel_once() on the executor's thread, on behalf of whatever
// requests a stop. What the strand was to await after that does not begin.
//
// Grants from other threads. grant() posts the operation to its executor. An operation that completes while it is in the
// inbox goes into the ready queue at once, and the inbox, which holds it still, then leaves it where it is. Before the
// coroutine resumes, end() fetches the operation out of the inbox, so that it does not outlive its frame there.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <atomic>
#include <cassert>
#include <coroutine>
#include <system_error>

namespace fluxnet::detail {

class FLUXNET_EXPORT operation : public ready_node {
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
            granted_.store(true, std::memory_order_release);
            inside(*executor_).post(*this);
        }
    }

    /// Gives up what is waited for, unless that has been asked before or it has ended, or will by grant(). On the executor's
    /// thread.
    void cancel_once() noexcept {
        if (phase_ != phase::waiting || canceled_ || granted_.load(std::memory_order_relaxed)) { return; }
        canceled_ = true;
        cancel();
    }

    /// The context that it was begun in goes before it.
    void forget_context() noexcept {
        if (phase_ == phase::travelling) { context_->arrives(); }
        context_ = nullptr;
    }

    [[nodiscard]] bool waiting() const noexcept { return phase_ == phase::waiting; }

    /// What is awaited, as a call reads: "async_rx::recv".
    [[nodiscard]] virtual const char* name() const noexcept = 0;

protected:
    operation() = default;
    ~operation() {
        if (phase_ != phase::idle) { end(); }
    }

    /// The body of await_suspend(): notes which coroutine waits, and calls `start`, which begins what is waited for. When the
    /// coroutine was asked to stop already it starts nothing: the outcome is operation_canceled, and the coroutine goes on in
    /// the next turn, so that a loop that does not look at outcomes lets others run all the same. `give_up` is called instead
    /// of `start` then.
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

    /// The same for what may be over without a wait. `at_once` tries, on the executor that it is given: when it returns true,
    /// the outcome is as refuse() noted it, and the coroutine goes on. Returns whether it is suspended. Nothing is tried when
    /// the coroutine was asked to stop already.
    template <class Promise, class AtOnce, class Start>
    [[nodiscard]] bool suspend_unless(std::coroutine_handle<Promise> waiting, AtOnce at_once, Start start) {
        if (stopped_before(waiting)) [[unlikely]] {
            end_canceled(waiting);
            return true;
        }
        fluxnet::executor& on = here();
        if (at_once(on)) { return false; }
        enter(waiting, phase::waiting, on);
        wait_for(start);
        return true;
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
        if (context_ != nullptr && context_->awaiting == this) { context_->awaiting = nullptr; }
        if (phase_ == phase::travelling && context_ != nullptr) { context_->arrives(); }
        if (phase_ == phase::travelling || granted_.load(std::memory_order_acquire)) {
            inside(*executor_).take_inbox();
            if (is_linked()) { unlink(); }
            granted_.store(false, std::memory_order_relaxed);
        }
        phase_ = phase::idle;
    }

    /// Gives up what is waited for and completes with operation_canceled, now or soon. On the executor's thread.
    virtual void cancel() noexcept = 0;

    [[nodiscard]] fluxnet::executor& home_executor() const noexcept { return *executor_; }

private:
    enum class phase : unsigned char { idle, waiting, done, travelling };

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
        context_ = nullptr;  // which does not await it
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
        start();
        if (context_ == nullptr) { return; }
        context_->awaiting = this;  // not before it is fully set up: a stop cancels it from now on
        context_->since = inside(*executor_).coarse_now();
        // While it began, when there was nothing to cancel yet; or before that, which begin() does not mind.
        if (context_->stop.stop_requested()) [[unlikely]] { cancel_once(); }
    }

    void run() noexcept override {
        if (phase_ == phase::travelling) {
            phase_ = phase::done;
            if (context_ != nullptr) { context_->arrives(); }
        } else {
            granted_.store(false, std::memory_order_relaxed);
            phase_ = phase::done;
            outcome_ = no_error;
        }
        coroutine_.resume();
    }

    fluxnet::executor* executor_ = nullptr;
    task_context* context_ = nullptr;
    std::coroutine_handle<> coroutine_;
    std::error_code outcome_ = no_error;
    phase phase_ = phase::idle;
    bool canceled_ = false;              // cancel() was called
    std::atomic<bool> granted_ = false;  // by another thread: it is in the executor's inbox, or soon will be
};

// Each coroutine's frame has one of these for every await in it.
static_assert(sizeof(operation) <= 88);

}  // namespace fluxnet::detail
