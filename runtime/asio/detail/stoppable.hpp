// SPDX-License-Identifier: BSD-3-Clause
// `stoppable_work`: awaits a task that somebody else can stop too, without the coroutine that awaits it.
//
// Lies in the awaiting coroutine's frame. What the task awaits is cancelled by `stop`, on which a stop of the awaiting
// coroutine is passed on. Awaited on an executor's thread; the task has to end on the executor where it began. `stop` may be
// requested on any thread.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"

#include <coroutine>
#include <optional>
#include <stop_token>
#include <utility>

namespace fluxnet::asio::detail {

template <class T>
class [[nodiscard]] stoppable_work final {
public:
    stoppable_work(std::stop_source stop, task<T> work) noexcept : stop_(std::move(stop)), work_(std::move(work)) {}
    stoppable_work(const stoppable_work&) = delete;
    stoppable_work& operator=(const stoppable_work&) = delete;

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) {
        executor* const here = executor::current();
        if (here == nullptr) [[unlikely]] { fluxnet::detail::throw_no_executor(); }
        fluxnet::detail::task_context* const outer = fluxnet::detail::context_of(waiting);
        context_.emplace(*here, stop_.get_token(), outer);
        if (outer != nullptr) { forward_.emplace(outer->stop, passing_on{stop_}); }
        running_.emplace(work_.operator co_await());
        return running_->start(waiting, &*context_);
    }

    T await_resume() {
        forward_.reset();
        return running_->await_resume();
    }

private:
    struct passing_on {
        std::stop_source& to;
        void operator()() const noexcept { to.request_stop(); }
    };

    std::stop_source stop_;
    std::optional<fluxnet::detail::inner_context> context_;
    std::optional<std::stop_callback<passing_on>> forward_;
    task<T> work_;  // its frame goes before the context that it points at
    std::optional<typename task<T>::awaiter> running_;
};

}  // namespace fluxnet::asio::detail
