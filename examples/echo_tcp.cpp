// SPDX-License-Identifier: BSD-3-Clause
// A TCP echo service on the kernel's sockets: one coroutine for each connection, on one thread. Ends at SIGINT or SIGTERM,
// and says what it has done.
// Usage: echo_tcp [--port N] [--address IP] [--reactor automatic|io_uring|epoll]
#include "examples/command_line.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

using namespace fluxnet;

struct tally {
    std::uint64_t connections = 0;
    std::uint64_t bytes = 0;
};

/// Sends back what arrives, in the buffers that it arrived in.
static task<void> echo(tcp_stream peer, tally& counts) {
    for (;;) {
        const auto lent = co_await peer.read_borrowed();
        if (lent.ec) { co_return; }  // the peer has ended, or broken the connection
        const io_result sent = co_await peer.write(lent.buffer.bytes());
        counts.bytes += sent.n;
        if (sent.ec) { co_return; }
    }
}

static task<void> serve(tcp_listener& door, tally& counts) {
    scope connections;
    for (;;) {
        result<tcp_stream> next = co_await door.accept();
        if (!next && next.error().code == errc::operation_canceled) { co_return; }
        if (!next) {  // no descriptors are left: told once, and accept() waits until there are
            std::fprintf(stderr, "%s\n", next.error().message().c_str());
            continue;
        }
        ++counts.connections;
        connections.spawn(echo(std::move(*next), counts));
    }
}

int main(int argc, char** argv) try {
    std::string address = "127.0.0.1";
    std::uint16_t port = 7;
    std::string reactor = "automatic";
    command_line options("Sends back what arrives over TCP");
    options.optional("--port", port, "port to listen on; 0 takes a free one");
    options.optional("--address", address, "address to listen on");
    options.choice("--reactor", reactor, "what to wait with", {"automatic", "io_uring", "epoll"});
    options.parse(argc, argv);

    const auto at = proto::ip_address::parse(address);
    if (!at) {
        std::fprintf(stderr, "check --address '%s': not an IP address; use one like 127.0.0.1 or ::1\n", address.c_str());
        return 2;
    }
    const reactor_kind kind = reactor == "epoll"      ? reactor_kind::epoll
                              : reactor == "io_uring" ? reactor_kind::io_uring
                                                      : reactor_kind::automatic;
    executor loop({}, kind);
    result<tcp_listener> door = tcp_listener::listen({*at, port});
    if (!door) {
        std::fprintf(stderr, "%s\n", door.error().message().c_str());
        return 1;
    }
    std::printf("listening on %u\n", unsigned{door->local_endpoint().port});
    std::fflush(stdout);
    tally counts;
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.spawn(serve(*door, counts));
    loop.run();
    std::printf("%llu connections, %llu bytes, by %s\n", 0ULL + counts.connections, 0ULL + counts.bytes,
                std::string(loop.reactor_name()).c_str());
    return 0;
} catch (const std::system_error& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
