// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/socket.hpp"

#include "fluxnet/runtime/sockets/detail/call_error.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cerrno>
#include <utility>

#include <net/if.h>
#include <sys/socket.h>

namespace fluxnet::detail {
namespace {

/// What the user can do about an errno of a socket's set-up.
const char* remedy_for(int number) noexcept {
    switch (number) {
        case EADDRINUSE: return "choose another port, or end the program that holds it (ss -tulnp shows which)";
        case EADDRNOTAVAIL: return "use an address that this host has (ip address shows them), or port 0 for any port";
        case EACCES:
        case EPERM:
            return "use a port from 1024 on, or run with the capability that the call needs (CAP_NET_BIND_SERVICE, "
                   "CAP_NET_RAW)";
        case ECONNREFUSED: return "start the program that is to listen there, or check the port";
        case ENETUNREACH:
        case EHOSTUNREACH: return "check the route to the address (ip route get)";
        case ETIMEDOUT: return "check that the peer is up and no firewall drops its packets";
        case EAFNOSUPPORT: return "the kernel lacks this kind of address: use the other version of IP";
        case ENODEV: return "use an interface that exists (ip link shows them)";
        case ENAMETOOLONG: return "use a shorter path: 107 bytes at most";
        case ENOENT: return "check the path, and that the peer has been started";
        case ECONNRESET: return "the peer has broken the connection: ask there";
        default: return general_remedy(number);
    }
}

const char* remedy_for(errc condition) noexcept {
    switch (condition) {
        case errc::operation_canceled: return "nothing is wrong: the program asked for it";
        case errc::closed: return "use the object that the socket was moved to, or open another";
        case errc::not_in_virtual_time: return "use the in-memory network of the simulation in its place";
        case errc::wrong_executor: return "await it on the executor to which it is bound";
        case errc::handle_in_use: return "let the coroutine that waits on it end first";
        default: return "its name tells what to change";
    }
}

proto::ip_endpoint ask(int fd, int (*call)(int, sockaddr*, socklen_t*) noexcept) noexcept {
    socket_address address;
    if (call(fd, address.data(), &address.size()) != 0) { return {}; }
    return address.endpoint();
}

}  // namespace

error socket_error(std::error_code code, std::string step) {
    if (code.category() == std::system_category()) { return socket_error(code.value(), std::move(step)); }
    const char* const remedy =
        code.category() == flux_category() ? remedy_for(static_cast<errc>(code.value())) : "its name tells what to change";
    return {code, std::move(step), code.message(), remedy};
}

error socket_error(int number, std::string step) {
    return call_error(number, std::move(step), remedy_for(number));
}

result<descriptor> make_socket(int family, int type, int protocol, const std::string& purpose) {
    descriptor socket(above_streams(::socket(family, type | SOCK_CLOEXEC, protocol)));
    if (!socket) { return socket_error(errno, purpose + ": make a socket"); }
    return socket;
}

result<void> set_options(int fd, std::initializer_list<socket_option> options, const std::string& purpose) {
    for (const socket_option& each : options) {
        if (!each.wanted) { continue; }
        // Of buffers the kernel takes a negative number for the least that it knows.
        if (each.value >= 0 && ::setsockopt(fd, each.level, each.option, &each.value, sizeof each.value) == 0) { continue; }
        const int why = each.value < 0 ? EINVAL : errno;
        return socket_error(why, purpose + ": set " + each.name + " to " + std::to_string(each.value));
    }
    return {};
}

result<void> bind_to_interface(int fd, std::string_view interface, const std::string& purpose) {
    const std::string name(interface);
    const std::string step = purpose + ": bind to interface " + name;
    if (name.size() >= IFNAMSIZ) { return socket_error(ENODEV, step); }
    const auto size = static_cast<socklen_t>(name.size() + 1);
    if (::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name.c_str(), size) == 0) { return {}; }
    return socket_error(errno, step);
}

result<void> bind_to(int fd, const socket_address& address, const std::string& purpose) {
    if (::bind(fd, &address.get(), address.size()) == 0) { return {}; }
    return socket_error(errno, purpose + ": bind");
}

proto::ip_endpoint endpoint_of(int fd) noexcept {
    return ask(fd, ::getsockname);
}

proto::ip_endpoint peer_of(int fd) noexcept {
    return ask(fd, ::getpeername);
}

}  // namespace fluxnet::detail
