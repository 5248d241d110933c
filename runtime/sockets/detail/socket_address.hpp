// SPDX-License-Identifier: BSD-3-Clause
// `socket_address`: an address in the form in which the kernel takes it.
//
// A value. Source: ip(7), ipv6(7), unix(7).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"

#include <system_error>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace fluxnet::detail {

class FLUXNET_EXPORT socket_address {
public:
    /// Room for an address that the kernel tells: pass data(), room() and size().
    socket_address() noexcept : size_(room()) {}
    explicit socket_address(const proto::ip_endpoint& endpoint) noexcept;
    /// A copy of an address that somebody else was told, of `size` bytes; room() at most.
    socket_address(const sockaddr& address, socklen_t size) noexcept;
    /// What the kernel would cut: a name that is too long, or a path with a zero octet, would be that of another socket.
    [[nodiscard]] static std::error_code unfit(const unix_address& address) noexcept;
    /// Of one that unfit() finds nothing wrong with.
    explicit socket_address(const unix_address& address) noexcept;

    /// The endpoint; 0.0.0.0:0 for an address of another family.
    [[nodiscard]] proto::ip_endpoint endpoint() const noexcept;

    /// The Unix address; empty for a socket that has none, and for an address of another family.
    [[nodiscard]] unix_address local() const;

    [[nodiscard]] sockaddr* data() noexcept { return &generic_; }
    [[nodiscard]] const sockaddr& get() const noexcept { return generic_; }
    [[nodiscard]] socklen_t& size() noexcept { return size_; }
    [[nodiscard]] socklen_t size() const noexcept { return size_; }
    [[nodiscard]] static constexpr socklen_t room() noexcept { return sizeof(sockaddr_un); }

private:
    union {
        sockaddr generic_;
        sockaddr_in v4_;
        sockaddr_in6 v6_;
        sockaddr_un unix_{};
    };
    socklen_t size_;
};

}  // namespace fluxnet::detail
