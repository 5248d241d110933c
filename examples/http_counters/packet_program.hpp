// SPDX-License-Identifier: BSD-3-Clause
// `packet_program`: the packet program whose counters are served: a host that answers ARP, ping and UDP echo.
//
// Owns its two handles, which are bound to an executor: it goes before the executor, and after the executor's tasks have
// ended. Threads: that of the executor.
#pragma once

#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <system_error>

namespace http_example {

class packet_program {
public:
    packet_program(fluxnet::async_sockets sockets, fluxnet::proto::ipv4_address address);

    /// Answers packets until it is cancelled, or the interface fails; completes with which.
    [[nodiscard]] fluxnet::task<std::error_code> answer();

    [[nodiscard]] const fluxnet::proto::echo_host& host() const noexcept { return host_; }
    [[nodiscard]] const fluxnet::async_sockets& sockets() const noexcept { return sockets_; }

    /// Adds what it, its handles and its frames have counted.
    void add_to(fluxnet::metrics& all);

    /// Where its frames are.
    [[nodiscard]] fluxnet::frame_census census() { return sockets_.rx.socket().pool().census(); }

private:
    fluxnet::async_sockets sockets_;
    fluxnet::proto::echo_host host_;
};

}  // namespace http_example
