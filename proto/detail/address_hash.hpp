// SPDX-License-Identifier: BSD-3-Clause
// `address_hash`: the keyed hash by which the tables of this folder find addresses. Without the key nobody can choose
// addresses that fall into one chain.
//
// Functions of their arguments. Threads: any.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <cstdint>
#include <initializer_list>
#include <span>

namespace fluxnet::proto::detail {

/// Hashes words. SipHash-1-3, because nobody sees where an entry lies in a table.
[[nodiscard]] constexpr std::uint64_t table_hash(const hash_key& key, std::initializer_list<std::uint64_t> words) noexcept {
    return sip_hash<1, 3>(key, std::span<const std::uint64_t>(words.begin(), words.size()));
}

/// Hashes an address. Versions do not meet: the number of words is hashed too.
[[nodiscard]] constexpr std::uint64_t address_hash(const hash_key& key, const ip_address& address) noexcept {
    if (address.is_v4()) { return table_hash(key, {std::uint64_t{address.v4().to_host_order()}}); }
    const auto& octets = address.v6().octets();
    return table_hash(key, {number_of(octets, 0, 8), number_of(octets, 8, 8)});
}

}  // namespace fluxnet::proto::detail
