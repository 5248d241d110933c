// SPDX-License-Identifier: BSD-3-Clause
// `isn_generator`: where the octets of a new connection begin to be counted.
//
//     const isn_generator isn(secret);                      // 16 random octets, for as long as the host runs
//     const sequence_number first = isn.make(name, now);
//
// A value of 16 octets that does not change. Threads: any. Source: RFC 6528 section 3; RFC 9293 section 3.4.1.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/detail/tuple_input.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::tcp {

/// Gives M + F(name, secret): a clock that counts every 4 us, from a start that differs from name to name. A connection of
/// the same name, made later, begins further on, unless the earlier one has sent more than 250,000 octets a second; nobody
/// who sees the numbers of other connections can tell those of this one. F is SipHash-2-4.
class isn_generator {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// The clock's step.
    static constexpr std::chrono::microseconds step{4};

    /// Makes a generator under a secret of 16 random octets.
    explicit isn_generator(std::span<const std::byte, 16> secret) noexcept : key_(secret) {}

    /// Makes the initial sequence number of a connection that is opened now.
    [[nodiscard]] sequence_number make(const four_tuple& name, time_point now) const noexcept {
        const auto clock = static_cast<std::uint64_t>(now.time_since_epoch() / step);
        const std::uint64_t start = detail::sip_hash_of(key_, detail::hash_use::initial_sequence, name);
        return sequence_number(static_cast<std::uint32_t>(clock + start));
    }

private:
    proto::detail::hash_key key_;
};

}  // namespace fluxnet::proto::tcp
