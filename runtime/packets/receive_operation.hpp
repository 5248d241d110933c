// SPDX-License-Identifier: BSD-3-Clause
// `receive_operation`: the common part of the awaiters that take packets out of an RX ring when they resume.
//
// Lies in the coroutine's frame; used on the executor's thread. It waits at a receive_service, one at a time, from its
// suspension until it resumes, is cancelled or is destroyed. What it receives leaves the ring only when it resumes, so a
// cancelled receive has taken nothing.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <coroutine>
#include <system_error>

namespace fluxnet::detail {

class receive_service;

class FLUXNET_EXPORT receive_operation : public operation {
protected:
    /// `service`: null for a handle that was moved from; the operation waits nowhere then, and end_wait() says `closed`.
    explicit receive_operation(receive_service* service) noexcept : service_(service) {}
    virtual ~receive_operation();

    /// The body of await_suspend(). Without `room` for anything it only lets others run.
    template <class Promise>
    void suspend_and_wait(std::coroutine_handle<Promise> waiting, bool room) {
        // Given up, it does not wait at the service, whose end it would not hear of.
        suspend(
            waiting, [this, room] { wait(room); }, [this] { service_ = nullptr; });
    }

    /// The body of await_resume() before anything is taken: ends the wait and tells why nothing is to be taken.
    std::error_code end_wait() noexcept;

    [[nodiscard]] bool has_service() const noexcept { return service_ != nullptr; }
    /// The service, if there is one; valid before the wait, and after an end_wait() without an error.
    [[nodiscard]] receive_service& service() const noexcept { return *service_; }

private:
    friend receive_service;

    void wait(bool room) noexcept;
    void cancel() noexcept override;
    void lose_handle() noexcept;

    receive_service* service_;  // null once the handle is gone, or the wait was cancelled or refused
};

}  // namespace fluxnet::detail
