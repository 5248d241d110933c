// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/socket.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <cerrno>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace fluxnet {
namespace {

/// Sets what both kinds of socket are asked for. Accepted sockets inherit it from their listener.
result<void> set_options(int fd, const tcp_options& options, const std::string& purpose) {
    result<void> set =
        detail::set_options(fd,
                            {{options.no_delay, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"},
                             {options.keep_alive, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
                             {options.send_buffer != 0, SOL_SOCKET, SO_SNDBUF, options.send_buffer, "SO_SNDBUF"},
                             {options.receive_buffer != 0, SOL_SOCKET, SO_RCVBUF, options.receive_buffer, "SO_RCVBUF"}},
                            purpose);
    if (!set || options.interface.empty()) { return set; }
    return detail::bind_to_interface(fd, options.interface, purpose);
}

result<descriptor> prepare(const proto::ip_endpoint& peer, const tcp_options& options) {
    const std::string purpose = "connect to " + peer.to_string();
    result<descriptor> socket = detail::make_socket(detail::family_of(peer), SOCK_STREAM, 0, purpose);
    if (!socket) { return socket; }
    if (auto set = set_options(socket->get(), options, purpose); !set) { return std::move(set).error(); }
    if (options.from) {
        const std::string from = purpose + " from " + options.from->to_string();
        if (options.from->address.is_v4() != peer.address.is_v4()) {
            return error{std::make_error_code(std::errc::address_family_not_supported), from,
                         "the addresses are of two versions of IP",
                         "give tcp_options::from an address of the peer's version"};
        }
        if (auto bound = detail::bind_to(socket->get(), detail::socket_address(*options.from), from); !bound) {
            return std::move(bound).error();
        }
    }
    return socket;
}

}  // namespace

tcp_stream::connect_awaiter tcp_stream::connect(const proto::ip_endpoint& peer, const tcp_options& options) {
    return {peer, prepare(peer, options)};
}

result<tcp_stream> tcp_stream::connect_awaiter::await_resume() {
    if (!socket_) { return std::move(socket_).error(); }
    if (const std::error_code ended = finish()) { return detail::socket_error(ended, "connect to " + peer_.to_string()); }
    return tcp_stream(std::move(*socket_));
}

proto::ip_endpoint tcp_stream::local_endpoint() const noexcept {
    return detail::endpoint_of(fd());
}

proto::ip_endpoint tcp_stream::remote_endpoint() const noexcept {
    return detail::peer_of(fd());
}

result<tcp_listener> tcp_listener::listen(const proto::ip_endpoint& at, const tcp_options& options) {
    const std::string purpose = "listen at " + at.to_string();
    result<descriptor> socket = detail::make_socket(detail::family_of(at), SOCK_STREAM, 0, purpose);
    if (!socket) { return std::move(socket).error(); }
    const int fd = socket->get();
    result<void> done = set_options(fd, options, purpose);
    if (done) {
        done =
            detail::set_options(fd,
                                {{options.reuse_address, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
                                 {options.reuse_port, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"},
                                 {at.address.is_v6(), IPPROTO_IPV6, IPV6_V6ONLY, options.only_ipv6 ? 1 : 0, "IPV6_V6ONLY"}},
                                purpose);
    }
    if (done) { done = detail::bind_to(fd, detail::socket_address(at), purpose); }
    if (!done) { return std::move(done).error(); }
    if (::listen(fd, options.backlog) != 0) { return detail::socket_error(errno, purpose); }
    return tcp_listener(std::move(*socket));
}

proto::ip_endpoint tcp_listener::local_endpoint() const noexcept {
    return detail::endpoint_of(fd());
}

}  // namespace fluxnet
