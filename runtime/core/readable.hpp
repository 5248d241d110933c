// SPDX-License-Identifier: BSD-3-Clause
// `readable`: wait until a descriptor has something to read. For kernel sockets, pipes, signalfds and the like.
//
//     if (const std::error_code ec = co_await readable(fd)) { co_return; }   // cancelled, or the kernel refuses it
//
// The descriptor stays the caller's and must stay open until the await has ended. Being readable is a hint: another reader
// may be faster, so read without blocking.
//
// Threads: awaited on an executor, which resumes the coroutine.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <coroutine>
#include <system_error>

#include <poll.h>

namespace fluxnet {

class [[nodiscard]] readable_awaiter final : private detail::operation, private poll_operation {
public:
    explicit readable_awaiter(int fd) noexcept : fd_(fd) {}
    ~readable_awaiter() {
        if (poll_operation::armed()) { detail::inside(home_executor()).reactor().disarm_now(*this); }
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { detail::inside(home_executor()).reactor().arm(*this, fd_, POLLIN); });
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "readable"; }
    void on_ready(int result) noexcept override {
        if (result >= 0) {
            complete(no_error);
        } else if (result == -ECANCELED) {
            complete(errc::operation_canceled);
        } else if (result == refused) {
            complete(errc::not_in_virtual_time);
        } else {
            complete({-result, std::system_category()});
        }
    }

    // The kernel's completion of the cancelled poll completes the operation.
    void cancel() noexcept override { detail::inside(home_executor()).reactor().disarm(*this); }

    int fd_;
};

/// Completes when `fd` is readable or hung up; with operation_canceled when the task is cancelled first; or with the
/// kernel's error; or with not_in_virtual_time. One poll request through the reactor.
[[nodiscard]] inline readable_awaiter readable(int fd) noexcept {
    return readable_awaiter(fd);
}

}  // namespace fluxnet
