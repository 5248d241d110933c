// SPDX-License-Identifier: BSD-3-Clause
// `host_options`: what an ip_host is: its addresses, its gateways, its link, and the bounds of its tables.
//
// A plain value, for any thread.
#pragma once

#include "fluxnet/proto/icmp_limiter.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/neighbour/neighbour_table.hpp"
#include "fluxnet/proto/neighbour/own_addresses.hpp"
#include "fluxnet/proto/path_mtu.hpp"
#include "fluxnet/proto/reassembly.hpp"
#include "fluxnet/proto/tcp/stack_options.hpp"
#include "fluxnet/runtime/host/host_queues.hpp"
#include "fluxnet/xsk/filter.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace fluxnet::host {

/// An address of the host, and which others are on the same link: those that share its first `prefix_length` bits, at most
/// 32 (IPv4) or 128 (IPv6).
struct host_address {
    proto::ip_address address;
    unsigned prefix_length = 0;
};

/// A neighbour whose address on the link is given, and not asked for.
struct host_neighbour {
    proto::ip_address address;
    proto::mac_address hardware;
};

/// What a host has of addresses that are the kernel's. host_filter.hpp says how the two share them.
struct host_ports {
    std::vector<std::uint16_t> tcp;    ///< Where it may listen. None twice, none 0.
    std::vector<std::uint16_t> udp;    ///< Where it may open endpoints for datagrams. Likewise.
    std::optional<port_range> chosen;  ///< Chosen of these: the ports of connect(), and those that are asked for as 0.

    friend bool operator==(const host_ports&, const host_ports&) = default;
};

struct host_options {
    /// At least one, of either version, at most 16.
    std::vector<host_address> addresses;

    /// Where packets go whose destination is on no link of `addresses`: one of each version at most.
    std::vector<proto::ip_address> gateways;

    std::vector<host_neighbour> neighbours;

    /// The host's address on the link; not given: that of the interface, also when it changes.
    std::optional<proto::mac_address> hardware;

    /// The longest IP packet that is sent in one piece, 1280 to 65535 octets; not given: that of the interface, or what a
    /// frame holds if that is less.
    std::optional<std::uint32_t> mtu;

    /// The checksums of UDP and TCP in received frames were checked by somebody else, or were never filled in, as by the
    /// kernel at the other end of a veth pair: they are not looked at.
    bool trust_checksums = false;

    /// Each address is first asked for on the link (RFC 5227, RFC 4862): it is used some seconds later (IPv4: 4 to 7, IPv6:
    /// 1 to 2), and not at all when another station has it. What is sent from it waits until then.
    bool probe_addresses = true;

    /// What becomes of an address that another station claims.
    proto::own_addresses::defence defence = proto::own_addresses::defence::always;

    /// TCP: how much it has room for, and what its connections are like. The MTU sets `maximum_segment`.
    proto::tcp::stack_options tcp = {};

    /// The bounds of the other engines.
    proto::neighbour_table::options neighbour_table = {};
    proto::reassembly::options reassembly = {};
    proto::icmp_limiter::options icmp_errors = {};
    proto::path_mtu::options paths = {};

    /// The addresses are the kernel's, which goes on using them, and the host has these ports of them, and nothing else: no
    /// echo request, no ARP, no Neighbor Discovery. Then `probe_addresses` and `defence` say nothing, and `chosen` stands for
    /// `tcp.ports`.
    std::optional<host_ports> only_ports;

    /// The hosts on other queues of the same interface, with which it is one host to the network. They have the same
    /// `addresses`, `hardware`, `only_ports` and `tcp.ports`, of which they share out what is chosen.
    std::optional<host_queues> queues;

    /// What random numbers (ports, identifications, delays) are drawn from; not given: the system's. For replays.
    std::optional<std::uint64_t> seed;
};

}  // namespace fluxnet::host
