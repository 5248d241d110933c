// SPDX-License-Identifier: BSD-3-Clause
// `tcp_listener`: where peers connect to by the kernel's TCP.
//
//     tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:8080").value()).value();
//     for (;;) {
//         result<tcp_stream> next = co_await door.accept();
//         if (!next) { ... operation_canceled, or no descriptors: that is told once ... }
//         children.spawn(serve(std::move(*next)));
//     }
//
// A model of the concept `listener`. Owns its socket. From the first accept() on the executor accepts ahead, up to 64
// connections, by one request for all; these are closed with the listener. A connection that breaks before it is accepted is
// given out all the same where the kernel does so: its first read tells. When there are no descriptors left (EMFILE, ENFILE,
// ENOBUFS, ENOMEM), accept() says so once and then tries again, after 10 milliseconds at first and every second at last, until
// it can go on; connections stay in the backlog.
//
// Threads: that of the executor of the first accept(), which it is bound to. To serve on several executors give each a
// listener of its own with tcp_options::reuse_port, or hand accepted streams over.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/sockets/accept_awaiter.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/acceptor.hpp"
#include "fluxnet/runtime/sockets/tcp_options.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT tcp_listener {
public:
    using accept_awaiter = fluxnet::accept_awaiter<tcp_stream>;

    /// Listens. Port 0 takes a free one, which local_endpoint() tells. Errors name the step, the address and a remedy:
    /// EADDRINUSE, EADDRNOTAVAIL, EACCES. A handful of system calls.
    [[nodiscard]] static result<tcp_listener> listen(const proto::ip_endpoint& at, const tcp_options& options = {});

    /// Owns a listening socket, which is a blocking one: handed over by a service manager, say.
    explicit tcp_listener(descriptor socket) : acceptor_(std::move(socket)) {}

    /// Completes with the next connection, in the order in which they came. Errors: operation_canceled (none was taken),
    /// closed, handle_in_use (another coroutine accepts), wrong_executor, no descriptors (told once, see above).
    [[nodiscard]] accept_awaiter accept() noexcept { return {acceptor_.get(), "tcp_listener::accept"}; }

    /// Where it listens. One system call.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept;

    /// The socket's number, for options; it stays the listener's. -1 once it was moved from: accept()
    /// says `closed` then.
    [[nodiscard]] int fd() const noexcept { return acceptor_.fd(); }

private:
    detail::acceptor_owner acceptor_;
};

}  // namespace fluxnet
