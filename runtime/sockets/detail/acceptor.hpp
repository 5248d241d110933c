// SPDX-License-Identifier: BSD-3-Clause
// `acceptor`: a listening socket, the request that accepts for it, and what has been accepted and not taken yet.
//
// Owned by the listener, at an address that stays while the listener moves, or by the reactor once the listener is gone and
// the kernel still holds the request. Bound to the executor of the first wait; used on its thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/back_off.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

class accept_operation;

class FLUXNET_EXPORT acceptor final : public io_operation, private timer_node {
public:
    explicit acceptor(descriptor socket) noexcept : socket_(std::move(socket)) {}

    /// Stops to accept, closes what was not taken, and has an await under way end with `closed`.
    static void end(std::unique_ptr<acceptor> gone) noexcept;

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

private:
    friend accept_operation;

    static constexpr std::size_t most_ahead = 64;

    [[nodiscard]] bool has_news() const noexcept { return !taken_.empty() || failure_; }
    void begin();
    void on_result(int result, unsigned flags) noexcept override;
    void on_time() noexcept override;
    void keep(descriptor connection) noexcept;
    void note_failure(int result) noexcept;

    descriptor socket_;
    executor* home_ = nullptr;  // since the first wait
    accept_operation* waiter_ = nullptr;
    std::deque<descriptor> taken_;
    std::error_code failure_;  // to be told once
    bool told_ = false;        // that there are no descriptors, since the last connection
    bool pausing_ = false;     // cancelled because enough have been accepted
    back_off pauses_{std::chrono::milliseconds(10), std::chrono::milliseconds(1000)};  // without descriptors
};

struct acceptor_end {
    void operator()(acceptor* gone) const noexcept { acceptor::end(std::unique_ptr<acceptor>(gone)); }
};

/// What a listener has.
class acceptor_owner : public std::unique_ptr<acceptor, acceptor_end> {
public:
    explicit acceptor_owner(descriptor socket) : unique_ptr(new acceptor(std::move(socket))) {}

    /// -1 once the listener was moved from.
    [[nodiscard]] int fd() const noexcept { return get() == nullptr ? -1 : get()->fd(); }
};

/// An await of the next connection. Lies in the coroutine's frame.
class FLUXNET_EXPORT accept_operation : public operation {
protected:
    /// `of`: null for a listener that was moved from.
    explicit accept_operation(acceptor* of) noexcept : acceptor_(of) {}
    virtual ~accept_operation() { leave(); }

    [[nodiscard]] bool ready() noexcept;
    void start();
    [[nodiscard]] result<descriptor> take();

private:
    friend acceptor;

    void leave() noexcept;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    acceptor* acceptor_;  // null once the listener is gone
    std::error_code refused_ = no_error;
};

}  // namespace fluxnet::detail
