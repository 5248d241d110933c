// SPDX-License-Identifier: BSD-3-Clause
// Serves the counters of a packet program over HTTP: /metrics for Prometheus, and / for people. The packet program and the
// server are coroutines of one executor, on one thread. Ends at SIGINT or SIGTERM, when requests under way are answered.
// Usage: http_counters [--port N] [--address IP] [--reactor automatic|io_uring|epoll] [--connections N]
//                      [--interface NAME --host IP [--queue N] [--mode auto|native|generic]]
// Without --interface the packets come from a client at the other end of a simulated wire.
#include "examples/command_line.hpp"
#include "examples/http_counters/counters.hpp"
#include "examples/opening_report.hpp"
#include "examples/raw/generator.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace http_example;

struct choices {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9100;
    std::string reactor = "automatic";
    server_options server;
    std::string interface;
    std::string host;
    std::uint32_t queue = 0;
    xdp_mode mode = xdp_mode::automatic;
};

static choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("Serves the counters of a packet program over HTTP");
    options.optional("--port", made.port, "port to listen on; 0 takes a free one");
    options.optional("--address", made.address, "address to listen on");
    options.choice("--reactor", made.reactor, "what to wait with", {"automatic", "io_uring", "epoll"});
    options.optional("--connections", made.server.connections, "connections at a time", {1, 100'000});
    options.optional("--interface", made.interface, "interface whose packets are answered; it is the program's own then");
    options.optional("--host", made.host, "IPv4 address that packets are answered for");
    options.optional("--queue", made.queue, "receive queue");
    options.mode(made.mode);
    options.parse(argc, argv);
    return made;
}

/// The other party of the packet program on a simulated wire: some thousand requests a second.
static task<void> send_requests(raw_example::generator& client) {
    for (;;) {
        const wait_result canceled = co_await sleep_for(std::chrono::milliseconds(10));
        client.collect();
        if (canceled) { co_return; }
        client.send(32);
    }
}

/// Answers packets in the background; when that fails, the server ends too.
static task<void> answer_packets(packet_program& packets, http_server& server, std::error_code& failure) {
    const std::error_code ended = co_await packets.answer();
    if (ended != errc::operation_canceled) { failure = ended; }
    server.end();
}

static task<void> end_on(signal_set& signals, http_server& server) {
    const int number = co_await signals.next();
    if (number != 0) { server.end(); }
}

static int run(const choices& made, const proto::ip_address& at, std::optional<proto::ipv4_address> host) {
    signal_set signals{SIGINT, SIGTERM};  // before anybody can learn that there is something to stop
    counters counted;
    http_server server([&](std::string_view path) { return counted.page_at(path); }, made.server);
    std::optional<simulated_wire> wire;
    executor loop({}, made.reactor == "epoll"      ? reactor_kind::epoll
                      : made.reactor == "io_uring" ? reactor_kind::io_uring
                                                   : reactor_kind::automatic);
    std::optional<wire_pump> pump;
    if (made.interface.empty()) { pump.emplace(loop, wire.emplace()); }
    auto opened = open_async(
        loop, wire ? wire->socket_on(simulated_wire::end::left) : builder(made.interface).queue(made.queue).mode(made.mode));
    if (!opened) { return std::fprintf(stderr, "%s\n", opened.error().message().c_str()), 1; }
    packet_program packets(std::move(*opened), host.value_or(raw_example::example_ip));
    result<tcp_listener> door = tcp_listener::listen({at, made.port});
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    print_opening_report(packets.sockets().refusals, packets.sockets().notes);
    std::printf("listening on %u\n", unsigned{door->local_endpoint().port});
    std::fflush(stdout);

    counted = {&loop, &packets, &server};
    std::error_code packet_failure;
    std::optional<raw_example::generator> client;
    if (wire) { client.emplace(*wire, simulated_wire::end::right, 1, packets.host().hardware()); }
    if (client) { loop.spawn_background(send_requests(*client)); }
    loop.spawn_background(answer_packets(packets, server, packet_failure));
    loop.spawn_background(end_on(signals, server));
    const std::error_code ended = loop.run(server.serve(std::move(*door)));

    std::uint64_t answers = 0;
    for (const auto& [status, count] : server.counts().answers) { answers += count; }
    std::printf("%llu connections, %llu answers, by %s\n", 0ULL + server.counts().connections, 0ULL + answers,
                std::string(loop.reactor_name()).c_str());
    if (packet_failure) {
        std::fprintf(stderr, "stopped on %s: %s\n", made.interface.c_str(), packet_failure.message().c_str());
    }
    if (ended) { std::fprintf(stderr, "stopped serving: %s\n", ended.message().c_str()); }
    return packet_failure || ended ? 1 : 0;
}

int main(int argc, char** argv) try {
    const choices made = read_choices(argc, argv);
    const auto at = proto::ip_address::parse(made.address);
    if (!at) {
        std::fprintf(stderr, "check --address '%s': not an IP address; use one like 127.0.0.1 or ::1\n",
                     made.address.c_str());
        return 2;
    }
    const auto host = proto::ipv4_address::parse(made.host);
    if (made.interface.empty() ? !made.host.empty() : !host) {
        std::fprintf(stderr, "check --interface '%s' and --host '%s': give both, and an IPv4 address such as 192.0.2.1\n",
                     made.interface.c_str(), made.host.c_str());
        return 2;
    }
    return run(made, *at, host);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
