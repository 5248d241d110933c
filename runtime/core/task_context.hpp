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
    task_context(executor* on_, std::stop_token stop_, const std::source_location& where_)
        : stop(std::move(stop_)), where(where_), on(on_) {}

    const std::stop_token stop;                     // cancels what the strand awaits
    const std::source_location where;               // it was spawned
    std::atomic<executor*> on;                      // whose thread it is on; changed there
    const operation* awaiting = nullptr;            // null while it runs, or is about to
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
