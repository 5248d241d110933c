// SPDX-License-Identifier: BSD-3-Clause
// Addresses and steps that the tests of `neighbour_table` share.
#pragma once

#include "fluxnet/proto/neighbour/neighbour_table.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fluxnet::proto::test::neighbours {

inline constexpr std::array<std::byte, 16> secret{std::byte{1}, std::byte{2}, std::byte{3}};

/// A moment, in seconds.
[[nodiscard]] inline neighbour_table::time_point at(int seconds) {
    return neighbour_table::time_point(std::chrono::seconds(seconds));
}

[[nodiscard]] inline ip_address v4(std::uint32_t host) {
    return ipv4_address::from_host_order(0x0a000000U + host);
}

[[nodiscard]] inline ip_address v6(std::uint32_t host) {
    return ipv6_address({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(host >> 24),
                         static_cast<std::uint8_t>(host >> 16), static_cast<std::uint8_t>(host >> 8),
                         static_cast<std::uint8_t>(host)});
}

[[nodiscard]] inline mac_address mac(std::uint32_t station) {
    return mac_address({0x02, 0, static_cast<std::uint8_t>(station >> 24), static_cast<std::uint8_t>(station >> 16),
                        static_cast<std::uint8_t>(station >> 8), static_cast<std::uint8_t>(station)});
}

[[nodiscard]] inline neighbour_state state(const neighbour_table& table, const ip_address& address,
                                           neighbour_table::time_point now) {
    return table.lookup(address, now).state;
}

/// Has the neighbour answer a question of the table's, as its version does.
inline neighbour_table::news answer(neighbour_table& table, const ip_address& address, mac_address hardware,
                                    neighbour_table::time_point now) {
    if (address.is_v4()) { return table.heard_reply(address, hardware, now); }
    return table.heard_advertisement(address, hardware, {.router = false, .solicited = true, .overrides = true}, now);
}

/// Has the table ask for an address and hear the answer.
inline void make_known(neighbour_table& table, const ip_address& address, mac_address hardware,
                       neighbour_table::time_point now) {
    static_cast<void>(table.resolve(address, now));
    static_cast<void>(table.next_probe(now));
    static_cast<void>(answer(table, address, hardware, now));
}

}  // namespace fluxnet::proto::test::neighbours
