// SPDX-License-Identifier: BSD-3-Clause
// Fragments and addresses that the tests of `reassembly` share.
#pragma once

#include "fluxnet/proto/reassembly.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto::test::fragments {

inline constexpr std::array<std::byte, 16> secret{std::byte{1}, std::byte{2}, std::byte{3}};
inline constexpr std::uint8_t plain = 253;  // a protocol for experiments (RFC 3692): its header is not looked at

[[nodiscard]] inline reassembly::time_point at(std::chrono::milliseconds since) {
    return reassembly::time_point(since);
}

[[nodiscard]] inline ip_address host(bool v6, std::uint32_t number) {
    if (!v6) { return ipv4_address::from_host_order(0x0a000000U + number); }
    return ipv6_address({0x20, 0x01, 0x0d, 0xb8, static_cast<std::uint8_t>(number >> 24),
                         static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                         static_cast<std::uint8_t>(number), 0, 0, 0, 0, 0, 0, 0, 1});
}

/// Makes a fragment of a datagram, which outlives it.
[[nodiscard]] inline reassembly::fragment cut(std::span<const std::byte> whole, std::size_t from, std::size_t to,
                                              bool v6 = false, std::uint32_t identification = 1, std::uint32_t source = 2) {
    return {.source = host(v6, source),
            .destination = host(v6, 1),
            .identification = identification,
            .protocol = plain,
            .ecn = 0,
            .more = to != whole.size(),
            .offset = from,
            .header_length = v6 ? std::size_t{0} : std::size_t{20},
            .payload = whole.subspan(from, to - from)};
}

/// Cuts a datagram into fragments of that many octets, a multiple of 8.
[[nodiscard]] inline std::vector<reassembly::fragment> cut_all(std::span<const std::byte> whole, std::size_t each, bool v6,
                                                               std::uint32_t identification = 1, std::uint32_t source = 2) {
    std::vector<reassembly::fragment> parts;
    for (std::size_t from = 0; from < whole.size(); from += each) {
        parts.push_back(cut(whole, from, std::min(from + each, whole.size()), v6, identification, source));
    }
    return parts;
}

/// What adding a fragment comes to.
struct outcome {
    std::optional<reason> refused;
    std::optional<std::vector<std::byte>> whole;

    [[nodiscard]] bool waits() const { return !refused && !whole; }
    [[nodiscard]] bool is(reason why) const { return refused == why; }
};

[[nodiscard]] inline outcome add(reassembly& store, const reassembly::fragment& part, reassembly::time_point now) {
    const auto got = store.add(part, now);
    if (!got) { return {got.error(), std::nullopt}; }
    if (!*got) { return {}; }
    return {std::nullopt, std::vector<std::byte>((*got)->payload.begin(), (*got)->payload.end())};
}

}  // namespace fluxnet::proto::test::fragments
