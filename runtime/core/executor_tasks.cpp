// SPDX-License-Identifier: BSD-3-Clause
// What an executor does with its tasks: it starts them, runs one as a program's main task, lists and destroys them.
#include "fluxnet/runtime/core/detail/executor_tasks.hpp"

#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace fluxnet {

void executor::discard_tasks() {
    if (driven_) [[unlikely]] {
        throw std::system_error(make_error_code(errc::already_running), "discard the tasks of an executor inside its run()");
    }
    destroy_tasks();
}

void executor::destroy_tasks() noexcept {
    // No thread runs the executors where the frames are, whatever this thread runs otherwise.
    executor* const outer = std::exchange(current_, nullptr);
    take_inbox();  // strands that ended elsewhere are in it, and leave the ready queue by themselves
    tasks_->clear();
    current_ = outer;
}

void executor::spawn(task<void> work, const std::source_location& where) {
    tasks_->start(std::move(work), where);
    if (inbox_.asleep()) { wake(); }  // spawned by the loop that drives it, between prepare_sleep() and after_sleep()
}

void executor::spawn_background(task<void> work, const std::source_location& where) {
    tasks_->start_background(std::move(work), where);
    if (inbox_.asleep()) { wake(); }
}

void executor::run_main(task<void> work, std::chrono::nanoseconds rest, const std::source_location& where) {
    // On the heap, for the task may stay suspended.
    const auto ended = std::make_shared<std::optional<detail::value_of<void>>>();
    {
        const run_visit here(*this);
        spawn(detail::keep_value(detail::there_and_back<task<void>>(std::move(work)), ended), where);
        while (!*ended && !failure_ && !stopped()) {
            start_turn();
            finish_turn(ended->has_value());
        }
        if (stopped()) { rest = std::chrono::nanoseconds::zero(); }
        if (!*ended && !failure_) { throw std::system_error(make_error_code(errc::stopped), "run a task to its end"); }
    }
    const struct again {
        executor& of;
        ~again() { of.restart(); }
    } at_the_end{*this};
    static_cast<void>(shut_down_by(detail::time_after(now(), rest)));
}

std::vector<task_info> executor::tasks() const {
    std::vector<task_info> all;
    for (const detail::task_context& context : contexts_) {
        task_info& task = all.emplace_back();
        task.where = context.where;
        task.elsewhere = context.on.load(std::memory_order_acquire) != this;
        task.travelling = context.travelling.load(std::memory_order_relaxed) != nullptr;
        if (task.elsewhere || task.travelling || context.awaiting == nullptr) { continue; }
        task.awaiting = context.awaiting->name();
        task.waiting_for = now() - context.since;
    }
    return all;
}

}  // namespace fluxnet
