// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/task.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <new>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

void task_base::destroy_chain(promise_base& outermost) const noexcept {
    promise_base* innermost = &outermost;
    while (innermost->awaited_ != nullptr) { innermost = innermost->awaited_; }
    while (innermost != &outermost) {
        promise_base* const awaiter = innermost->awaiter_;
        // Its owner lies in the awaiter's frame, and finds nothing to destroy when that frame goes.
        std::exchange(innermost->owner_->coroutine_, {}).destroy();
        innermost = awaiter;
    }
    coroutine_.destroy();
}

// Apart from the promise, for where compilers transfer without a call it is hardly ever needed. Without memory the stack
// grows.
std::coroutine_handle<> promise_base::unwind_to(std::coroutine_handle<> next) noexcept {
    if (unwinding_ == nullptr) {
        try {
            unwinding_ = new (frame_cache::here().take(sizeof(ready_coroutine))) ready_coroutine;
        } catch (const std::bad_alloc&) { return next; }
    }
    if (unwinding_->is_linked()) { unwinding_->unlink(); }
    unwinding_->coroutine = next;
    return unwind(*unwinding_);
}

void promise_base::drop_unwinding() noexcept {
    unwinding_->~ready_coroutine();
    frame_cache::here().give(unwinding_, sizeof(ready_coroutine));
}

bool make_ready_here(ready_node& node) noexcept {
    executor* const here = executor::current();
    if (here == nullptr) { return false; }
    inside(*here).unwind(node);
    return true;
}

void throw_not_awaitable() {
    throw std::system_error(make_error_code(errc::not_awaitable), "await a task");
}

void throw_no_executor() {
    throw std::system_error(make_error_code(errc::no_executor),
                            "await something outside a coroutine that an executor runs (spawn() or sync_wait())");
}

void throw_wrong_executor() {
    throw std::system_error(make_error_code(errc::wrong_executor),
                            "use a scope on another executor than the one where its children were spawned");
}

}  // namespace fluxnet::detail
