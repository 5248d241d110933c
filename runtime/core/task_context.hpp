// SPDX-License-Identifier: BSD-3-Clause
// `task_context`: what the coroutines of one strand share: a task that was spawned, and what it awaits, one inside the
// other.
//
// Lies in the frame of whatever started the strand (executor::spawn(), a scope, when_all() ...) and outlives every coroutine
// of it; each of them points at it. Used on the thread that the strand is on. A promise type takes part by a member
// `task_context* context()`.
#pragma once

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <source_location>
#include <stop_token>
#include <utility>

namespace fluxnet {

class executor;

namespace detail {

class operation;

struct task_context : boost::intrusive::list_base_hook<boost::intrusive::tag<struct task_context_tag>,
                                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    task_context(executor* on_, std::stop_token stop_, const std::source_location& where_, task_context* outer_ = nullptr)
        : stop(std::move(stop_)), where(where_), on(on_), outer(outer_), began_on(on_) {}

    // Moves the strand to another executor: first sets_out() on the thread that it leaves, then arrives() on the other.

    void sets_out(executor& target, const operation& on_its_way) noexcept {
        executor* limit = nullptr;
        for (task_context* each = this; each != nullptr; each = each->outer) {
            if (each->outer != nullptr && each->began_on != &target) { limit = each->began_on; }
            each->limited_on.store(limit, std::memory_order_relaxed);
            each->travelling.store(&on_its_way, std::memory_order_relaxed);
            each->on.store(&target, std::memory_order_release);
        }
    }
    void arrives() noexcept {
        for (task_context* each = this; each != nullptr; each = each->outer) {
            each->travelling.store(nullptr, std::memory_order_relaxed);
        }
    }

    const std::stop_token stop;                         // cancels what the strand awaits
    const std::source_location where;                   // it was spawned
    std::atomic<executor*> on;                          // whose thread it is on, or on its way to
    std::atomic<const operation*> travelling{nullptr};  // what takes it there; null when it is there
    task_context* const outer;                          // around this one, when that is part of a strand with one already
    executor* const began_on;                           // where the strand was then
    std::atomic<executor*> limited_on{nullptr};  // an executor that it has left with a timer of a time limit there, if any
    const operation* awaiting = nullptr;         // null while it runs, or is about to
    std::chrono::steady_clock::time_point since{};  // it awaits that; as exact as executor::coarse_now()
};

/// The context of the coroutine that a handle names; null when it takes no part.
template <class Promise>
task_context* context_of(std::coroutine_handle<Promise> coroutine) noexcept {
    if constexpr (requires { coroutine.promise().context(); }) {
        return coroutine.promise().context();
    } else {
        return nullptr;
    }
}

/// The stop token that a coroutine was given; null when it has none.
template <class Promise>
const std::stop_token* stop_token_of(std::coroutine_handle<Promise> coroutine) noexcept {
    const task_context* const context = context_of(coroutine);
    return context == nullptr ? nullptr : &context->stop;
}

}  // namespace detail
}  // namespace fluxnet
