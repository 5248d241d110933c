// SPDX-License-Identifier: BSD-3-Clause
// `io_attempts`: makes the calls of completion operations for a reactor whose kernel only tells of readiness.
//
// Part of a reactor and used on its thread. Each held operation is in one of two places: to be tried at the next turn, or
// its descriptor is watched by a poll operation that lies in it. A call is made so that it does not block, although the
// descriptor is a blocking one; a file on a disk is read and written there and then.
#pragma once

#include "fluxnet/runtime/reactor/detail/io_completions.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"

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

    /// Takes it out, wherever it is; it stays held.
    void remove(io_operation& operation) noexcept;

    /// Tries those whose turn has come.
    void try_all() noexcept;

    [[nodiscard]] bool empty() const noexcept { return next_.empty(); }

private:
    friend class fluxnet::io_operation;

    /// Makes the call; `told`: the descriptor has just been said to be ready.
    void attempt(io_operation& operation, bool told) noexcept;
    void ready(io_operation& operation, int result) noexcept;

    reactor& owner_;
    io_completions& completions_;
    std::vector<io_operation*> next_;  // null: removed
};

}  // namespace fluxnet::detail
