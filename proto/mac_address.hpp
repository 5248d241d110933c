// SPDX-License-Identifier: BSD-3-Clause
// `mac_address`: a 48-bit IEEE 802 address.
//
// A value of six octets in the order they travel: freely copied, compared and used from any thread. The default is
// 00:00:00:00:00:00, which no station has. Only to_string() allocates; it is for people, not for packet paths.
#pragma once

#include "fluxnet/proto/detail/value_traits.hpp"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fluxnet::proto {

/// Names a station or a group of stations on a link.
class mac_address {
public:
    static constexpr std::size_t size = 6;  ///< In octets.

    constexpr mac_address() noexcept = default;
    /// Makes an address of its octets, in the order in which it is written.
    constexpr explicit mac_address(const std::array<std::uint8_t, size>& octets) noexcept : octets_(octets) {}

    /// ff:ff:ff:ff:ff:ff, every station on the link.
    [[nodiscard]] static constexpr mac_address broadcast() noexcept {
        return mac_address({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
    }

    /// Reads six octets from a header; they must be there.
    [[nodiscard]] static constexpr mac_address load(const std::byte* from) noexcept {
        mac_address address;
        for (std::uint8_t& octet : address.octets_) { octet = std::to_integer<std::uint8_t>(*from++); }
        return address;
    }

    /// Reads "02:00:5e:10:00:01": six pairs of hexadecimal digits of either case between colons, and nothing else. There
    /// is one way to be wrong, so a failure has no reason and the answer is std::nullopt.
    [[nodiscard]] static constexpr std::optional<mac_address> parse(std::string_view text) noexcept {
        if (text.size() != size * 3 - 1) { return std::nullopt; }
        mac_address address;
        for (std::size_t i = 0; i != size; ++i) {
            const int high = digit_value(text[i * 3]);
            const int low = digit_value(text[i * 3 + 1]);
            if (high < 0 || low < 0) { return std::nullopt; }
            if (i + 1 != size && text[i * 3 + 2] != ':') { return std::nullopt; }
            address.octets_[i] = static_cast<std::uint8_t>(high * 16 + low);
        }
        return address;
    }

    /// Writes six octets into a header; there must be room.
    constexpr void store(std::byte* to) const noexcept {
        for (const std::uint8_t octet : octets_) { *to++ = std::byte{octet}; }
    }

    /// The octets in the order they travel.
    [[nodiscard]] constexpr const std::array<std::uint8_t, size>& octets() const noexcept { return octets_; }

    /// Whether it names a group (the least significant bit of the first octet), broadcast included.
    [[nodiscard]] constexpr bool is_multicast() const noexcept { return (octets_[0] & 1U) != 0; }
    [[nodiscard]] constexpr bool is_broadcast() const noexcept { return *this == broadcast(); }
    [[nodiscard]] constexpr bool is_zero() const noexcept { return *this == mac_address(); }
    /// Whether it was assigned locally and not by a manufacturer.
    [[nodiscard]] constexpr bool is_local() const noexcept { return (octets_[0] & 2U) != 0; }

    /// Writes what parse() reads, in lower case. Allocates.
    [[nodiscard]] std::string to_string() const {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text(size * 3 - 1, ':');
        for (std::size_t i = 0; i != size; ++i) {
            text[i * 3] = digits[octets_[i] >> 4];
            text[i * 3 + 1] = digits[octets_[i] & 15U];
        }
        return text;
    }

    [[nodiscard]] friend constexpr auto operator<=>(const mac_address&, const mac_address&) noexcept = default;

private:
    /// Returns 0 to 15, or -1 when it is no hexadecimal digit.
    [[nodiscard]] static constexpr int digit_value(char digit) noexcept {
        if (digit >= '0' && digit <= '9') { return digit - '0'; }
        if (digit >= 'a' && digit <= 'f') { return digit - 'a' + 10; }
        if (digit >= 'A' && digit <= 'F') { return digit - 'A' + 10; }
        return -1;
    }

    std::array<std::uint8_t, size> octets_{};
};

}  // namespace fluxnet::proto

template <>
struct std::hash<fluxnet::proto::mac_address> {
    [[nodiscard]] constexpr std::size_t operator()(const fluxnet::proto::mac_address& value) const noexcept {
        using fluxnet::proto::detail::hash_of, fluxnet::proto::detail::number_of;
        return hash_of({number_of(value.octets(), 0, 6)});
    }
};
