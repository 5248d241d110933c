// SPDX-License-Identifier: BSD-3-Clause
// `io_attempts`: makes the calls of completion operations for a reactor whose kernel only tells of readiness, and for one
// whose kernel lacks the request.
//
// Part of a reactor and used on its thread. Each held operation is in one of two places: to be tried at the next turn, or
// its descriptor is watched by a poll operation that lies in it. A call is made so that it does not block, although the
// descriptor is a blocking one; a file on a disk is read and written there and then.
#pragma once

#include "fluxnet/runtime/reactor/detail/io_completions.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"

#include <optional>
#include <vector>

namespace fluxnet {
class reactor;
}

namespace fluxnet::detail {

class io_attempts {
public:
    io_attempts(reactor& owner, io_completions& completions) noexcept : owner_(owner), completions_(completions) {}

    /// The operation, which is held, is tried at the next turn.
    void add(io_operation& operation);

    /// The operation, which is held, is tried now, and whenever its descriptor is ready: for a reactor that does not call
    /// try_all().
    void try_now(io_operation& operation) noexcept;

    /// Tells whether the operation has been added since it was last idle.
    [[nodiscard]] static bool has(const io_operation& operation) noexcept { return operation.attempts_ != nullptr; }

    /// Makes the call of a send; returns its result, or nothing if it would have to wait.
    [[nodiscard]] static std::optional<int> send_now(const io_request& request) noexcept;

    /// Takes it out, wherever it is; it stays held.
    void remove(io_operation& operation) noexcept;

    /// Ends all with ECANCELED, for a reactor that takes their polls back itself.
    void end_all() noexcept;

    /// Tries those whose turn has come.
    void try_all() noexcept;

    [[nodiscard]] bool empty() const noexcept { return next_.empty(); }

private:
    friend class fluxnet::io_operation;

    /// What a call returned, or a negated errno; and with_buffer() of where it received into, or 0.
    struct outcome {
        int result;
        unsigned buffer;
    };

    static outcome make_call(const io_request& request, bool told) noexcept;

    /// Tells whether a receive has emptied its socket.
    static bool has_emptied(io_operation& operation, int result) noexcept;

    /// Makes the call; `told`: the events that the descriptor has just been said to have, 0 for none.
    void attempt(io_operation& operation, int told) noexcept;
    void watch(io_operation& operation) noexcept;
    /// The same when the descriptor has been received from until it was empty.
    void watch_emptied(io_operation& operation, int told) noexcept;
    void ready(io_operation& operation, int result) noexcept;

    reactor& owner_;
    io_completions& completions_;
    std::vector<io_operation*> next_;  // null: removed
    bool only_watches_ = false;        // the reactor does not call try_all()
};

}  // namespace fluxnet::detail
