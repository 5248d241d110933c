// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/host_filter.hpp"

#include <algorithm>
#include <cstdint>

namespace fluxnet::host {
namespace {

constexpr std::uint16_t arp_type = 0x0806;

void add_v4(packet_filter& filter, const ip_prefix& own) {
    filter.add({.destination = own});
    filter.add({.ether_type = arp_type, .destination = own});
    // A claim to the address, and the answer to a probe, which comes with the target 0.0.0.0 (RFC 5227 section 2.1.1).
    filter.add({.ether_type = arp_type, .source = own});
}

void add_v6(packet_filter& filter, const ip_prefix& own, const ip_prefix& group) {
    filter.add({.destination = own});
    filter.add({.destination = group});
    // A claim to the address, which goes to all nodes (RFC 4861 section 7.2.4).
    filter.add({.source = own});
}

void add_ports(packet_filter& filter, const ip_prefix& own, const host_ports& ports) {
    const auto add = [&](filter_rule rule) {
        rule.destination = own;
        filter.add(rule);
    };
    for (const std::uint16_t port : ports.tcp) { add(filter_rule::tcp_to(port)); }
    for (const std::uint16_t port : ports.udp) { add(filter_rule::udp_to(port)); }
    if (ports.chosen) {
        add(filter_rule::tcp_to(*ports.chosen));
        add(filter_rule::udp_to(*ports.chosen));
    }
}

}  // namespace

ip_prefix prefix_of(const proto::ip_address& address, std::optional<unsigned> length) {
    ip_prefix made = address.is_v4() ? ip_prefix::v4(address.v4().octets()) : ip_prefix::v6(address.v6().octets());
    made.length = std::min(length.value_or(made.length), made.length);
    for (unsigned bit = made.length; bit < 128; ++bit) {
        made.address[bit / 8] = static_cast<std::uint8_t>(made.address[bit / 8] & ~(0x80U >> bit % 8));
    }
    return made;
}

packet_filter filter_for(const host_options& options) {
    packet_filter filter;
    for (const host_address& own : options.addresses) {
        const ip_prefix alone = prefix_of(own.address);
        if (options.only_ports) {
            add_ports(filter, alone, *options.only_ports);
        } else if (own.address.is_v4()) {
            add_v4(filter, alone);
        } else {
            add_v6(filter, alone, prefix_of(own.address.v6().solicited_node()));
        }
    }
    return filter;
}

}  // namespace fluxnet::host
