// SPDX-License-Identifier: BSD-3-Clause
// The clock, and what an executor does by it instead of by the real one.
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

namespace fluxnet {
namespace {

/// Of so many that are ready one is chosen; those behind them wait. A bound for what a resumption costs.
constexpr std::uint64_t choices = 256;

constexpr std::size_t tasks_listed = 16;

void fold(std::uint64_t& hash, std::uint64_t value) noexcept {
    hash = (std::rotl(hash, 23) ^ value) * 0x9e3779b97f4a7c15ULL;
}

std::string seconds_text(std::chrono::nanoseconds time) {
    char text[48];
    std::snprintf(text, sizeof text, "%lld.%09lld s", 0LL + time.count() / 1'000'000'000,
                  0LL + time.count() % 1'000'000'000);
    return text;
}

}  // namespace

std::uint64_t virtual_clock::digest() const noexcept {
    std::uint64_t hash = schedule_;
    for (const attached_wire& each : wires_) { fold(hash, each.wire->digest()); }
    return hash;
}

ready_node& virtual_clock::take_next(ready_queue& ready) noexcept {
    auto chosen = ready.begin();
    std::uint64_t index = 0;
    if (order_ == wake_order::seeded) {
        std::uint64_t count = 0;
        for (auto each = ready.begin(); each != ready.end() && count != choices; ++each) { ++count; }
        if (count > 1) { index = random_() % count; }
        for (std::uint64_t i = 0; i != index; ++i) { ++chosen; }
    }
    ++resumptions_;
    fold(schedule_, static_cast<std::uint64_t>(elapsed().count()) * choices + index);
    ready_node& node = *chosen;
    ready.erase(chosen);
    return node;
}

bool virtual_clock::advance(std::optional<time_point> timer) noexcept {
    time_point next = timer.value_or(time_point::max());  // the end of time: never
    for (const attached_wire& each : wires_) {
        if (const auto arrival = each.wire->next_arrival()) { next = std::min(next, each.origin + *arrival); }
    }
    if (next == time_point::max()) { return false; }
    now_ = std::max(now_, next);
    for (const attached_wire& each : wires_) { each.wire->advance_to(now_ - each.origin); }
    return true;
}

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
        text += " since " + seconds_text(context.since - virtual_clock::start) + " in the task of ";
        text += context.where.file_name();
        text += ':' + std::to_string(context.where.line());
    }
    if (others != 0) { text += ", and " + std::to_string(others) + " more"; }
    return text;
}

void executor::note_thread() noexcept {
    if (clock_->is_foreign_thread()) { clock_->disturbed_.store(true, std::memory_order_relaxed); }
}

void executor::refuse_foreign_thread() const {
    if (clock_->is_foreign_thread()) {
        throw std::system_error(make_error_code(errc::not_in_virtual_time), "post to an executor from another thread");
    }
}

}  // namespace fluxnet
