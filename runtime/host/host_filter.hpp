// SPDX-License-Identifier: BSD-3-Clause
// `filter_for`: what an ip_host has to see of an interface that it shares with the kernel's stack.
//
//     host::host_options options;
//     options.addresses = {{proto::ipv4_address(192, 0, 2, 9), 24}};  // none of the kernel's
//     auto sockets = open_async(loop, builder("eth0").only(host::filter_for(options))).value();
//     auto here = host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
//
// The host then lives beside the kernel, as a second machine at the same port of the switch: the kernel's addresses, its
// ARP, its Neighbor Discovery and its sockets are as they were. Whatever concerns the host's addresses is the host's, and so
// the kernel answers nothing of it: no echo request, no port that nobody listens on. The two do not reach each other through
// the interface, which hears nothing that the machine itself sends.
//
// Not redirected, and so not heard by the host: broadcasts and multicasts of IPv4, router advertisements, and advertisements
// that neighbours send to all nodes unasked (another link address of a neighbour is found out by the next probe). VLANs: see
// packet_filter. An IPv6 address of the host's that ends in the same 24 bits as one of the kernel's has the same group of
// Neighbor Discovery: the kernel would not be asked for its own any more. Choose another.
//
// A filter of the program's own has to let ARP and Neighbor Discovery through as well, or the host is to be told of its
// neighbours (host_options::neighbours): else it finds nobody to send to, and can answer nothing.
//
// An address of the kernel's own can be shared by ports:
//
//     options.addresses = {{proto::ipv4_address(192, 0, 2, 1), 24}};  // as `ip address` shows it
//     options.only_ports = host::host_ports{.tcp = {80}, .chosen = port_range(61000, 61999)};
//
// The kernel then answers ARP, Neighbor Discovery and echo requests at the address, as before, and everything at other ports.
// The host asks it for the link addresses of neighbours (rtnetlink(7): a call or two for each that is looked for, which take
// CAP_NET_ADMIN as long as the host is open). While it is open the ports that are named are held against other programs, each
// by a socket of the kernel's that is bound and takes nothing in. Ports to be chosen are not held: they have to lie outside of
// net.ipv4.ip_local_port_range, or be among net.ipv4.ip_local_reserved_ports (the kernel's document ip-sysctl), where
// ip_host::open() looks, and outside of what NAT on this machine uses, where it does not.
//
// What such a host does not hear goes to the kernel, which knows nothing of its connections:
//  - Queues without a host. Segments that arrive there are answered by resets: have a host on each queue of the interface
//    (host_queues.hpp), or have the card give these ports to its queue (`ethtool -N`).
//  - Packets in fragments, which show no ports. A fragmented segment is answered by a reset, datagrams are lost.
//  - ICMP errors. Nobody tells the host of a path whose MTU is smaller than the link's: set host_options::mtu to what all
//    paths pass.
//  - Programs of the same machine: what they send to the address does not leave through the interface.
//
// A function without state; any thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/xsk/filter.hpp"

#include <optional>

namespace fluxnet::host {

/// Redirects what is sent to the addresses of the host, what asks for them or claims them, and nothing else: three rules for
/// each address, so that those of the options, of which there are at most 16, have room. With host_options::only_ports what is
/// sent to these ports at the addresses, and nothing else: a rule for each port and each protocol at each address.
[[nodiscard]] FLUXNET_EXPORT packet_filter filter_for(const host_options& options);

/// The prefix of all addresses that begin with the first `length` bits of `address`; of itself alone when none is given.
[[nodiscard]] FLUXNET_EXPORT ip_prefix prefix_of(const proto::ip_address& address, std::optional<unsigned> length = {});

}  // namespace fluxnet::host
