// SPDX-License-Identifier: BSD-3-Clause
// `packet_host`: the packet program of asio_embed: a host that answers ARP, ping and UDP echo, as a coroutine of Asio's.
//
// Owns a port, which is bound to an execution: it goes before that. Threads: the strand of the execution, or any thread
// while none runs the context.
#pragma once

#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <cstdint>
#include <string>

namespace embed_example {

namespace net = boost::asio;

/// What packets of one direction came to.
struct traffic {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
};

/// How full a ring is.
struct ring_level {
    std::int64_t used = 0;
    std::uint32_t size = 0;
};

/// What the program knows of its packets at one moment. The counters count from its start.
struct packet_sample {
    traffic received;
    traffic sent;
    fluxnet::proto::echo_host::counters host;
    fluxnet::socket_statistics kernel;
    std::uint64_t unsent = 0;  ///< Taken by the kernel to be sent, and dropped there.
    fluxnet::frame_census frames;
    ring_level rx;          ///< Received packets that the program has not taken.
    ring_level fill;        ///< Frames with the kernel to receive into, those in the driver's hands included.
    ring_level tx;          ///< Packets that the kernel has not taken.
    ring_level completion;  ///< Sent packets whose frames the program has not taken back.
};

class packet_host {
public:
    /// `options`: those that the port was opened with.
    packet_host(fluxnet::asio::port port, fluxnet::proto::ipv4_address address, const fluxnet::builder& options);

    /// Answers packets until it is cancelled, or the interface fails; completes with which.
    [[nodiscard]] net::awaitable<boost::system::error_code> answer();

    /// Looks at everything: one system call (getsockopt).
    [[nodiscard]] packet_sample sample();

    /// Waits, blocking the thread, until what was sent has left, for a fifth of a second at the longest.
    void drain();

    [[nodiscard]] const fluxnet::proto::echo_host& host() const noexcept { return host_; }

    /// Names the interface, and how packets come from there: "flux0, native XDP, copy".
    [[nodiscard]] const std::string& source() const noexcept { return source_; }

private:
    fluxnet::asio::port port_;
    fluxnet::proto::echo_host host_;
    packet_sample sizes_;  // of the rings; nothing else is set
    std::string source_;
    traffic received_;
    traffic sent_;
};

}  // namespace embed_example
