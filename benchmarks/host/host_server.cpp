// SPDX-License-Identifier: BSD-3-Clause
// The same answers by TCP in user space: a coroutine for each connection over an ip_host.
// Usage: http_host --interface NAME --address IP --port N [--busy 1]
#include "benchmarks/echo/program.hpp"
#include "benchmarks/host/tiny_http.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace benchmark;

static task<bool> send_body(host::tcp_stream& peer, std::uint64_t octets) {
    static const std::vector<std::byte> body(256 * 1024, std::byte{'x'});
    const std::string head = head_of(octets);
    io_result sent = co_await peer.write(std::as_bytes(std::span(head)));
    while (!sent.ec && octets != 0) {
        sent = co_await peer.write(std::span(body).first(std::min<std::uint64_t>(body.size(), octets)));
        octets -= sent.n;
    }
    co_return !sent.ec;
}

static task<void> attend(host::tcp_stream peer) {
    tiny_requests requests;
    for (;;) {
        const io_result got = co_await peer.read(std::as_writable_bytes(requests.room()));
        if (got.ec) { co_return; }
        requests.received(got.n);
        for (auto asked = requests.next(); asked; asked = requests.next()) {
            if (*asked == 0) {
                const io_result sent = co_await peer.write(std::as_bytes(std::span(tiny_answer)));
                if (sent.ec) { co_return; }
            } else {
                const bool went = co_await send_body(peer, *asked);
                if (!went) { co_return; }
            }
        }
    }
}

static task<void> serve(host::tcp_listener& door) {
    scope connections;
    for (;;) {
        auto next = co_await door.accept();
        if (!next) { co_return; }
        connections.spawn(attend(std::move(*next)));
    }
}

static std::string word_after(int argc, char** argv, std::string_view name) {
    for (int i = 1; i + 1 < argc; ++i) {
        if (name == argv[i]) { return argv[i + 1]; }
    }
    std::fprintf(stderr, "%s is missing\n", std::string(name).c_str());
    std::exit(2);
}

int main(int argc, char** argv) try {
    const auto port = static_cast<std::uint16_t>(number_after(argc, argv, "--port", 8080, 65'535));
    const auto address = proto::ip_address::parse(word_after(argc, argv, "--address"));
    idle_policy policy;
    if (number_after(argc, argv, "--busy", 0, 1) != 0) { policy.how = poller::busy; }
    executor loop(policy);
    auto sockets = open_async(loop, builder(word_after(argc, argv, "--interface")).frames(8192).tx_frames(4096));
    if (!sockets) { return std::fprintf(stderr, "%s\n", sockets.error().message().c_str()), 1; }
    host::host_options options;
    options.addresses = {{address.value(), 24}};
    options.probe_addresses = false;
    options.tcp.connections = 4096;
    options.tcp.v4.send_limit = 4U << 20;  // as net.ipv4.tcp_wmem lets the kernel's grow
    options.tcp.buffers_per_connection = 4096;
    auto here = host::ip_host::open(loop, std::move(sockets->rx), std::move(sockets->tx), options);
    if (!here) { return std::fprintf(stderr, "%s\n", here.error().message().c_str()), 1; }
    host::tcp_options wanted;
    wanted.backlog = 1024;
    auto door = here->listen({*address, port}, wanted);
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    print_listening(port);
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.spawn(serve(*door));
    loop.run();
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
