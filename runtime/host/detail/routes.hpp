// SPDX-License-Identifier: BSD-3-Clause
// `routes`: which of the host's addresses a packet leaves from, and where on the link it goes first.
//
// A value, made of the options. A look-up walks over the addresses, of which there are few, and allocates nothing.
// Threads: one at a time.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/neighbour/own_addresses.hpp"
#include "fluxnet/runtime/host/host_options.hpp"

#include <optional>
#include <string>
#include <vector>

namespace fluxnet::host::detail {

class routes {
public:
    /// The addresses and gateways must be such as check() accepts. Allocates.
    explicit routes(const host_options& options);

    /// Says what is wrong with the addresses and gateways; empty: nothing.
    [[nodiscard]] static std::string check(const host_options& options);

    /// The neighbour that a packet to one host goes to first: the destination itself on the host's own link, else the
    /// gateway of its version; none: no way leads there.
    [[nodiscard]] std::optional<proto::ip_address> next_hop(const proto::ip_address& destination) const noexcept;

    /// The address that a packet to the destination leaves from: one on the destination's link, else one on the gateway's,
    /// else the first of its version; link-local ones only for link-local destinations. Only such as `own` has, in use or
    /// still being probed, those in use first. None: the host has no address of the version.
    [[nodiscard]] std::optional<proto::ip_address> source_for(const proto::ip_address& destination,
                                                              const proto::own_addresses& own) const noexcept;

    /// Whether the address is that of all hosts, or of all on one of the host's links.
    [[nodiscard]] bool is_broadcast(const proto::ip_address& address) const noexcept;

private:
    [[nodiscard]] std::optional<proto::ip_address> gateway_for(const proto::ip_address& destination) const noexcept;

    std::vector<host_address> addresses_;
    std::vector<proto::ip_address> gateways_;
};

}  // namespace fluxnet::host::detail
