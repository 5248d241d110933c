// SPDX-License-Identifier: BSD-3-Clause
// `stream_state`: what a kernel stream and the awaits on it share.
//
// Owned by the stream, at an address that stays while the stream moves. Used on the thread of the executor on which it is
// awaited. An await under way is noted here; when the stream goes first, its awaits end with `closed`.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/receiver.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <memory>
#include <utility>

namespace fluxnet::detail {

/// An await on a stream, or on whatever else it may outlive.
class stream_transfer : public transfer {
public:
    /// What it waits at is going: it ends with `closed`, and looks at that no more.
    virtual void lose_stream() noexcept = 0;

protected:
    ~stream_transfer() = default;
};

class stream_state {
public:
    explicit stream_state(descriptor socket) noexcept : socket_(std::move(socket)) {}
    stream_state(const stream_state&) = delete;
    stream_state& operator=(const stream_state&) = delete;
    ~stream_state() {
        if (reader != nullptr) { std::exchange(reader, nullptr)->lose_stream(); }
        if (writer != nullptr) { std::exchange(writer, nullptr)->lose_stream(); }
        if (pieces) { receiver::end(std::move(pieces)); }
    }

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    /// Gives the descriptor away.
    [[nodiscard]] descriptor release() noexcept { return std::move(socket_); }

    /// The multi-shot receive; made for the calling thread's executor at the first call.
    [[nodiscard]] receiver& borrower() {
        if (!pieces) { pieces = std::make_unique<receiver>(*executor::current(), fd()); }
        return *pieces;
    }

    stream_transfer* reader = nullptr;  // the awaits under way
    stream_transfer* writer = nullptr;
    std::unique_ptr<receiver> pieces;  // once somebody has borrowed

private:
    descriptor socket_;
};

}  // namespace fluxnet::detail
