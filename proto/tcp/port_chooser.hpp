// SPDX-License-Identifier: BSD-3-Clause
// `port_chooser`: the local port of a connection that this host opens.
//
//     port_chooser ports(secret);   // 16 random octets
//     const auto port = ports.choose(local, remote, 443, [&](std::uint16_t p) { return table.find({local, p, ...}); });
//     if (!port) { ... }            // none is free
//
// It keeps counters, and nothing about ports: the caller's predicate tells which are in use. Threads: one at a time.
// Source: RFC 6056 section 3.3.3 (algorithm 3) with the counters of section 3.3.4 (algorithm 4).
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/tcp/detail/tuple_input.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto::tcp {

/// Chooses ports one after another, from a place that a keyed hash of the destination gives.
///
/// So the ports toward one destination are used in turn, which keeps a port from coming back while the peer still has it in
/// TIME-WAIT, and nobody who sees the ports toward one destination can tell those toward another. With one counter for all,
/// a peer would still see how many connections are opened elsewhere: therefore a second hash gives one of 256 counters.
class port_chooser {
public:
    /// Which ports are chosen from, and how many are tried.
    struct options {
        std::uint16_t first = 49'152;  ///< The dynamic ports of RFC 6335 section 6, which no service has for its own.
        std::uint16_t last = 65'535;   ///< Not less than `first`, which is not 0.
        std::uint16_t tries = 65'535;  ///< So many ports are looked at, each of them at most once.
        /// Only ports are chosen that leave this rest when they are divided by `every`: so several choosers have no port in
        /// common. A host with host_options::queues sets both.
        std::uint16_t rest = 0;
        std::uint16_t every = 1;  ///< More than `rest`.
    };

    /// Makes a chooser under a secret of 16 random octets, with the default options.
    explicit port_chooser(std::span<const std::byte, 16> secret) noexcept : port_chooser(secret, options()) {}
    /// Makes a chooser under a secret of 16 random octets.
    port_chooser(std::span<const std::byte, 16> secret, const options& wanted) noexcept : key_(secret), options_(wanted) {
        assert(wanted.first != 0 && wanted.first <= wanted.last && wanted.tries != 0 && wanted.rest < wanted.every);
    }

    /// Chooses a port for which `in_use(port)` is false; nothing when there was none within the tries. Two addresses of one
    /// version. Allocates nothing.
    template <class InUse>
    [[nodiscard]] std::optional<std::uint16_t> choose(const ip_address& local, const ip_address& remote,
                                                      std::uint16_t remote_port, InUse&& in_use) {
        const four_tuple destination(local, 0, remote, remote_port);
        const std::uint64_t offset = detail::sip_hash_of(key_, detail::hash_use::port_offset, destination);
        const std::uint64_t which = detail::sip_hash_of(key_, detail::hash_use::port_counter, destination);
        std::uint16_t& counter = counters_[which % counters_.size()];
        const std::uint32_t count = std::uint32_t{options_.last} - options_.first + 1U;
        const std::uint32_t tries = options_.tries < count ? options_.tries : count;
        const auto begin = static_cast<std::uint32_t>(offset % count);
        for (std::uint32_t i = 0; i != tries; ++i) {
            const auto port = static_cast<std::uint16_t>(options_.first + (begin + counter) % count);
            counter = static_cast<std::uint16_t>((counter + 1U) % count);
            if (port % options_.every == options_.rest && !in_use(port)) { return port; }
        }
        return std::nullopt;
    }

private:
    proto::detail::hash_key key_;
    options options_;
    std::array<std::uint16_t, 256> counters_{};  // each below the number of ports
};

}  // namespace fluxnet::proto::tcp
