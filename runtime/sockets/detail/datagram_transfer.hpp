// SPDX-License-Identifier: BSD-3-Clause
// `datagram_transfer`, `readiness_transfer`: the common parts of awaiters of datagrams: of one by a completion operation, of
// many by a call that is made when the socket is ready.
//
// Both lie in the coroutine's frame; used on the executor's thread. One of each direction may wait at a socket's state.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"
#include "fluxnet/runtime/sockets/detail/message.hpp"
#include "fluxnet/runtime/sockets/detail/socket_state.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace fluxnet::detail {

/// The part of an await that has to do with the socket's state: its place there as the reader or the writer, or as one of
/// the senders of datagrams.
class place_at_socket : private shared_place {
public:
    using slot = socket_await* socket_state::*;
    static constexpr slot among_senders = nullptr;

    /// `at`: null for a socket that was moved from. `where`: &socket_state::reader or writer, or among_senders.
    place_at_socket(socket_state* at, slot where) noexcept : state_(at), slot_(where) {}

    /// Why the place cannot be had: the socket is gone, or another await has it.
    [[nodiscard]] std::error_code refusal() const noexcept {
        if (state_ == nullptr) [[unlikely]] { return errc::closed; }
        const bool taken = slot_ != among_senders && state_->*slot_ != nullptr;
        return taken ? make_error_code(errc::handle_in_use) : no_error;
    }
    void take(socket_await& by) noexcept {
        holder = &by;
        if (slot_ == among_senders) {
            state_->senders.push_back(*this);
        } else {
            state_->*slot_ = &by;
        }
    }
    /// Gives the place back, if it was taken and the socket is there.
    void leave() noexcept {
        const bool mine = state_ != nullptr && holder != nullptr;
        if (mine && slot_ != among_senders) { state_->*slot_ = nullptr; }
        if (is_linked()) { unlink(); }
        holder = nullptr;
    }
    /// The socket is going.
    void lose() noexcept { state_ = nullptr; }
    [[nodiscard]] bool lost() const noexcept { return state_ == nullptr; }

private:
    socket_state* state_;
    const slot slot_;
};

/// Why single datagrams cannot be told apart at a socket, if so.
[[nodiscard]] inline std::error_code refusal_of_single(const socket_state* at) noexcept {
    const bool joined = at != nullptr && at->joins_datagrams;
    return joined ? std::make_error_code(std::errc::operation_not_supported) : std::error_code();
}

class FLUXNET_EXPORT datagram_transfer : public stream_transfer {
public:
    [[nodiscard]] bool await_ready() noexcept {
        if (!refused_) { refused_ = place_.refusal(); }
        return static_cast<bool>(refused_);
    }

protected:
    datagram_transfer(socket_state* at, std::span<std::byte> into) noexcept;
    /// `segment`: 0, or the size of the datagrams that the kernel is to make of it.
    datagram_transfer(socket_state* at, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                      std::uint16_t segment) noexcept;
    ~datagram_transfer() { place_.leave(); }

    /// Has the await end at once with that error; without one it goes on.
    void refuse(std::error_code why) noexcept { refused_ = why; }
    void receive();
    void send();

    /// Ends the await and tells how.
    [[nodiscard]] std::error_code end_transfer() noexcept;
    /// The same for a datagram that was received: message_size when it was cut.
    [[nodiscard]] std::error_code end_receive() noexcept;

    [[nodiscard]] std::size_t n() const noexcept { return n_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] proto::ip_endpoint peer() noexcept { return message_.peer().endpoint(); }
    /// The size of the datagrams that the kernel has joined; that of the only one.
    [[nodiscard]] std::size_t segment() noexcept;

private:
    void on_result(int result, unsigned flags) noexcept override;
    void lose_socket() noexcept override;

    const int fd_;
    place_at_socket place_;
    std::error_code refused_ = no_error;
    message<CMSG_SPACE(sizeof(int))> message_;
    std::size_t n_ = 0;
    std::size_t size_ = 0;
};

class FLUXNET_EXPORT readiness_transfer : public operation, public poll_operation, public socket_await {
protected:
    readiness_transfer(socket_state* at, place_at_socket::slot where) noexcept : fd_(fd_of(at)), place_(at, where) {}
    ~readiness_transfer();

    /// Has the await end at once with that error; without one it goes on.
    void refuse(std::error_code why) noexcept { ended_ = why; }
    /// The body of await_ready(): makes an attempt if the turn's budget allows it.
    [[nodiscard]] bool ready_at_once() noexcept;
    void begin_wait(short events);
    [[nodiscard]] io_result end_wait(std::size_t n) noexcept;

    /// Makes the call; returns 0 when the await is over, -EAGAIN when the socket has to become ready first, or an error.
    [[nodiscard]] virtual int attempt() noexcept = 0;

    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    void on_ready(int result) noexcept override;
    void cancel() noexcept override;
    void lose_socket() noexcept override;

    const int fd_;
    place_at_socket place_;
    short events_ = 0;
    bool stopping_ = false;
    std::error_code ended_;
};

}  // namespace fluxnet::detail
