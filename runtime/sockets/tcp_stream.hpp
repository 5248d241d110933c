// SPDX-License-Identifier: BSD-3-Clause
// `tcp_stream`: a connection of the kernel's TCP.
//
//     result<tcp_stream> connected = co_await tcp_stream::connect(proto::ip_endpoint::parse("127.0.0.1:7").value());
//     if (!connected) { ... connected.error().message() ... }
//     tcp_stream peer = std::move(*connected);
//
// A kernel_stream: reading, writing, ownership and threads are told there. Source: tcp(7), RFC 9293.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/kernel_stream.hpp"
#include "fluxnet/runtime/sockets/tcp_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <string>

namespace fluxnet {

class FLUXNET_EXPORT tcp_stream final : public kernel_stream {
public:
    class [[nodiscard]] connect_awaiter;

    /// Owns a connected TCP socket, which is a blocking one.
    explicit tcp_stream(descriptor socket) : kernel_stream(std::move(socket)) {}

    /// Connects. Completes when the peer has answered, or with an error that names the endpoint: ECONNREFUSED, ENETUNREACH,
    /// EHOSTUNREACH, ETIMEDOUT (the kernel tries for about two minutes; use timeout() for less), EADDRNOTAVAIL,
    /// operation_canceled. Three system calls and the request.
    [[nodiscard]] static connect_awaiter connect(const proto::ip_endpoint& peer, const tcp_options& options = {});

    /// Its own end, and the peer's. One system call. 0.0.0.0:0 when the connection is gone.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept;
    [[nodiscard]] proto::ip_endpoint remote_endpoint() const noexcept;
};

class [[nodiscard]] tcp_stream::connect_awaiter final : private detail::transfer {
public:
    connect_awaiter(const proto::ip_endpoint& peer, result<descriptor> socket)
        : socket_(std::move(socket)), address_(peer), peer_(peer) {}

    [[nodiscard]] bool await_ready() const noexcept { return !socket_; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { submit(io_request::connect(socket_->get(), address_.get(), address_.size())); });
    }

    [[nodiscard]] result<tcp_stream> await_resume();

private:
    [[nodiscard]] const char* name() const noexcept override { return "tcp_stream::connect"; }
    void on_result(int result, unsigned) noexcept override { complete(result < 0 ? detail::failure_of(result) : no_error); }

    result<descriptor> socket_;
    const detail::socket_address address_;
    const proto::ip_endpoint peer_;
};

}  // namespace fluxnet
