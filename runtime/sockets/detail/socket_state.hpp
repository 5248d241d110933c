// SPDX-License-Identifier: BSD-3-Clause
// `socket_state`: what a kernel socket and the awaits on it share.
//
// Owned by the stream or datagram socket, at an address that stays while that moves. Used on the thread of the executor on
// which it is awaited. An await under way is noted here; when the socket goes first, its awaits end with `closed`.
#pragma once

#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/receiver.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <boost/intrusive/list.hpp>

#include <memory>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

/// An await on a socket.
class socket_await {
public:
    /// The socket is going: the await ends with `closed`, and looks at the state no more.
    virtual void lose_socket() noexcept = 0;

protected:
    ~socket_await() = default;
};

/// One that is a completion operation.
class stream_transfer : public transfer, public socket_await {
protected:
    ~stream_transfer() = default;
};

/// One that waits for what the executor receives ahead.
class arrival_wait : public operation, public socket_await, public receiver_waiter {
protected:
    ~arrival_wait() = default;
};

/// The place of an await that others of its kind are allowed beside.
struct shared_place : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    socket_await* holder = nullptr;
};

class socket_state {
public:
    explicit socket_state(descriptor socket) noexcept : socket_(std::move(socket)) {}
    socket_state(const socket_state&) = delete;
    socket_state& operator=(const socket_state&) = delete;
    ~socket_state() {
        if (reader != nullptr) { std::exchange(reader, nullptr)->lose_socket(); }
        if (writer != nullptr) { std::exchange(writer, nullptr)->lose_socket(); }
        while (!senders.empty()) {
            socket_await* const one = senders.front().holder;
            senders.pop_front();
            one->lose_socket();
        }
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

    socket_await* reader = nullptr;  // the awaits under way
    socket_await* writer = nullptr;
    boost::intrusive::list<shared_place, boost::intrusive::constant_time_size<false>> senders;  // of datagrams
    std::unique_ptr<receiver> pieces;  // once somebody has borrowed
    bool write_ended = false;          // by this end
    bool joins_datagrams = false;      // UDP_GRO

private:
    descriptor socket_;
};

/// Why a stream cannot be read here and now, by whichever call. `state`: null once the stream was moved from.
inline std::error_code why_not_read(const socket_state* state) noexcept {
    if (state == nullptr) [[unlikely]] { return errc::closed; }
    if (state->reader != nullptr) { return errc::handle_in_use; }
    const executor* const here = executor::current();
    if (state->pieces && here != nullptr && !state->pieces->is_on(*here)) { return errc::wrong_executor; }
    return no_error;
}

/// The number of a socket's descriptor; -1 once the socket was moved from.
inline int fd_of(const socket_state* state) noexcept {
    return state == nullptr ? -1 : state->fd();
}

}  // namespace fluxnet::detail
