// SPDX-License-Identifier: BSD-3-Clause
// `driven_executor`, and `driven_operation`, `unawaited_operation`: what a `driver` drives, and what it has in its lists.
//
// Each is linked in place by what owns it, into the lists of one driver; see there for threads.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <boost/intrusive/list.hpp>

#include <source_location>

namespace fluxnet::asio::detail {

class driver;

/// The executor, with what only its driver does.
class driven_executor final : public executor {
public:
    using executor::executor;

    /// Calls `function` as if in the turn that was made last, whose budgets it draws on.
    template <class F>
    void visited(F function) {
        const visit here(*this);
        function();
    }
};

/// By which a task finds the driver of the executor that it runs on.
class driver_link final : public fluxnet::service {
public:
    explicit driver_link(executor&) noexcept {}
    driver* by = nullptr;  // null: somebody else drives the executor
};

/// An operation for whose end a handler of Asio's waits. Linked into one driver when it is to begin in the next turn, and
/// when its handler is to be told.
class driven_operation : public boost::intrusive::list_base_hook<> {
public:
    /// Keeps the context from running out of work until it is sent off. An operation that waits for the turn of the round in
    /// which it begins does without.
    virtual void keep_context() = 0;

    /// Tells whether it is worth a try.
    [[nodiscard]] virtual bool may_end_now() noexcept = 0;

    /// Tells whether it has ended without waiting; in a turn.
    [[nodiscard]] virtual bool ends_at_once() noexcept = 0;

    /// Gives itself to a task, which is to be spawned as made at `where`.
    [[nodiscard]] virtual task<void> carry_out(std::source_location& where) = 0;

    /// Has the handler told that the execution was destroyed.
    virtual void give_up() noexcept = 0;

    /// Tells the handler. Destroys the operation, whatever the handler throws.
    virtual void send_off() = 0;

    /// Destroys the operation and its handler.
    virtual void drop() noexcept = 0;

protected:
    driven_operation() = default;
    driven_operation(const driven_operation&) = delete;
    driven_operation& operator=(const driven_operation&) = delete;
    ~driven_operation() = default;
};

/// An operation of Asio's that goes on though what awaited it was destroyed. Linked into one driver until it has ended.
class unawaited_operation : public boost::intrusive::list_base_hook<> {
public:
    /// Destroys what would keep it alive although its context goes.
    virtual void let_go() noexcept = 0;

protected:
    unawaited_operation() = default;
    ~unawaited_operation() = default;
};

}  // namespace fluxnet::asio::detail
