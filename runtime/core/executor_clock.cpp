// SPDX-License-Identifier: BSD-3-Clause
// What an executor does by a clock of its own instead of by the real one.
#include "fluxnet/runtime/core/clock.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

namespace fluxnet {
namespace {

constexpr std::size_t tasks_listed = 16;

std::string seconds_text(std::chrono::nanoseconds time) {
    char text[48];
    std::snprintf(text, sizeof text, "%lld.%09lld s", 0LL + time.count() / 1'000'000'000,
                  0LL + time.count() % 1'000'000'000);
    return text;
}

}  // namespace

void executor::run_ready_by_clock() {
    if (clock_->disturbed_.exchange(false, std::memory_order_relaxed)) {
        keep_failure(std::make_exception_ptr(std::system_error(
            make_error_code(errc::not_in_virtual_time), "another thread posted to, or woke, an executor in virtual time")));
    }
    worked_ = !ready_.empty();
    for (unsigned budget = ready_budget; budget != 0 && !ready_.empty(); --budget) {
        resumptions_.add(1);
        resume(clock_->take_next(ready_));
        // Only compilers that make a call of a transfer put something here: it goes on as if it had been one.
        while (!unwound_.empty()) {
            ready_node& node = unwound_.front();
            unwound_.pop_front();
            resume(node);
        }
    }
}

void executor::pass_time(std::optional<time_point> deadline) {
    reactor_->poll();
    if (!ready_.empty()) { return; }
    if (!clock_->advance(deadline)) {
        keep_failure(std::make_exception_ptr(std::system_error(make_error_code(errc::deadlock), what_is_awaited())));
    }
}

std::string executor::what_is_awaited() const {
    std::string text = "nothing can happen after " + seconds_text(clock_->elapsed()) + " of virtual time";
    std::size_t listed = 0;
    std::size_t others = 0;
    for (const detail::task_context& context : contexts_) {
        if (context.awaiting == nullptr) { continue; }
        if (listed == tasks_listed) {
            ++others;
            continue;
        }
        text += listed++ == 0 ? ": " : ", ";
        text += context.awaiting->name();
        text += " since " + seconds_text(context.since - clock_->start_) + " in the task of ";
        text += context.where.file_name();
        text += ':' + std::to_string(context.where.line());
    }
    if (others != 0) { text += ", and " + std::to_string(others) + " more"; }
    return text;
}

void executor::refuse_foreign_thread() const {
    if (clock_->is_foreign_thread()) {
        throw std::system_error(make_error_code(errc::not_in_virtual_time), "post to an executor from another thread");
    }
}

}  // namespace fluxnet
