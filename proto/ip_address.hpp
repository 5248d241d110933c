// SPDX-License-Identifier: BSD-3-Clause
// `ip_address`: an Internet address of either version.
//
// A value: freely copied, compared and used from any thread. The default is 0.0.0.0. Addresses of version 4 come before
// those of version 6. An IPv4 address and the IPv6 address that maps it are two different addresses.
#pragma once

#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/ipv6_address.hpp"

#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fluxnet::proto {

class ip_address {
public:
    constexpr ip_address() noexcept = default;
    /// Makes an address of that version.
    constexpr ip_address(const ipv4_address& address) noexcept : address_(address) {}
    constexpr ip_address(const ipv6_address& address) noexcept : address_(address) {}

    /// Reads what either version's parse() reads.
    [[nodiscard]] static std::optional<ip_address> parse(std::string_view text) noexcept {
        if (const auto v4 = ipv4_address::parse(text)) { return *v4; }
        if (const auto v6 = ipv6_address::parse(text)) { return *v6; }
        return std::nullopt;
    }

    /// Tells which version it is.
    [[nodiscard]] constexpr bool is_v4() const noexcept { return std::holds_alternative<ipv4_address>(address_); }
    [[nodiscard]] constexpr bool is_v6() const noexcept { return !is_v4(); }

    /// The address; it must be of that version.
    [[nodiscard]] constexpr const ipv4_address& v4() const noexcept { return *std::get_if<ipv4_address>(&address_); }
    [[nodiscard]] constexpr const ipv6_address& v6() const noexcept { return *std::get_if<ipv6_address>(&address_); }

    /// Tells whether it is of that kind, as the address of its version does.
    [[nodiscard]] constexpr bool is_unspecified() const noexcept {
        return is_v4() ? v4().is_unspecified() : v6().is_unspecified();
    }
    [[nodiscard]] constexpr bool is_loopback() const noexcept { return is_v4() ? v4().is_loopback() : v6().is_loopback(); }
    [[nodiscard]] constexpr bool is_multicast() const noexcept {
        return is_v4() ? v4().is_multicast() : v6().is_multicast();
    }

    /// Writes what parse() reads.
    [[nodiscard]] std::string to_string() const { return is_v4() ? v4().to_string() : v6().to_string(); }

    [[nodiscard]] friend constexpr auto operator<=>(const ip_address&, const ip_address&) noexcept = default;

private:
    std::variant<ipv4_address, ipv6_address> address_;
};

/// An address of one version, or of either.
template <class T>
concept internet_address = std::same_as<T, ipv4_address> || std::same_as<T, ipv6_address> || std::same_as<T, ip_address>;

}  // namespace fluxnet::proto

template <>
struct std::hash<fluxnet::proto::ip_address> {
    [[nodiscard]] constexpr std::size_t operator()(const fluxnet::proto::ip_address& value) const noexcept {
        using fluxnet::proto::ipv4_address, fluxnet::proto::ipv6_address;
        return value.is_v4() ? std::hash<ipv4_address>()(value.v4()) : std::hash<ipv6_address>()(value.v6());
    }
};
