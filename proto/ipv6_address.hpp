// SPDX-License-Identifier: BSD-3-Clause
// `ipv6_address`: an Internet address of version 6.
//
//     const auto address = proto::ipv6_address::parse("2001:db8::1");
//     if (!address) { ... }  // no address
//     address->to_string();  // the one way to write it that RFC 5952 recommends
//
// A value of sixteen octets in the order they travel: freely copied, compared and used from any thread. The default is ::,
// "the absence of an address". Only to_string() may allocate. Source: RFC 4291.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ipv4_address.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fluxnet::proto {

class FLUXNET_EXPORT ipv6_address {
public:
    static constexpr std::size_t size = 16;  ///< In octets.

    constexpr ipv6_address() noexcept = default;
    /// Makes an address of its octets, in the order in which it is written.
    constexpr explicit ipv6_address(const std::array<std::uint8_t, size>& octets) noexcept : octets_(octets) {}

    /// ::1, this host.
    [[nodiscard]] static constexpr ipv6_address loopback() noexcept {
        ipv6_address address;
        address.octets_[15] = 1;
        return address;
    }

    /// ff02::1 and ff02::2, every host and every router on the link (RFC 4291 section 2.7.1).
    [[nodiscard]] static constexpr ipv6_address all_nodes() noexcept {
        return ipv6_address({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
    }
    [[nodiscard]] static constexpr ipv6_address all_routers() noexcept {
        return ipv6_address({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});
    }

    /// Reads sixteen octets from a header; they must be there.
    [[nodiscard]] static constexpr ipv6_address load(const std::byte* from) noexcept {
        ipv6_address address;
        for (std::size_t i = 0; i != size; ++i) { address.octets_[i] = std::to_integer<std::uint8_t>(from[i]); }
        return address;
    }

    /// Reads the forms of RFC 4291 section 2.2: "2001:db8::1", "::", "::ffff:192.0.2.1"; no zone, no prefix length, nothing
    /// else. There is one way to be wrong, so a failure has no reason and the answer is std::nullopt.
    [[nodiscard]] static std::optional<ipv6_address> parse(std::string_view text) noexcept;

    /// Writes sixteen octets into a header; there must be room.
    constexpr void store(std::byte* to) const noexcept {
        for (std::size_t i = 0; i != size; ++i) { to[i] = std::byte{octets_[i]}; }
    }

    /// The octets in the order they travel.
    [[nodiscard]] constexpr const std::array<std::uint8_t, size>& octets() const noexcept { return octets_; }

    /// Whether it is ::.
    [[nodiscard]] constexpr bool is_unspecified() const noexcept { return *this == ipv6_address(); }
    /// Whether it is ::1.
    [[nodiscard]] constexpr bool is_loopback() const noexcept { return *this == loopback(); }
    /// Whether it is in ff00::/8.
    [[nodiscard]] constexpr bool is_multicast() const noexcept { return octets_[0] == 0xff; }
    /// Whether it is in fe80::/10, and so means something on one link only.
    [[nodiscard]] constexpr bool is_link_local() const noexcept {
        return octets_[0] == 0xfe && (octets_[1] & 0xc0U) == 0x80U;
    }
    /// The group in which a host with this address listens for those that look for it (RFC 4291 section 2.7.1).
    [[nodiscard]] constexpr ipv6_address solicited_node() const noexcept {
        return ipv6_address({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, octets_[13], octets_[14], octets_[15]});
    }
    /// Whether it is such a group: in ff02::1:ff00:0/104.
    [[nodiscard]] constexpr bool is_solicited_node() const noexcept { return *this == solicited_node(); }
    /// Whether it is in ::ffff:0:0/96, and stands for an IPv4 address.
    [[nodiscard]] constexpr bool is_v4_mapped() const noexcept {
        return std::all_of(octets_.begin(), octets_.begin() + 10, [](std::uint8_t octet) { return octet == 0; }) &&
               octets_[10] == 0xff && octets_[11] == 0xff;
    }

    /// Writes what parse() reads, as RFC 5952 recommends: lower case, the longest run of two zero groups or more as "::".
    [[nodiscard]] std::string to_string() const;

    [[nodiscard]] friend constexpr auto operator<=>(const ipv6_address&, const ipv6_address&) noexcept = default;

private:
    std::array<std::uint8_t, size> octets_{};
};

}  // namespace fluxnet::proto

template <>
struct std::hash<fluxnet::proto::ipv6_address> {
    [[nodiscard]] constexpr std::size_t operator()(const fluxnet::proto::ipv6_address& value) const noexcept {
        using fluxnet::proto::detail::hash_of, fluxnet::proto::detail::number_of;
        return hash_of({number_of(value.octets(), 0, 8), number_of(value.octets(), 8, 8)});
    }
};
