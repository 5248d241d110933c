// SPDX-License-Identifier: BSD-3-Clause
// `ip_endpoint`: an Internet address and a port: one end of a connection, or where datagrams go.
//
//     const auto peer = proto::ip_endpoint::parse("192.0.2.1:80");  // or "[2001:db8::1]:80"
//
// A value: freely copied, compared and used from any thread. The default is 0.0.0.0:0.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fluxnet::proto {

struct FLUXNET_EXPORT ip_endpoint {
    ip_address address = {};
    std::uint16_t port = 0;   ///< In host byte order; 0 where the system is to choose.
    std::uint32_t scope = 0;  ///< The number of the interface that a link-local IPv6 address belongs to; 0 for others.

    /// Reads "192.0.2.1:80", "[2001:db8::1]:80" or "[fe80::1%2]:80", where 2 is an interface's number. There is one way to
    /// be wrong, so a failure has no reason and the answer is std::nullopt.
    [[nodiscard]] static std::optional<ip_endpoint> parse(std::string_view text) noexcept;

    /// Writes what parse() reads.
    [[nodiscard]] std::string to_string() const;

    [[nodiscard]] friend constexpr auto operator<=>(const ip_endpoint&, const ip_endpoint&) noexcept = default;
};

}  // namespace fluxnet::proto

template <>
struct std::hash<fluxnet::proto::ip_endpoint> {
    [[nodiscard]] constexpr std::size_t operator()(const fluxnet::proto::ip_endpoint& value) const noexcept {
        using fluxnet::proto::ip_address;
        return fluxnet::proto::detail::hash_of({std::hash<ip_address>()(value.address), value.port, value.scope});
    }
};
