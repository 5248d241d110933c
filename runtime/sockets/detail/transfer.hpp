// SPDX-License-Identifier: BSD-3-Clause
// `transfer`: the common part of the awaiters whose work is one completion operation.
//
// Lies in the coroutine's frame; used on the executor's thread. What it hands to the kernel refers to the caller's memory,
// so its destructor waits until the kernel has let go of that.
#pragma once

#include "fluxnet/runtime/core/detail/failure_of.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

namespace fluxnet::detail {

class transfer : public operation, public io_operation {
protected:
    transfer() = default;
    ~transfer() { let_go(); }

    /// Hands a request to the reactor of the executor that the coroutine waits on.
    void submit(const io_request& request) { inside(home_executor()).reactor().submit(*this, request); }

    /// Returns when the kernel has let go of the request; its result is not told.
    void let_go() noexcept {
        if (io_operation::pending()) { inside(home_executor()).reactor().cancel_now(*this); }
    }

    /// Asks the kernel to let go of the request soon; its result is told.
    void withdraw() noexcept { inside(home_executor()).reactor().cancel(*this); }

    // The last completion completes the operation.
    void cancel() noexcept override { withdraw(); }
};

}  // namespace fluxnet::detail
