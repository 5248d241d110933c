// SPDX-License-Identifier: BSD-3-Clause
// `task_context`: what the coroutines of one strand share: a task that was spawned, and what it awaits, one inside the
// other.
//
// Lies in the frame of whatever started the strand (executor::spawn(), a scope, when_all() ...) and outlives every coroutine
// of it; each of them points at it. Used on the thread that the strand is on. A promise type takes part by a member
// `task_context* context()`.
//
// Cancellation. The context alone registers with the stop token, so that an await costs no registration. A stop that is
// requested on the strand's thread cancels what it awaits at once. One that is requested elsewhere posts the context, which
// is a node for that, to the executor that the strand is on; there it cancels what the strand awaits by then. What is
// awaited later finds that a stop was requested, and does not begin. `listening_` says whether the context may be posted and
// whether it has been; it is a lock besides, held by a thread that requests a stop while it posts, and by the strand's
// thread while the strand leaves an executor, begins or ends. A stop is requested once, so these meet hardly ever.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"

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

class FLUXNET_EXPORT task_context
    : public ready_node,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<struct task_context_tag>,
                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    /// From now on a stop cancels what the strand awaits. Called before it awaits anything, and once; false, without doing
    /// anything, where it has been. The node may be the strand's own before.
    bool listen() noexcept;

    /// From now on nothing is posted, and nothing that was is left: the node is the strand's own again. On its thread.
    void stop_listening() noexcept;

    // Moves the strand to another executor: first sets_out() on the thread that it leaves, then arrives() on the other.

    void sets_out(executor& target, const operation& on_its_way) noexcept;
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
    operation* awaiting = nullptr;               // null while it runs, or is about to
    std::chrono::steady_clock::time_point since{};  // it awaits that; as exact as executor::coarse_now()

protected:
    /// Its strand is not told of a stop before listen().
    task_context(executor* on_, std::stop_token stop_, const std::source_location& where_, task_context* outer_ = nullptr)
        : stop(std::move(stop_)), where(where_), on(on_), outer(outer_), began_on(on_), on_stop_(stop, listener{*this}) {}
    ~task_context() { stop_listening(); }

    /// The strand's executor has taken the node that a stop posted.
    void run() noexcept override;

private:
    enum class hears : unsigned char { nothing, stops, one_posted, locked };

    struct listener {
        task_context& self;
        void operator()() const noexcept { self.on_stop(); }
    };

    void on_stop() noexcept;
    void cancel_await() noexcept;
    hears lock() noexcept;
    void unlock(hears next) noexcept { listening_.store(next, std::memory_order_release); }
    void fetch_posted() noexcept;

    std::atomic<hears> listening_ = hears::nothing;
    const std::stop_callback<listener> on_stop_;  // the last, for it may be called before it has been made
};

/// The context of what a coroutine awaits under a stop token of its own, inside the coroutine's, which is `outer`; null: it is
/// part of no strand. Listens from the beginning.
class FLUXNET_EXPORT inner_context final : public task_context {
public:
    inner_context(executor& here, std::stop_token stop_, task_context* outer_);

    /// What it awaits may be an awaiter of the coroutine around it, which is destroyed later when that coroutine is destroyed.
    ~inner_context();
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
