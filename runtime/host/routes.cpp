// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/routes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace fluxnet::host::detail {
namespace {

using proto::ip_address;

unsigned bits_of(const ip_address& address) noexcept {
    return address.is_v4() ? 32 : 128;
}

/// Tells whether two addresses share their first bits.
bool share_prefix(const ip_address& one, const ip_address& other, unsigned length) noexcept {
    if (one.is_v4() != other.is_v4()) { return false; }
    if (one.is_v4()) {
        const std::uint32_t differ = one.v4().to_host_order() ^ other.v4().to_host_order();
        return length == 0 || differ >> (32 - length) == 0;
    }
    const auto& a = one.v6().octets();
    const auto& b = other.v6().octets();
    for (std::size_t i = 0; i != a.size() && length != 0; ++i) {
        const unsigned bits = std::min(length, 8U);
        if (((a[i] ^ b[i]) & 0xffU) >> (8 - bits) != 0) { return false; }
        length -= bits;
    }
    return true;
}

bool is_link_local(const ip_address& address) noexcept {
    return address.is_v6() && address.v6().is_link_local();
}

/// Tells whether one host on an Ethernet can have the address.
bool can_be_host(const ip_address& address) noexcept {
    if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) { return false; }
    return address.is_v6() ? !address.v6().is_v4_mapped() : !address.v4().is_this_network() && !address.v4().is_broadcast();
}

}  // namespace

routes::routes(const host_options& options) : addresses_(options.addresses), gateways_(options.gateways) {}

std::string routes::check(const host_options& options) {
    if (options.addresses.empty()) { return "it has no address"; }
    if (options.addresses.size() > proto::own_addresses::options().capacity) { return "it has more than 16 addresses"; }
    for (const host_address& own : options.addresses) {
        const std::string text = own.address.to_string();
        if (!can_be_host(own.address)) { return text + " cannot be the address of a host"; }
        if (own.prefix_length > bits_of(own.address)) {
            return "the prefix of " + text + ", " + std::to_string(own.prefix_length) + " bits, is longer than the address";
        }
        if (std::ranges::count(options.addresses, own.address, &host_address::address) != 1) {
            return "it has the address " + text + " twice";
        }
    }
    for (const ip_address& gateway : options.gateways) {
        const std::string text = gateway.to_string();
        if (!can_be_host(gateway)) { return text + " cannot be the address of a gateway"; }
        const auto reaches = [&](const host_address& own) { return share_prefix(own.address, gateway, own.prefix_length); };
        if (!is_link_local(gateway) && std::ranges::none_of(options.addresses, reaches)) {
            return "the gateway " + text + " is on none of its links";
        }
        const auto version = [&](const ip_address& other) { return other.is_v4() == gateway.is_v4(); };
        if (std::ranges::count_if(options.gateways, version) != 1) { return "it has two gateways of one version"; }
    }
    if (options.neighbours.size() > options.neighbour_table.capacity) { return "its table has no room for its neighbours"; }
    for (const host_neighbour& one : options.neighbours) {
        if (!can_be_host(one.address)) { return one.address.to_string() + " cannot be the address of a neighbour"; }
        if (one.hardware.is_zero() || one.hardware.is_multicast()) {
            return "the link address " + one.hardware.to_string() + " of the neighbour " + one.address.to_string() +
                   " is no station's";
        }
    }
    return {};
}

std::optional<ip_address> routes::gateway_for(const ip_address& destination) const noexcept {
    const auto found =
        std::ranges::find_if(gateways_, [&](const ip_address& one) { return one.is_v4() == destination.is_v4(); });
    return found == gateways_.end() ? std::nullopt : std::optional(*found);
}

std::optional<ip_address> routes::next_hop(const ip_address& destination) const noexcept {
    if (is_link_local(destination)) { return destination; }
    for (const host_address& own : addresses_) {
        if (share_prefix(own.address, destination, own.prefix_length)) { return destination; }
    }
    return gateway_for(destination);
}

std::optional<ip_address> routes::source_for(const ip_address& destination, const proto::own_addresses& own) const noexcept {
    const std::optional<ip_address> gateway = gateway_for(destination);
    const bool local = is_link_local(destination) || (destination.is_v6() && destination.is_multicast());
    std::optional<ip_address> best;
    int best_rank = -1;
    for (const host_address& one : addresses_) {
        if (one.address.is_v4() != destination.is_v4()) { continue; }
        const auto state = own.state_of(one.address);
        if (state == proto::own_addresses::state::none) { continue; }
        int rank = state == proto::own_addresses::state::in_use ? 8 : 0;
        if (is_link_local(one.address) == local) { rank += 4; }
        if (share_prefix(one.address, destination, one.prefix_length)) {
            rank += 2;
        } else if (gateway && share_prefix(one.address, *gateway, one.prefix_length)) {
            rank += 1;
        }
        if (rank > best_rank) {
            best_rank = rank;
            best = one.address;
        }
    }
    return best;
}

bool routes::is_broadcast(const ip_address& address) const noexcept {
    if (!address.is_v4()) { return false; }
    if (address.v4().is_broadcast()) { return true; }
    return std::ranges::any_of(addresses_, [&](const host_address& own) {
        if (!own.address.is_v4() || own.prefix_length >= 31) { return false; }  // RFC 3021
        const std::uint32_t hosts = own.prefix_length == 0 ? 0xffffffffU : (1U << (32 - own.prefix_length)) - 1;
        return address.v4().to_host_order() == (own.address.v4().to_host_order() | hosts);
    });
}

}  // namespace fluxnet::host::detail
