// SPDX-License-Identifier: BSD-3-Clause
// `secret_numbers`: random numbers that nobody foretells from those he has seen: a keyed hash of a counter.
//
// A value. Threads: one at a time.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/detail/address_hash.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

namespace fluxnet::host::detail {

class secret_numbers {
public:
    /// Draws the key from the system; from `seed` when there is one. A few system calls.
    explicit secret_numbers(const std::optional<std::uint64_t>& seed) : key_(draw(seed)) {}

    [[nodiscard]] std::uint64_t next() noexcept { return proto::detail::table_hash(key_, {++drawn_}); }
    [[nodiscard]] std::uint32_t next32() noexcept { return static_cast<std::uint32_t>(next()); }

    /// A secret for a table.
    [[nodiscard]] std::array<std::byte, 16> secret() noexcept {
        std::array<std::byte, 16> octets;
        for (std::size_t i = 0; i != octets.size(); i += 4) { proto::store_be32(octets.data() + i, next32()); }
        return octets;
    }

    [[nodiscard]] const proto::detail::hash_key& key() const noexcept { return key_; }

private:
    static proto::detail::hash_key draw(const std::optional<std::uint64_t>& seed) {
        std::array<std::byte, 16> octets;
        if (seed) {
            std::mt19937_64 from(*seed);
            for (std::byte& octet : octets) { octet = static_cast<std::byte>(from()); }
        } else {
            std::random_device from;
            for (std::byte& octet : octets) { octet = static_cast<std::byte>(from()); }
        }
        return proto::detail::hash_key(std::span<const std::byte, 16>(octets));
    }

    proto::detail::hash_key key_;
    std::uint64_t drawn_ = 0;
};

}  // namespace fluxnet::host::detail
