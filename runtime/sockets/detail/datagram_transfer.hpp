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

/// The part of an await that has to do with the socket's state: its place there as the reader or the writer.
class place_at_socket {
public:
    /// `at`: null for a socket that was moved from. `slot`: &socket_state::reader or writer.
    place_at_socket(socket_state* at, socket_await* socket_state::*slot) noexcept : state_(at), slot_(slot) {}

    /// Why the place cannot be had: the socket is gone, or another await has it.
    [[nodiscard]] std::error_code refusal() const noexcept {
        if (state_ == nullptr) [[unlikely]] { return errc::closed; }
        return state_->*slot_ == nullptr ? no_error : make_error_code(errc::handle_in_use);
    }
    void take(socket_await& by) noexcept { state_->*slot_ = mine_ = &by; }
    /// Gives the place back, if it was taken and the socket is there.
    void leave() noexcept {
        if (state_ != nullptr && mine_ != nullptr) { state_->*slot_ = nullptr; }
        mine_ = nullptr;
    }
    /// The socket is going.
    void lose() noexcept { state_ = nullptr; }
    [[nodiscard]] bool lost() const noexcept { return state_ == nullptr; }

private:
    socket_state* state_;
    socket_await* socket_state::*slot_;
    socket_await* mine_ = nullptr;
};

class FLUXNET_EXPORT datagram_transfer : public stream_transfer {
public:
    [[nodiscard]] bool await_ready() noexcept {
        refused_ = place_.refusal();
        return static_cast<bool>(refused_);
    }

protected:
    datagram_transfer(socket_state* at, std::span<std::byte> into) noexcept;
    /// `segment`: 0, or the size of the datagrams that the kernel is to make of it.
    datagram_transfer(socket_state* at, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                      std::uint16_t segment) noexcept;
    ~datagram_transfer() { place_.leave(); }

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
    readiness_transfer(socket_state* at, socket_await* socket_state::*slot) noexcept : fd_(fd_of(at)), place_(at, slot) {}
    ~readiness_transfer();

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
