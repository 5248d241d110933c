// SPDX-License-Identifier: BSD-3-Clause
// `descriptor_awaiter`: waits until a descriptor is ready. What readable() and writable() return.
//
// Lies in the awaiting coroutine's frame; the descriptor stays the caller's. Threads: awaited on an executor, which resumes
// the coroutine.
#pragma once

#include "fluxnet/runtime/core/detail/failure_of.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <coroutine>

namespace fluxnet {

class [[nodiscard]] descriptor_awaiter final : private detail::operation, private poll_operation {
public:
    /// `events`: those of poll(2). `name`: the call that makes the awaiter, a literal.
    descriptor_awaiter(int fd, short events, const char* name) noexcept : name_(name), fd_(fd), events_(events) {}
    ~descriptor_awaiter() {
        if (poll_operation::armed()) { detail::inside(home_executor()).reactor().disarm_now(*this); }
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(
            waiting, [this] { detail::inside(home_executor()).reactor().arm(*this, fd_, static_cast<unsigned>(events_)); });
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return name_; }
    void on_ready(int result) noexcept override { complete(result < 0 ? detail::failure_of(result) : no_error); }

    // The kernel's completion of the cancelled poll completes the operation.
    void cancel() noexcept override { detail::inside(home_executor()).reactor().disarm(*this); }

    const char* const name_;
    const int fd_;
    const short events_;
};

}  // namespace fluxnet
