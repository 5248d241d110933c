// SPDX-License-Identifier: BSD-3-Clause
// `unix_listener`, `unix_seqpacket_listener`: where programs of the same machine connect to.
//
//     unix_listener door = unix_listener::listen(unix_address("@service")).value();
//     result<unix_stream> next = co_await door.accept();
//
// Accepts ahead, is bound to an executor, and meets a lack of descriptors as tcp_listener does. The file of a path stays
// when the listener goes: whoever made it removes it (unlink(2)).
//
// Threads: that of the executor of the first accept(). Source: unix(7).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/sockets/accept_awaiter.hpp"
#include "fluxnet/runtime/sockets/detail/acceptor.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <type_traits>
#include <utility>

namespace fluxnet {

namespace detail {

[[nodiscard]] FLUXNET_EXPORT result<descriptor> listen_unix(int type, const unix_address& at, int backlog);
[[nodiscard]] FLUXNET_EXPORT unix_address local_address_of(int fd);

}  // namespace detail

/// See unix_listener, which is a model of the concept `listener`. `Socket`: what accept() gives.
template <class Socket>
class basic_unix_listener {
public:
    using accept_awaiter = fluxnet::accept_awaiter<Socket>;

    /// Listens. Errors: EADDRINUSE (the file is there: unlink it first if nobody serves it), ENOENT, EACCES, ENAMETOOLONG.
    [[nodiscard]] static result<basic_unix_listener> listen(const unix_address& at, int backlog = 4096) {
        constexpr int type = std::is_same_v<Socket, unix_stream> ? SOCK_STREAM : SOCK_SEQPACKET;
        result<descriptor> socket = detail::listen_unix(type, at, backlog);
        if (!socket) { return std::move(socket).error(); }
        return basic_unix_listener(std::move(*socket));
    }

    /// Owns a listening socket, which is a blocking one.
    explicit basic_unix_listener(descriptor socket) : acceptor_(std::move(socket)) {}

    /// Completes with the next connection, in the order in which they came. Errors: as tcp_listener::accept().
    [[nodiscard]] accept_awaiter accept() noexcept { return {acceptor_.get(), "unix_listener::accept"}; }

    /// Where it listens. One system call.
    [[nodiscard]] unix_address local_address() const { return detail::local_address_of(fd()); }

    /// The socket's number, for options; it stays the listener's. -1 once it was moved from: accept()
    /// says `closed` then.
    [[nodiscard]] int fd() const noexcept { return acceptor_.fd(); }

private:
    detail::acceptor_owner acceptor_;
};

using unix_listener = basic_unix_listener<unix_stream>;
using unix_seqpacket_listener = basic_unix_listener<unix_seqpacket>;

}  // namespace fluxnet
