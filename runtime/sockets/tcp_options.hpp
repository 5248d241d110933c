// SPDX-License-Identifier: BSD-3-Clause
// `tcp_options`: what is asked of the kernel for a TCP socket. A plain value, for any thread; it has no
// destructor, so that g++ 12 takes it in braces within a co_await expression. Source: tcp(7), socket(7).
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"

#include <optional>
#include <string_view>
#include <type_traits>

namespace fluxnet {

struct tcp_options {
    bool no_delay = true;       ///< TCP_NODELAY: small writes go at once, they are not held back for an acknowledgement.
    bool keep_alive = false;    ///< SO_KEEPALIVE: a peer that is silent is asked now and then whether it is still there.
    bool reuse_address = true;  ///< SO_REUSEADDR, listeners: a port may be taken again while old connections fade out.
    bool reuse_port = false;    ///< SO_REUSEPORT, listeners: several share a port, and the kernel spreads connections.
    bool only_ipv6 = false;     ///< IPV6_V6ONLY, listeners: [::] does not take IPv4 connections too.
    int backlog = 4096;         ///< Listeners: connections that wait to be accepted; net.core.somaxconn at most.
    int send_buffer = 0;        ///< SO_SNDBUF in bytes; 0 leaves it to the kernel.
    int receive_buffer = 0;     ///< SO_RCVBUF likewise.
    std::string_view interface = {};              ///< SO_BINDTODEVICE; empty for any. Its text outlives the call.
    std::optional<proto::ip_endpoint> from = {};  ///< Streams: the local address to connect from.
};

static_assert(std::is_trivially_destructible_v<tcp_options>);

}  // namespace fluxnet
