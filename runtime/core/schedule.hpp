// SPDX-License-Identifier: BSD-3-Clause
// `yield`, `schedule_on`, `sync_wait`: where and when a coroutine goes on.
#pragma once

#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace fluxnet {

class [[nodiscard]] yield_awaiter final {
public:
    yield_awaiter() noexcept {}  // not defaulted: `{}` would then zero all of it first

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) {
        const std::stop_token* const stop = detail::stop_token_of(waiting);
        canceled_ = stop != nullptr && stop->stop_requested();
        node_.coroutine = waiting;
        executor* const here = executor::current();
        if (here == nullptr) [[unlikely]] { detail::throw_no_executor(); }
        return detail::inside(*here).switch_from(node_);
    }

    wait_result await_resume() const noexcept {
        if (canceled_) { return errc::operation_canceled; }
        return no_error;
    }

private:
    ready_coroutine node_;
    bool canceled_;
};

/// Goes to the end of the ready queue: every other coroutine that is ready runs first. Returns operation_canceled when the
/// task was cancelled before.
[[nodiscard]] inline yield_awaiter yield() noexcept {
    return {};
}

class [[nodiscard]] schedule_awaiter final : private detail::operation {
public:
    explicit schedule_awaiter(executor& target) noexcept : target_(target) {}

    [[nodiscard]] bool await_ready() const noexcept { return executor::current() == &target_; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return travel(waiting, target_);
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "schedule_on"; }
    void cancel() noexcept override {}

    executor& target_;
};

/// Goes on on `target`'s thread; so does whatever awaits this coroutine, unless it goes back. Returns operation_canceled,
/// staying where it is, when the task was cancelled before; on its way it cannot be. `target` must run until the task has
/// ended or gone elsewhere, and handles bound to another executor must not be used there. No allocation; a system call when
/// the target sleeps.
[[nodiscard]] inline schedule_awaiter schedule_on(executor& target) noexcept {
    return schedule_awaiter(target);
}

/// Runs `work` to its end on `on`, with whatever else was spawned there, in the calling thread; returns its value or throws
/// what left it. Throws std::system_error: stopped when somebody called on.stop() before the end, and the task stays
/// suspended then; already_running inside a coroutine of `on`. Inside a coroutine of another executor that one's turn waits.
template <class T>
T sync_wait(executor& on, task<T> work) {
    // On the heap: a task that stays suspended must find it when it goes on.
    const auto kept = std::make_shared<std::optional<detail::value_of<T>>>();
    on.spawn(detail::keep_value(detail::there_and_back<task<T>>(std::move(work)), kept));
    on.run();
    if (!*kept) { throw std::system_error(make_error_code(errc::stopped), "wait for a task to end"); }
    if constexpr (!std::is_void_v<T>) { return std::move(**kept); }
}

/// The same on an executor of its own.
template <class T>
T sync_wait(task<T> work) {
    executor loop;
    return sync_wait(loop, std::move(work));
}

}  // namespace fluxnet
