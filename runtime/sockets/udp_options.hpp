// SPDX-License-Identifier: BSD-3-Clause
// `udp_options`: what is asked of the kernel for a UDP socket. A plain value, for any thread; it has no
// destructor, so that g++ 12 takes it in braces within a co_await expression. Source: udp(7), ip(7), ipv6(7), socket(7).
#pragma once

#include <string_view>
#include <type_traits>

namespace fluxnet {

struct udp_options {
    bool reuse_address = false;  ///< SO_REUSEADDR: several sockets may be bound to one multicast port, each gets all.
    bool reuse_port = false;     ///< SO_REUSEPORT: several share a port, and the kernel spreads datagrams by their sender.
    bool broadcast = false;      ///< SO_BROADCAST: datagrams may be sent to a network's broadcast address.
    bool only_ipv6 = false;      ///< IPV6_V6ONLY: [::] does not take IPv4 datagrams too.
    bool coalesce = false;       ///< UDP_GRO (Linux 5.0): recv_segments() may get several of one sender at once.
    int send_buffer = 0;         ///< SO_SNDBUF in bytes; 0 leaves it to the kernel.
    int receive_buffer = 0;      ///< SO_RCVBUF likewise; what does not fit is lost.
    std::string_view interface = {};  ///< SO_BINDTODEVICE; empty for any. Its text outlives the call.
};

static_assert(std::is_trivially_destructible_v<udp_options>);

}  // namespace fluxnet
