// SPDX-License-Identifier: BSD-3-Clause
// `tcp_options`: what is asked of a host for a connection or a listener.
//
// A plain value, for any thread; it has no destructor, so that g++ 12 takes it in braces within a co_await expression.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"

#include <cstdint>
#include <optional>
#include <type_traits>

namespace fluxnet::host {

struct tcp_options {
    bool no_delay = true;         ///< Small writes go at once, and wait for no acknowledgment (Nagle's algorithm).
    bool keep_alive = false;      ///< A peer that is silent is asked now and then whether it is still there.
    std::uint32_t backlog = 128;  ///< Listeners: connections that wait to be accepted, at least 1. See tcp_listener.
    /// Streams: the address to connect from, one of the host's, and the port; 0 has one chosen.
    std::optional<proto::ip_endpoint> from = {};
};

static_assert(std::is_trivially_destructible_v<tcp_options>);

}  // namespace fluxnet::host
