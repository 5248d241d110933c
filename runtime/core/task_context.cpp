// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/task_context.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <source_location>
#include <stop_token>
#include <thread>
#include <utility>

namespace fluxnet::detail {

bool task_context::listen() noexcept {
    const hears before = lock();
    unlock(before == hears::nothing ? hears::stops : before);
    return before == hears::nothing;
}

void task_context::stop_listening() noexcept {
    if (lock() == hears::one_posted) {
        probe<"task_context: ends with a stop posted">();
        fetch_posted();
    }
    unlock(hears::nothing);
}

void task_context::sets_out(executor& target, const operation& on_its_way) noexcept {
    executor* limit = nullptr;
    for (task_context* each = this; each != nullptr; each = each->outer) {
        if (each->outer != nullptr && each->began_on != &target) { limit = each->began_on; }
        hears heard = each->lock();
        if (heard == hears::one_posted) {  // what it awaits next finds that a stop was requested
            probe<"task_context: leaves an executor with a stop posted">();
            each->fetch_posted();
            heard = hears::stops;
        }
        each->limited_on.store(limit, std::memory_order_relaxed);
        each->travelling.store(&on_its_way, std::memory_order_relaxed);
        each->on.store(&target, std::memory_order_release);
        each->unlock(heard);
    }
}

void task_context::on_stop() noexcept {
    executor* const here = executor::current();
    if (here != nullptr && here == on.load(std::memory_order_acquire) &&
        travelling.load(std::memory_order_relaxed) == nullptr) {
        cancel_await();
        return;
    }
    hears heard = lock();
    if (heard == hears::stops) {
        probe<"task_context: stop posted">();
        heard = hears::one_posted;
        inside(*on.load(std::memory_order_relaxed)).post(*this);
    }
    unlock(heard);
}

void task_context::run() noexcept {
    static_cast<void>(lock());  // the thread that posted it may be about to unlock
    unlock(hears::stops);
    if (travelling.load(std::memory_order_relaxed) == nullptr) { cancel_await(); }
}

void task_context::cancel_await() noexcept {
    if (awaiting != nullptr) { awaiting->cancel_once(); }
}

task_context::hears task_context::lock() noexcept {
    for (;;) {
        const hears before = listening_.exchange(hears::locked, std::memory_order_acquire);
        if (before != hears::locked) { return before; }
        std::this_thread::yield();
    }
}

/// Takes the node, which is in the inbox or the ready queue of the strand's executor, out of there.
void task_context::fetch_posted() noexcept {
    inside(*on.load(std::memory_order_relaxed)).take_inbox();
    if (ready_node::is_linked()) { ready_node::unlink(); }
}

inner_context::inner_context(executor& here, std::stop_token stop_, task_context* outer_)
    : task_context(&here, std::move(stop_), outer_ != nullptr ? outer_->where : std::source_location(), outer_) {
    listen();
    inside(here).add_context(*this);
}

inner_context::~inner_context() {
    if (awaiting != nullptr) { awaiting->forget_context(); }
}

}  // namespace fluxnet::detail
