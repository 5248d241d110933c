// SPDX-License-Identifier: BSD-3-Clause
// `move_awaiter`: hands a handle (async_rx, async_tx, async_raw) over to another executor, and goes on there.
//
//     const result<void> moved = co_await rx.move_to(worker);
//     if (!moved) { report(moved.error().message()); co_return; }
//     const io_result got = co_await rx.recv(burst);  // on worker's thread from here on
//
// Lies in the coroutine's frame; made by the handle's move_to(). Threads: awaited on the handle's executor; it resumes on
// the target's.
//
// The handle leaves its executor before the coroutine travels, and arrives at the target when the coroutine resumes there.
// Between the two it belongs to no executor. It stays so when it cannot arrive: because the target refuses it, or because
// the coroutine's frame is destroyed on its way. What is awaited at such a handle ends with wrong_executor, except
// move_to(), which may be awaited on any executor and binds it again; and it may be destroyed on any thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <stop_token>
#include <string>
#include <system_error>

namespace fluxnet {

namespace detail {
class handle_service;
}

class [[nodiscard]] FLUXNET_EXPORT move_awaiter final : private detail::operation {
public:
    using moves_coroutine = void;  ///< timeout() does not take it; see detail::limitable.

    /// `handle`: null for one that was moved from.
    move_awaiter(detail::handle_service* handle, executor& target) noexcept : handle_(handle), target_(target) {}
    ~move_awaiter();

    [[nodiscard]] bool await_ready() const noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        const std::stop_token* const stop = detail::stop_token_of(waiting);
        const bool stopped = stop != nullptr && stop->stop_requested();  // then neither it nor the handle goes anywhere
        if (begin(stopped)) {
            travel(waiting, target_);
        } else {
            suspend(waiting, [this] { complete(no_error); });
        }
    }

    result<void> await_resume();

private:
    friend detail::handle_service;

    [[nodiscard]] const char* name() const noexcept override { return "move_to"; }
    void cancel() noexcept override {}

    /// Has the handle leave its executor, unless the task was asked to stop; false when it is refused.
    [[nodiscard]] bool begin(bool stopped);

    detail::handle_service*
        handle_;  // null when the handle was moved from, or destroyed on its way; not looked at when it did not leave
    executor& target_;
    std::string step_;  // names the handle, for an error
    std::error_code refusal_;
    bool left_ = false;  // and has not arrived
};

}  // namespace fluxnet
