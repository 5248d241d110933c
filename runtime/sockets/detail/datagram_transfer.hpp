// SPDX-License-Identifier: BSD-3-Clause
// `datagram_transfer`, `readiness_transfer`: the common parts of awaiters of datagrams: of one by a completion operation, of
// many by a call that is made when the socket is ready.
//
// Both lie in the coroutine's frame; used on the executor's thread.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace fluxnet::detail {

class datagram_transfer : public transfer {
protected:
    datagram_transfer(int fd, std::span<std::byte> into) noexcept;
    /// `segment`: 0, or the size of the datagrams that the kernel is to make of it.
    datagram_transfer(int fd, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                      std::uint16_t segment) noexcept;
    ~datagram_transfer() = default;

    void receive();
    void send() { submit(io_request::send_message(fd_, message_)); }

    /// Ends the await of a datagram and tells how.
    [[nodiscard]] std::error_code end_receive() noexcept;

    [[nodiscard]] std::size_t n() const noexcept { return n_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] proto::ip_endpoint peer() const noexcept { return address_.endpoint(); }
    /// The size of the datagrams that the kernel has joined; that of the only one.
    [[nodiscard]] std::size_t segment() const noexcept;

private:
    void on_result(int result, unsigned flags) noexcept override;

    const int fd_;
    iovec part_;
    socket_address address_;
    msghdr message_{};
    alignas(cmsghdr) std::byte control_[CMSG_SPACE(sizeof(int))] = {};
    std::size_t n_ = 0;
    std::size_t size_ = 0;
};

class readiness_transfer : public operation, public poll_operation {
protected:
    explicit readiness_transfer(int fd) noexcept : fd_(fd) {}
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

    const int fd_;
    short events_ = 0;
    std::error_code ended_;
};

}  // namespace fluxnet::detail
