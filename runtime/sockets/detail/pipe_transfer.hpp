// SPDX-License-Identifier: BSD-3-Clause
// `pipe_transfer`: the common part of the awaiters that read and write pipes.
//
// Lies in the coroutine's frame; used on the executor's thread. The calls are made there, in ways that do not wait.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/sockets/detail/datagram_transfer.hpp"
#include "fluxnet/runtime/sockets/detail/socket_state.hpp"

#include <cstddef>
#include <span>

namespace fluxnet::detail {

class FLUXNET_EXPORT pipe_transfer : public readiness_transfer {
protected:
    /// `slot`: &socket_state::reader or writer. `size`: of the span.
    pipe_transfer(socket_state* at, socket_await* socket_state::*slot, std::size_t size) noexcept
        : readiness_transfer(at, slot), empty_(size == 0) {}

    /// The body of await_ready().
    [[nodiscard]] bool over_at_once() noexcept;
    void start(short events);
    [[nodiscard]] io_result end_transfer() noexcept;

    /// These return the number of bytes, or a negated errno: EAGAIN when the descriptor is not ready. A write takes at least
    /// one byte, and raises no SIGPIPE.
    [[nodiscard]] int read_now(std::span<std::byte> into) const noexcept;
    [[nodiscard]] int write_now(std::span<const std::byte> from) const noexcept;

    std::size_t n_ = 0;

private:
    const bool empty_;
    bool closed_ = false;  // before it began
};

}  // namespace fluxnet::detail
