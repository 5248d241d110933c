// SPDX-License-Identifier: BSD-3-Clause
// `scope`: tasks that run beside each other and end before it does.
//
// Lies in a coroutine's frame and is used on its executor's thread. Owns the frames of its children: a scope that is
// destroyed with children still suspended, because an exception unwinds or the executor ends, destroys them first. In the
// ordinary case the coroutine awaits join(). The first child that fails cancels the others (or not, by choice), and its
// exception comes out of join(). Cancelling the coroutine that waits in join() cancels the children; join() still waits for
// their end. One allocation for the scope's stop state, two for each child.
#pragma once

#include "fluxnet/runtime/core/detail/strand.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"

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

    explicit scope(on_error policy = on_error::cancel_rest) noexcept : policy_(policy) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    ~scope() { children_.clear(); }

    /// Starts `work` on the executor whose thread this is, at its next turn.
    void spawn(task<void> work, const std::source_location& where = std::source_location::current()) {
        executor* const here = executor::current();
        assert(here != nullptr && "a scope spawns inside an executor's run()");
        children_.start(*this, *here, stop_.get_token(), where, std::move(work));
        ++running_;
    }

    /// The same for a coroutine function object, which is kept until the coroutine ends.
    template <class F>
        requires std::is_invocable_r_v<task<void>, F&>
    void spawn(F function, const std::source_location& where = std::source_location::current()) {
        spawn(detail::keep_and_run(std::move(function)), where);
    }

    /// Cancels what the children await, now and later.
    void request_stop() noexcept { stop_.request_stop(); }
    [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_.get_token(); }

    /// Completes when no child runs; at once if that is so. Throws the first exception that ended one. Returns
    /// operation_canceled when the awaiting task was cancelled: the children were too, and have ended. One waits at a time;
    /// afterwards the scope may be used again, unless it was stopped.
    [[nodiscard]] join_awaiter join() noexcept;

    [[nodiscard]] std::size_t running() const noexcept { return running_; }

private:
    inline void strand_ended(std::exception_ptr failure) noexcept override;

    const on_error policy_;
    std::stop_source stop_;
    detail::strand_list children_;
    std::size_t running_ = 0;
    std::exception_ptr failure_;  // the first
    join_awaiter* waiter_ = nullptr;
};

class [[nodiscard]] scope::join_awaiter final : private detail::operation {
public:
    explicit join_awaiter(scope& of) noexcept : scope_(of) {}
    ~join_awaiter() {
        if (scope_.waiter_ == this) { scope_.waiter_ = nullptr; }
    }

    [[nodiscard]] bool await_ready() const noexcept { return scope_.running_ == 0 && detail::draw_here(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        begin(waiting, [this] {
            assert(scope_.waiter_ == nullptr && "two coroutines join one scope");
            scope_.waiter_ = this;
            if (scope_.running_ == 0) { complete(no_error); }
        });
    }

    std::error_code await_resume() {
        static_cast<void>(finish());
        if (scope_.waiter_ == this) { scope_.waiter_ = nullptr; }
        if (scope_.failure_) { std::rethrow_exception(std::exchange(scope_.failure_, nullptr)); }
        if (canceled_) { return errc::operation_canceled; }
        return no_error;
    }

private:
    friend scope;

    [[nodiscard]] const char* name() const noexcept override { return "scope::join"; }
    void cancel() noexcept override {
        canceled_ = true;
        scope_.request_stop();
    }

    scope& scope_;
    bool canceled_ = false;
};

inline scope::join_awaiter scope::join() noexcept {
    return join_awaiter(*this);
}

void scope::strand_ended(std::exception_ptr failure) noexcept {
    --running_;
    if (failure && !failure_) {
        failure_ = std::move(failure);
        if (policy_ == on_error::cancel_rest) { request_stop(); }
    }
    if (running_ == 0 && waiter_ != nullptr) { waiter_->complete(no_error); }
}

}  // namespace fluxnet
