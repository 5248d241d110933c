// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/detail/back_off.hpp"
#include "fluxnet/runtime/sockets/detail/connecting.hpp"
#include "fluxnet/runtime/sockets/detail/socket.hpp"
#include "fluxnet/runtime/sockets/unix_datagram.hpp"
#include "fluxnet/runtime/sockets/unix_listener.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cerrno>
#include <string>

#include <sys/socket.h>

namespace fluxnet {
namespace {

result<std::pair<descriptor, descriptor>> make_pair_of(int type) {
    int made[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, made) != 0) {
        return detail::socket_error(errno, "make a pair of Unix sockets");
    }
    descriptor first(detail::above_streams(made[0]));
    const int refusal = errno;
    descriptor second(detail::above_streams(made[1]));
    if (!first || !second) { return detail::socket_error(first ? errno : refusal, "make a pair of Unix sockets"); }
    return std::pair(std::move(first), std::move(second));
}

template <class Socket>
result<std::pair<Socket, Socket>> pair_of(int type) {
    result<std::pair<descriptor, descriptor>> made = make_pair_of(type);
    if (!made) { return std::move(made).error(); }
    return std::pair(Socket(std::move(made->first)), Socket(std::move(made->second)));
}

template <class Socket>
task<result<Socket>> connect_to(int type, unix_address peer, const char* name) {
    result<descriptor> socket = co_await detail::connect_unix(type, std::move(peer), name);
    if (!socket) { co_return std::move(socket).error(); }
    co_return Socket(std::move(*socket));
}

}  // namespace

namespace detail {

result<descriptor> bind_unix(int type, const unix_address& at, const std::string& purpose) {
    if (at.to_string().size() > unix_address::most) { return socket_error(ENAMETOOLONG, purpose); }
    result<descriptor> socket = make_socket(AF_UNIX, type, 0, purpose);
    if (!socket || at.empty()) { return socket; }
    if (auto bound = bind_to(socket->get(), socket_address(at), purpose); !bound) { return std::move(bound).error(); }
    return socket;
}

task<result<descriptor>> connect_unix(int type, unix_address peer, const char* name) {
    const std::string purpose = "connect to " + peer.to_string();
    if (peer.empty() || peer.to_string().size() > unix_address::most) {
        co_return socket_error(peer.empty() ? EINVAL : ENAMETOOLONG, purpose);
    }
    result<descriptor> socket = make_socket(AF_UNIX, type, 0, purpose);
    if (!socket) { co_return socket; }
    const socket_address address(peer);
    for (back_off pauses = until_queue_has_room();;) {
        const std::error_code ended = co_await connecting(socket->get(), address, name);
        if (!ended) { co_return socket; }
        if (ended != std::error_code(EAGAIN, std::system_category())) { co_return socket_error(ended, purpose); }
        const std::error_code woken = co_await sleep_for(pauses.next());
        if (woken) { co_return socket_error(woken, purpose); }
    }
}

result<descriptor> listen_unix(int type, const unix_address& at, int backlog) {
    const std::string purpose = "listen at " + at.to_string();
    if (at.empty()) { return socket_error(EINVAL, purpose + "an empty address"); }
    result<descriptor> socket = bind_unix(type, at, purpose);
    if (socket && ::listen(socket->get(), backlog) != 0) { return socket_error(errno, purpose); }
    return socket;
}

unix_address local_address_of(int fd) {
    socket_address address;
    return ::getsockname(fd, address.data(), &address.size()) == 0 ? address.local() : unix_address();
}

}  // namespace detail

task<result<unix_stream>> unix_stream::connect(unix_address peer) {
    return connect_to<unix_stream>(SOCK_STREAM, std::move(peer), "unix_stream::connect");
}

result<std::pair<unix_stream, unix_stream>> unix_stream::pair() {
    return pair_of<unix_stream>(SOCK_STREAM);
}

task<result<unix_seqpacket>> unix_seqpacket::connect(unix_address peer) {
    return connect_to<unix_seqpacket>(SOCK_SEQPACKET, std::move(peer), "unix_seqpacket::connect");
}

result<std::pair<unix_seqpacket, unix_seqpacket>> unix_seqpacket::pair() {
    return pair_of<unix_seqpacket>(SOCK_SEQPACKET);
}

result<unix_datagram> unix_datagram::bind(const unix_address& at) {
    result<descriptor> socket = detail::bind_unix(SOCK_DGRAM, at, "receive datagrams at " + at.to_string());
    if (!socket) { return std::move(socket).error(); }
    return unix_datagram(std::move(*socket));
}

unix_address unix_datagram::local_address() const {
    return detail::local_address_of(fd());
}

}  // namespace fluxnet
