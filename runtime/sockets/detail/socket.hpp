// SPDX-License-Identifier: BSD-3-Clause
// How the sockets of this room are made, and what their set-up answers in words.
//
// Functions without state. Used on any thread.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

namespace fluxnet::detail {

/// An error of a socket's set-up: `step` failed with `code`. The cause and the remedy are those of the code.
[[nodiscard]] error socket_error(std::error_code code, std::string step);
[[nodiscard]] error socket_error(int number, std::string step);

/// Makes a blocking socket that is closed on exec. Errors as socket(2).
[[nodiscard]] result<descriptor> make_socket(int family, int type, int protocol, const std::string& purpose);

/// An option that is an int, and whether it is asked for.
struct socket_option {
    bool wanted;
    int level;
    int option;
    int value;
    const char* name;
};

/// Sets the options that are wanted, up to the first that is refused. Errors as setsockopt(2), with the option's name.
[[nodiscard]] result<void> set_options(int fd, std::initializer_list<socket_option> options, const std::string& purpose);

/// Binds a socket to an interface (SO_BINDTODEVICE).
[[nodiscard]] result<void> bind_to_interface(int fd, std::string_view interface, const std::string& purpose);

/// Binds a socket to an address.
[[nodiscard]] result<void> bind_to(int fd, const socket_address& address, const std::string& purpose);

[[nodiscard]] inline int family_of(const proto::ip_endpoint& endpoint) noexcept {
    return endpoint.address.is_v4() ? AF_INET : AF_INET6;
}

/// Asks for a socket's own address or its peer's; 0.0.0.0:0 when there is none.
[[nodiscard]] proto::ip_endpoint endpoint_of(int fd) noexcept;
[[nodiscard]] proto::ip_endpoint peer_of(int fd) noexcept;

}  // namespace fluxnet::detail
