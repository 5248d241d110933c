// SPDX-License-Identifier: BSD-3-Clause
// `icmp_limiter`: how many ICMP errors this host sends, in all and to one part of the network.
//
//     icmp_limiter limiter({}, secret);
//     if (may_answer_with_icmp_error(cause) && limiter.may_send(cause.source, now, random())) { send(error); }
//
// Token buckets, as RFC 4443 section 2.4 (f) recommends (RFC 1122 section 3.2.2 and RFC 1812 section 4.3.2.8 for IPv4): a
// timer would refuse the burst of a traceroute. Destinations fall into classes by a keyed hash of their network, the first
// 24 bits of an IPv4 address and the first 64 of an IPv6 one, so that memory is fixed and one network does not spend what
// others need.
//
// An error that was not sent tells something too: a stranger who forges packets in another host's name, and then counts how
// many errors of the bucket for all are left for its own packets, learns whether the forged ones reached a closed port
// (CVE-2020-25705). The bucket for all therefore pays a random price of 0, 1 or 2, on average 1, for each error.
//
// It allocates when it is made and never again. Threads: one at a time.
#pragma once

#include "fluxnet/proto/detail/address_hash.hpp"
#include "fluxnet/proto/detail/token_bucket.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fluxnet::proto {

class icmp_limiter {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// How many errors may be sent, and in how many classes their destinations fall.
    struct options {
        std::uint32_t all_per_second = 1000;
        std::uint32_t all_burst = 50;
        std::uint32_t class_per_second = 10;
        std::uint32_t class_burst = 10;
        std::size_t classes = 256;  ///< Rounded up to a power of two.
    };

    /// `secret`: random octets, so that strangers cannot choose whose class they share. Allocates.
    icmp_limiter(const options& chosen, std::span<const std::byte, 16> secret)
        : key_(secret), all_(chosen.all_per_second, chosen.all_burst),
          classes_(std::bit_ceil(chosen.classes), detail::token_bucket(chosen.class_per_second, chosen.class_burst)) {}

    /// Tells whether an error may go to the destination at `now`, and counts that it does. `random`: random bits.
    [[nodiscard]] bool may_send(const ip_address& destination, time_point now, std::uint32_t random) noexcept {
        detail::token_bucket& own = classes_[detail::table_hash(key_, {network_of(destination)}) & (classes_.size() - 1)];
        // The class is asked first: a flood to one network does not spend what is for all.
        if (!own.holds(now) || !all_.holds(now)) {
            ++refused_;
            return false;
        }
        own.pay(now, 1);
        all_.pay(now, random % 3);
        return true;
    }

    /// How many errors were not sent.
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    /// What it takes, in octets, with what it has allocated.
    [[nodiscard]] std::size_t memory_octets() const noexcept {
        return sizeof *this + classes_.capacity() * sizeof(detail::token_bucket);
    }

private:
    [[nodiscard]] static std::uint64_t network_of(const ip_address& address) noexcept {
        if (address.is_v4()) { return address.v4().to_host_order() >> 8; }
        return detail::number_of(address.v6().octets(), 0, 8);
    }

    detail::hash_key key_;
    detail::token_bucket all_;
    std::vector<detail::token_bucket> classes_;
    std::uint64_t refused_ = 0;
};

}  // namespace fluxnet::proto
