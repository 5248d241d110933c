// SPDX-License-Identifier: BSD-3-Clause
// What the standard library asks of values such as addresses: printing to a stream, and a hash for unordered containers.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>

namespace fluxnet::proto {

/// Prints what to_string() writes, with the width and filling of the stream. Allocates.
template <class Traits, class T>
    requires requires(const T& value) {
        { value.to_string() } -> std::same_as<std::string>;
    }
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const T& value) {
    return out << value.to_string();
}

namespace detail {

/// Mixes words so that each bit of the result depends on each bit of them. It is not keyed: whoever lets strangers choose the
/// keys of a table bounds the table.
constexpr std::size_t hash_of(std::initializer_list<std::uint64_t> words) noexcept {
    std::uint64_t mixed = 0;
    for (const std::uint64_t word : words) {
        mixed = (mixed ^ word) * 0x9e3779b97f4a7c15ULL;
        mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ULL;
        mixed ^= mixed >> 29;
    }
    return static_cast<std::size_t>(mixed);
}

/// Reads octets as one number, the first as the highest.
template <class Octets>
constexpr std::uint64_t number_of(const Octets& octets, std::size_t from, std::size_t count) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = from; i != from + count; ++i) { value = (value << 8) | octets[i]; }
    return value;
}

}  // namespace detail
}  // namespace fluxnet::proto
