// SPDX-License-Identifier: BSD-3-Clause
// `ipv4_address`: an Internet address of version 4.
//
// A value of four octets in the order they travel: freely copied, compared and used from any thread. The default is
// 0.0.0.0, "this host on this network". Only to_string() may allocate; it is for people, not for packet paths.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/detail/value_traits.hpp"

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace fluxnet::proto {

/// Names an interface of a host, or a group of hosts. The special ranges are those of RFC 1122 section 3.2.1.3.
class ipv4_address {
public:
    static constexpr std::size_t size = 4;  ///< In octets.

    constexpr ipv4_address() noexcept = default;
    /// Makes an address of its octets, in the order in which it is written.
    constexpr explicit ipv4_address(const std::array<std::uint8_t, size>& octets) noexcept : octets_(octets) {}
    constexpr ipv4_address(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) noexcept : octets_{a, b, c, d} {}

    /// Makes 192.0.2.1 of 0xc0000201.
    [[nodiscard]] static constexpr ipv4_address from_host_order(std::uint32_t value) noexcept {
        return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
                static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    }

    /// 255.255.255.255, every host on the link.
    [[nodiscard]] static constexpr ipv4_address broadcast() noexcept { return {255, 255, 255, 255}; }

    /// Reads four octets from a header; they must be there.
    [[nodiscard]] static constexpr ipv4_address load(const std::byte* from) noexcept {
        if (std::is_constant_evaluated()) { return from_host_order(load_be32(from)); }
        ipv4_address address;
        std::memcpy(address.octets_.data(), from, size);
        return address;
    }

    /// Reads "192.0.2.1": four decimal numbers of at most 255 between dots, and nothing else. A number has no leading
    /// zeros, because some readers take them for octal. There is one way to be wrong, so a failure has no reason and the
    /// answer is std::nullopt.
    [[nodiscard]] static constexpr std::optional<ipv4_address> parse(std::string_view text) noexcept {
        ipv4_address address;
        for (std::size_t i = 0; i != size; ++i) {
            if (i != 0) {
                if (text.empty() || text.front() != '.') { return std::nullopt; }
                text.remove_prefix(1);
            }
            unsigned value = 0;
            std::size_t digits = 0;
            while (digits != text.size() && text[digits] >= '0' && text[digits] <= '9') {
                value = value * 10 + static_cast<unsigned>(text[digits] - '0');
                if (++digits > 3) { return std::nullopt; }
            }
            if (digits == 0 || value > 255 || (digits > 1 && text.front() == '0')) { return std::nullopt; }
            address.octets_[i] = static_cast<std::uint8_t>(value);
            text.remove_prefix(digits);
        }
        if (!text.empty()) { return std::nullopt; }
        return address;
    }

    /// Writes four octets into a header; there must be room.
    constexpr void store(std::byte* to) const noexcept { store_be32(to, to_host_order()); }

    /// Makes 0xc0000201 of 192.0.2.1.
    [[nodiscard]] constexpr std::uint32_t to_host_order() const noexcept {
        return (std::uint32_t{octets_[0]} << 24) | (std::uint32_t{octets_[1]} << 16) | (std::uint32_t{octets_[2]} << 8) |
               std::uint32_t{octets_[3]};
    }

    /// The octets in the order they travel.
    [[nodiscard]] constexpr const std::array<std::uint8_t, size>& octets() const noexcept { return octets_; }

    /// Whether it is 0.0.0.0.
    [[nodiscard]] constexpr bool is_unspecified() const noexcept { return *this == ipv4_address(); }
    /// Whether it is in 0.0.0.0/8, which may be a source only while a host learns its address.
    [[nodiscard]] constexpr bool is_this_network() const noexcept { return octets_[0] == 0; }
    /// Whether it is in 127.0.0.0/8, which must not appear outside a host.
    [[nodiscard]] constexpr bool is_loopback() const noexcept { return octets_[0] == 127; }
    /// Whether it is in 224.0.0.0/4.
    [[nodiscard]] constexpr bool is_multicast() const noexcept { return (octets_[0] & 0xf0U) == 0xe0U; }
    /// Whether it is 255.255.255.255. A network's own broadcast address cannot be told without its mask.
    [[nodiscard]] constexpr bool is_broadcast() const noexcept { return *this == broadcast(); }

    /// Writes what parse() reads.
    [[nodiscard]] std::string to_string() const {
        std::string text;
        for (const std::uint8_t octet : octets_) {
            if (!text.empty()) { text += '.'; }
            text += std::to_string(octet);
        }
        return text;
    }

    [[nodiscard]] friend constexpr auto operator<=>(const ipv4_address&, const ipv4_address&) noexcept = default;
    /// In one step: each packet has its addresses compared.
    [[nodiscard]] friend constexpr bool operator==(const ipv4_address& left, const ipv4_address& right) noexcept {
        return std::bit_cast<std::uint32_t>(left.octets_) == std::bit_cast<std::uint32_t>(right.octets_);
    }

private:
    std::array<std::uint8_t, size> octets_{};
};

}  // namespace fluxnet::proto

template <>
struct std::hash<fluxnet::proto::ipv4_address> {
    [[nodiscard]] constexpr std::size_t operator()(const fluxnet::proto::ipv4_address& value) const noexcept {
        return fluxnet::proto::detail::hash_of({value.to_host_order()});
    }
};
