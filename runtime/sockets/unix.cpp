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
namespace {

/// As socket_error(), with what is to be done about paths in place of ports.
error unix_error(std::error_code code, std::string step) {
    error made = socket_error(code, std::move(step));
    if (code.category() != std::system_category() && code.category() != std::generic_category()) { return made; }
    switch (code.value()) {
        case EADDRINUSE:
            made.remedy = "choose another path, or remove the file if nobody serves it (ss -xlp shows who does)";
            break;
        case ECONNREFUSED: made.remedy = "start the program that is to listen there, or check the path"; break;
        case EACCES:
        case EPERM: made.remedy = "choose a folder that this process may write to, or change the file's permissions"; break;
        case EINVAL: made.remedy = "name a path without zero octets, or \"@\" and an abstract name"; break;
        default: break;
    }
    return made;
}

error unix_error(int number, std::string step) {
    return unix_error(std::error_code(number, std::system_category()), std::move(step));
}

}  // namespace

result<descriptor> bind_unix(int type, const unix_address& at, const std::string& purpose) {
    if (const std::error_code why = socket_address::unfit(at)) { return unix_error(why.value(), purpose); }
    result<descriptor> socket = make_socket(AF_UNIX, type, 0, purpose);
    if (!socket || at.empty()) { return socket; }
    const socket_address address(at);
    if (::bind(socket->get(), &address.get(), address.size()) != 0) { return unix_error(errno, purpose + ": bind"); }
    return socket;
}

task<result<descriptor>> connect_unix(int type, unix_address peer, const char* name) {
    const std::string purpose = "connect to " + peer.to_string();
    const int unfit = peer.empty() ? EINVAL : socket_address::unfit(peer).value();
    if (unfit != 0) { co_return unix_error(unfit, purpose); }
    result<descriptor> socket = make_socket(AF_UNIX, type, 0, purpose);
    if (!socket) { co_return socket; }
    const socket_address address(peer);
    for (back_off pauses = until_queue_has_room();;) {
        const std::error_code ended = co_await connecting(socket->get(), address, name);
        if (!ended) { co_return socket; }
        if (ended != std::error_code(EAGAIN, std::system_category())) { co_return unix_error(ended, purpose); }
        const std::error_code woken = co_await sleep_for(pauses.next());
        if (woken) { co_return socket_error(woken, purpose); }
    }
}

result<descriptor> listen_unix(int type, const unix_address& at, int backlog) {
    const std::string purpose = "listen at " + at.to_string();
    if (at.empty()) { return unix_error(EINVAL, purpose + "an empty address"); }
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
