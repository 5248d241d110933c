// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

namespace fluxnet::detail {

socket_address::socket_address(const proto::ip_endpoint& endpoint) noexcept : size_(0) {
    if (endpoint.address.is_v4()) {
        v4_ = {};
        v4_.sin_family = AF_INET;
        v4_.sin_port = htons(endpoint.port);
        v4_.sin_addr.s_addr = htonl(endpoint.address.v4().to_host_order());
        size_ = sizeof v4_;
    } else {
        v6_ = {};
        v6_.sin6_family = AF_INET6;
        v6_.sin6_port = htons(endpoint.port);
        v6_.sin6_scope_id = endpoint.scope;
        std::memcpy(&v6_.sin6_addr, endpoint.address.v6().octets().data(), sizeof v6_.sin6_addr);
        size_ = sizeof v6_;
    }
}

socket_address::socket_address(const sockaddr& address, socklen_t size) noexcept : size_(std::min(size, room())) {
    std::memcpy(&unix_, &address, size_);
}

std::error_code socket_address::unfit(const unix_address& address) noexcept {
    const std::string& name = address.to_string();
    if (name.size() > unix_address::most) { return std::make_error_code(std::errc::filename_too_long); }
    const bool is_cut = !address.is_abstract() && name.find('\0') != std::string::npos;
    return is_cut ? std::make_error_code(std::errc::invalid_argument) : std::error_code();
}

socket_address::socket_address(const unix_address& address) noexcept : size_(offsetof(sockaddr_un, sun_path)) {
    unix_ = {};
    unix_.sun_family = AF_UNIX;
    const std::string& name = address.to_string();
    const std::size_t length = std::min(name.size(), sizeof unix_.sun_path - 1);
    std::memcpy(unix_.sun_path, name.data(), length);
    if (address.is_abstract()) { unix_.sun_path[0] = '\0'; }
    size_ += static_cast<socklen_t>(length + (address.is_abstract() || length == 0 ? 0 : 1));
}

unix_address socket_address::local() const {
    constexpr socklen_t header = offsetof(sockaddr_un, sun_path);
    if (generic_.sa_family != AF_UNIX || size_ <= header) { return {}; }
    const bool is_abstract = unix_.sun_path[0] == '\0';
    const std::size_t length = size_ - header;
    std::string name(unix_.sun_path, is_abstract ? length : ::strnlen(unix_.sun_path, length));
    if (is_abstract) { name[0] = '@'; }
    return unix_address(std::move(name));
}

proto::ip_endpoint socket_address::endpoint() const noexcept {
    if (generic_.sa_family == AF_INET) {
        return {proto::ipv4_address::from_host_order(ntohl(v4_.sin_addr.s_addr)), ntohs(v4_.sin_port)};
    }
    if (generic_.sa_family == AF_INET6) {
        std::array<std::uint8_t, 16> octets;
        std::memcpy(octets.data(), &v6_.sin6_addr, octets.size());
        return {proto::ipv6_address(octets), ntohs(v6_.sin6_port), v6_.sin6_scope_id};
    }
    return {};
}

}  // namespace fluxnet::detail
