// SPDX-License-Identifier: BSD-3-Clause
// `datagram_options`: where a datagram_transport may find its datagrams, in which order, and what it has to know for that.
// A plain value.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/runtime/sockets/udp_options.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace fluxnet {

/// By what datagrams travel.
enum class datagram_rung : std::uint8_t {
    af_xdp,      ///< Frames of an AF_XDP socket. All that its queue receives is taken from the kernel: see open().
    af_packet,   ///< Frames of an AF_PACKET socket (xdp_mode::packet_ring), which are copies of the kernel's.
    kernel_udp,  ///< The kernel's UDP (udp_socket).
};

/// "af_xdp", "af_packet" or "kernel_udp".
[[nodiscard]] FLUXNET_EXPORT const char* name(datagram_rung rung) noexcept;

/// Why a rung is not in use: it was refused, or it has ended.
struct datagram_refusal {
    datagram_rung rung;
    error why;
};

/// That a transport has moved from one rung to another.
struct datagram_move {
    datagram_rung from;
    std::optional<datagram_rung> to;  ///< Nothing: no other rung could be opened, and the transport has ended.
    error why;                        ///< How `from` ended.
};

/// Where a neighbour is on the link.
struct datagram_neighbour {
    proto::ipv4_address address;
    proto::mac_address hardware;
};

struct datagram_options {
    /// Where datagrams arrive, and come from. For frames an IPv4 address; port 0 only where the kernel has the address
    /// (never on a simulated wire).
    proto::ip_endpoint local;

    /// The rungs that may be tried, the first first.
    std::vector<datagram_rung> order{datagram_rung::af_xdp, datagram_rung::af_packet, datagram_rung::kernel_udp};

    /// The interface, and the options of its sockets, for frames; none: there are no frames. For af_packet its mode is
    /// packet_ring whatever it says. It is opened again for each rung: build it without builder::over().
    std::optional<builder> frames;

    /// Our address on the link; the interface's own when not given.
    std::optional<proto::mac_address> hardware;

    /// The length of the network's prefix (24 of 192.0.2.0/24), by which frames to the network's broadcast address are
    /// known; at most 32. Not given: that of the kernel, where it has the address; elsewhere only 255.255.255.255 is known.
    std::optional<unsigned> prefix_length;

    /// The next hop of frames, as proto::udp_station finds it: a neighbour of these; else the gateway; without a gateway the
    /// station that was last heard with the address, and then the one that answers to ARP. The kernel's UDP uses the
    /// kernel's routes instead.
    std::vector<datagram_neighbour> neighbours;
    std::optional<proto::mac_address> gateway;

    /// How often ARP asks for an address, 1,000 times at most, and how long it waits each time, an hour at most (RFC 1122
    /// section 2.3.2.1: a second at least, on a link that others share). 0 requests: it never asks.
    unsigned arp_requests = 3;
    std::chrono::milliseconds arp_wait{1000};

    /// Where the kernel's UDP is bound, if not at `local`: an address that outlives the interface, for one.
    std::optional<proto::ip_endpoint> kernel_local;
    /// The text of its `interface` outlives the transport. Its `broadcast` is for frames too: without it nothing is sent to
    /// a broadcast address.
    udp_options kernel;

    /// Called after each move, on the executor's thread, by the coroutine whose await has met the end of the rung; what it
    /// throws leaves that await. It must not destroy the transport.
    std::function<void(const datagram_move&)> on_move;
};

}  // namespace fluxnet
