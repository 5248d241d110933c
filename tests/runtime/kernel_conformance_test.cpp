// SPDX-License-Identifier: BSD-3-Clause
// The kernel's sockets as a model of streams, listeners and datagram sockets. The whole program runs on io_uring, on epoll
// and driven by another loop.
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/datagram_conformance.hpp"
#include "tests/runtime/listener_conformance.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

class kernel_ip {
public:
    using stream_type = tcp_stream;
    using listener_type = tcp_listener;
    using socket_type = udp_socket;

    executor& loop() { return loop_; }
    static task<std::pair<stream_type, stream_type>> pair() {
        tcp_pair ends = co_await connect_pair();
        co_return std::pair(std::move(ends.near), std::move(ends.far));
    }
    static listener_type make_listener() { return tcp_listener::listen(on_loopback()).value(); }
    static auto connect(const listener_type& door) { return tcp_stream::connect(door.local_endpoint()); }
    auto connect_to_nobody() { return tcp_stream::connect(nobody()); }
    static socket_type make_socket() { return udp_socket::bind(on_loopback()).value(); }
    /// A port that was free a moment ago, for TCP and UDP.
    static proto::ip_endpoint nobody() {
        const proto::ip_endpoint taken = make_listener().local_endpoint();
        return udp_socket::bind(taken).value().local_endpoint();
    }

private:
    executor loop_;
};

class unix_sockets {
public:
    using stream_type = unix_stream;

    executor& loop() { return loop_; }
    static task<std::pair<stream_type, stream_type>> pair() { co_return unix_stream::pair().value(); }

private:
    executor loop_;
};

}  // namespace

FLUXNET_STREAM_CONFORMANCE(kernel_ip, "kernel TCP")
FLUXNET_STREAM_STOP_CONFORMANCE(kernel_ip, "kernel TCP")
FLUXNET_LISTENER_CONFORMANCE(kernel_ip, "kernel TCP")
FLUXNET_DATAGRAM_CONFORMANCE(kernel_ip, "kernel UDP")

FLUXNET_STREAM_CONFORMANCE(unix_sockets, "Unix streams")
FLUXNET_STREAM_STOP_CONFORMANCE(unix_sockets, "Unix streams")
