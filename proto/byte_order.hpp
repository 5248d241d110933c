// SPDX-License-Identifier: BSD-3-Clause
// Big-endian numbers in memory of any alignment.
//
// load_be*() and store_be*() are how every header of this folder reads and writes a field: values are in host order outside
// and in network order in the bytes. They own nothing, may be called from any thread, and check nothing: the caller has
// already made sure that the octets are there. On the usual machines each is one load or store and a byte swap.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace fluxnet::proto {

/// The element of a view's span: std::byte to write and read, const std::byte to read.
template <class T>
concept octet = std::same_as<std::remove_const_t<T>, std::byte>;

/// The element of a view through which one may write.
template <class T>
concept writable_octet = std::same_as<T, std::byte>;

static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);

namespace detail {

[[nodiscard]] constexpr std::uint16_t swap_bytes(std::uint16_t value) noexcept {
    return static_cast<std::uint16_t>((value << 8) | (value >> 8));
}

[[nodiscard]] constexpr std::uint32_t swap_bytes(std::uint32_t value) noexcept {
    return (value << 24) | ((value & 0xff00U) << 8) | ((value >> 8) & 0xff00U) | (value >> 24);
}

[[nodiscard]] constexpr std::uint64_t swap_bytes(std::uint64_t value) noexcept {
    return (std::uint64_t{swap_bytes(static_cast<std::uint32_t>(value))} << 32) |
           swap_bytes(static_cast<std::uint32_t>(value >> 32));
}

/// Converts between host order and network order, in either direction.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T swap_if_little(T value) noexcept {
    if constexpr (std::endian::native == std::endian::little) { return swap_bytes(value); }
    return value;
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_be(const std::byte* from) noexcept {
    T value = 0;
    if (std::is_constant_evaluated()) {  // memcpy is not for constant expressions
        for (std::size_t i = 0; i != sizeof(T); ++i) { value = static_cast<T>((value << 8) | std::to_integer<T>(from[i])); }
        return value;
    }
    std::memcpy(&value, from, sizeof(T));
    return swap_if_little(value);
}

template <std::unsigned_integral T>
constexpr void store_be(std::byte* to, T value) noexcept {
    if (std::is_constant_evaluated()) {
        for (std::size_t i = sizeof(T); i != 0; --i) {
            to[i - 1] = static_cast<std::byte>(value & 0xffU);
            value = static_cast<T>(value >> 8);
        }
        return;
    }
    value = swap_if_little(value);
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace detail

/// Reads two octets, most significant first.
[[nodiscard]] constexpr std::uint16_t load_be16(const std::byte* from) noexcept {
    return detail::load_be<std::uint16_t>(from);
}

/// Reads four octets, most significant first.
[[nodiscard]] constexpr std::uint32_t load_be32(const std::byte* from) noexcept {
    return detail::load_be<std::uint32_t>(from);
}

/// Reads eight octets, most significant first.
[[nodiscard]] constexpr std::uint64_t load_be64(const std::byte* from) noexcept {
    return detail::load_be<std::uint64_t>(from);
}

/// Writes two octets, most significant first.
constexpr void store_be16(std::byte* to, std::uint16_t value) noexcept {
    detail::store_be(to, value);
}

/// Writes four octets, most significant first.
constexpr void store_be32(std::byte* to, std::uint32_t value) noexcept {
    detail::store_be(to, value);
}

/// Writes eight octets, most significant first.
constexpr void store_be64(std::byte* to, std::uint64_t value) noexcept {
    detail::store_be(to, value);
}

}  // namespace fluxnet::proto
