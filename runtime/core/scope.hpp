// SPDX-License-Identifier: BSD-3-Clause
// `scope`: tasks that run beside each other and end before it does.
//
//     scope children;
//     children.spawn(serve(one));
//     children.spawn(serve(other));
//     const wait_result ended = co_await children.join();  // throws what the first to fail threw
//
// Threads: lies in the frame of a coroutine and is used on one executor's thread: where its first child was spawned. Its
// children may go to other executors.
//
// Owns the frames of its children. In the ordinary case the coroutine awaits join(). The first child that fails cancels the
// others (or not, by choice), and its exception comes out of join(). Cancelling the coroutine that waits in join() cancels
// the children; join() still waits for their end. One allocation for the scope's stop state, two for each child.
//
// A scope that is destroyed before, because an exception unwinds or the executor ends, destroys its children first. A child
// that is on another executor at that moment is cancelled and comes home first: the destructor makes turns of its own
// executor until then, so the other one has to run. What such children refer to is therefore declared before the scope, and
// what goes on meanwhile must not destroy the coroutine that owns the scope.
#pragma once

#include "fluxnet/runtime/core/detail/strand.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"

#include <coroutine>
#include <cstddef>
#include <exception>
#include <source_location>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

namespace fluxnet {

/// What a scope does when a child ends with an exception.
enum class on_error { cancel_rest, await_all };

class scope final : private detail::strand_owner {
public:
    class [[nodiscard]] join_awaiter;

    /// Makes a scope without children.
    explicit scope(on_error policy = on_error::cancel_rest) noexcept : policy_(policy) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    ~scope() {
        if (!children_.empty()) { children_.clear_running(stop_); }
        if (failure_) [[unlikely]] { detail::tell_exception(failure_, "a child of a scope that nobody joined"); }
    }

    /// Starts `work` on the executor whose thread this is, at its next turn. What it returns is dropped. Throws
    /// std::system_error: no_executor outside a coroutine, wrong_executor on another than where children run already.
    void spawn(task<void> work, const std::source_location& where = std::source_location::current()) {
        executor& here = home();
        children_.start(*this, here, stop_.get_token(), where, std::move(work));
        home_ = &here;
        ++running_;
    }

    /// The same for a task of any result, or for a coroutine function object, which is kept until the coroutine ends.
    template <detail::spawnable W>
    void spawn(W work, const std::source_location& where = std::source_location::current()) {
        spawn(detail::without_value(std::move(work)), where);
    }

    /// Cancels what the children await, now and later.
    void request_stop() noexcept { stop_.request_stop(); }
    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_.get_token(); }

    /// Completes when no child runs; at once if that is so. Throws the first exception that ended one. Returns
    /// operation_canceled when the awaiting task was cancelled while a child ran: the children were too, and have ended. One
    /// coroutine waits at a time: another is told handle_in_use, and changes nothing. Afterwards the scope may be used
    /// again, unless it was stopped. Throws std::system_error (wrong_executor) on another executor than the children's.
    [[nodiscard]] join_awaiter join() noexcept;

    /// How many children have not ended.
    [[nodiscard]] std::size_t running() const noexcept { return running_; }

private:
    /// The executor of this thread, which is that of the children.
    [[nodiscard]] executor& home() const {
        executor* const here = executor::current();
        if (here == nullptr) [[unlikely]] { detail::throw_no_executor(); }
        if (running_ != 0 && here != home_) [[unlikely]] { detail::throw_wrong_executor(); }
        return *here;
    }

    inline void strand_ended(std::exception_ptr failure) noexcept override;

    const on_error policy_;
    std::stop_source stop_;
    detail::strand_list children_;
    std::size_t running_ = 0;
    executor* home_ = nullptr;    // of the children, if there are any
    std::exception_ptr failure_;  // the first
    join_awaiter* waiter_ = nullptr;
};

class [[nodiscard]] scope::join_awaiter final : private detail::operation {
public:
    explicit join_awaiter(scope& of) noexcept : scope_(of) {}
    ~join_awaiter() {
        if (scope_.waiter_ == this) { scope_.waiter_ = nullptr; }
    }

    [[nodiscard]] bool await_ready() const noexcept {
        return scope_.running_ == 0 && scope_.waiter_ == nullptr && detail::draw_here();
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        static_cast<void>(scope_.home());
        begin(waiting, [this] {
            if (scope_.waiter_ != nullptr) {
                refused_ = true;
                complete(errc::handle_in_use);
                return;
            }
            scope_.waiter_ = this;
            if (scope_.running_ == 0) { complete(no_error); }
        });
    }

    wait_result await_resume() {
        const std::error_code ended = finish();
        if (refused_) { return ended; }
        if (scope_.waiter_ == this) { scope_.waiter_ = nullptr; }
        if (scope_.failure_) { std::rethrow_exception(std::exchange(scope_.failure_, nullptr)); }
        if (canceled_) { return errc::operation_canceled; }
        return no_error;
    }

private:
    friend scope;

    [[nodiscard]] const char* name() const noexcept override { return "scope::join"; }
    void cancel() noexcept override {
        if (refused_) { return; }
        canceled_ = scope_.running_ != 0;
        scope_.request_stop();
    }

    scope& scope_;
    bool canceled_ = false;
    bool refused_ = false;  // another coroutine joins the scope
};

inline scope::join_awaiter scope::join() noexcept {
    return join_awaiter(*this);
}

void scope::strand_ended(std::exception_ptr failure) noexcept {
    --running_;
    if (failure && failure_) {
        detail::tell_exception(failure, "a child of a scope, after another that failed");
    } else if (failure) {
        failure_ = std::move(failure);
        if (policy_ == on_error::cancel_rest) { request_stop(); }
    }
    if (running_ == 0 && waiter_ != nullptr) { waiter_->complete(no_error); }
}

}  // namespace fluxnet
