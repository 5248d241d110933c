// SPDX-License-Identifier: BSD-3-Clause
// `receive_service`: the common part of the receiving handles: the waiting coroutine, the poll on the socket, the link's
// news.
//
// Owned by a handle, at an address that stays while the handle moves; used on the executor's thread, or while no thread runs
// it. The poll is one-shot and belongs to the service, not to an await: it is armed only when somebody waits, the ring is
// dry and the thread is about to sleep, and a cancelled receive leaves it to the next one. What is in the ring, and what is
// to be tidied up each turn, is the derived class's.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/detail/handle_service.hpp"
#include "fluxnet/runtime/packets/receive_operation.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/program.hpp"

#include <cstdint>
#include <system_error>

#include <poll.h>

namespace fluxnet::detail {

class receive_service : public handle_service, private poll_operation {
public:
    /// Keeps a receive that waits, of a coroutine on `here`. Errors: wrong_executor; handle_in_use, when another one waits.
    [[nodiscard]] std::error_code wait(receive_operation& waiter, const executor& here) noexcept {
        if (!is_on(here)) { return errc::wrong_executor; }
        if (waiter_ != nullptr) [[unlikely]] { return errc::handle_in_use; }
        // If packets are there already (the coroutine waits only because its turn's budget is spent), end_turn() completes
        // it.
        waiter_ = &waiter;
        return no_error;
    }

    void forget(receive_operation& waiter) noexcept {
        if (waiter_ == &waiter) { waiter_ = nullptr; }
    }

    /// Times that the socket's poll woke the executor.
    [[nodiscard]] std::uint64_t wakeups() const noexcept { return wakeups_; }

protected:
    /// `redirect` may be null. `announced`: rtnetlink knows the interface. Throws std::system_error when no rtnetlink socket
    /// can be had.
    receive_service(executor& on, const interface_info& interface, bool announced, const program* redirect);
    ~receive_service() = default;

    /// Ends an await under way with `closed`; the first step of the derived destructor.
    void close() noexcept;

    [[nodiscard]] receive_operation* waiter() const noexcept { return waiter_; }
    [[nodiscard]] bool vacant() const noexcept { return waiter_ == nullptr; }
    [[nodiscard]] bool pending() const noexcept { return waiter_ != nullptr && waiter_->waiting(); }

    /// Ends the wait of the pending receive, if there is one. It stays `waiter_` until its coroutine resumes or is
    /// destroyed, because it takes its packets from this service then.
    void finish() noexcept {
        if (waiter_ != nullptr) { waiter_->complete(no_error); }
    }

    /// Sees to it that packets end the sleep that comes; for before_sleep(). In virtual time no descriptor does, so packets
    /// that are there already, as `available` has it, forbid the sleep.
    template <class Socket, class Available>
    void watch(Socket& socket, Available available) {
        if (inside(*executor_).clock() != nullptr) {
            if (available() != 0) { executor_->wake(); }
        } else if (!armed()) {
            socket.prepare_wait();
            inside(*executor_).reactor().arm(*this, socket.fd(), POLLIN);
        }
    }

    void after_sleep() noexcept override {
        if (inside(*executor_).clock() != nullptr) { serve(); }  // ready together with the timers of this time
    }

    /// Takes the poll back from the kernel, if it is armed.
    void disarm() noexcept;

    void after_leaving() noexcept override { waiter_ = &nobody(); }
    void after_arriving() noexcept override { waiter_ = nullptr; }

private:
    class no_operation;

    /// Stands where the waiter would while the handle belongs to no executor, so that no await begins without a look.
    [[nodiscard]] static receive_operation& nobody() noexcept;

    [[nodiscard]] bool in_use() const noexcept override { return waiter_ != nullptr && waiter_ != &nobody(); }

    /// Finishes the receive that is pending when there are packets for it, or never will be.
    virtual void serve() noexcept = 0;
    /// Ends the handle for a reason that the link monitor found.
    virtual void fail(errc why) noexcept = 0;
    /// Reads and so clears the socket's pending error.
    virtual void take_socket_error() noexcept = 0;

    void on_ready(int result) noexcept override;
    void on_interface_gone() noexcept override { lose(errc::interface_gone); }
    void on_program_lost() noexcept override { lose(errc::program_detached); }
    void on_link(bool) noexcept override {}
    void lose(errc why) noexcept;

    receive_operation* waiter_ = nullptr;  // from its suspension until it resumes, is cancelled or is destroyed
    std::uint64_t wakeups_ = 0;
};

}  // namespace fluxnet::detail
