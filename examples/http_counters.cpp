// SPDX-License-Identifier: BSD-3-Clause
// Serves the counters of a packet program over HTTP: /metrics for Prometheus, and / for people. The packet program and the
// server are coroutines of one executor, on one thread. Ends at SIGINT or SIGTERM, when requests under way are answered.
// Usage: http_counters [--port N] [--address IP] [--reactor automatic|io_uring|epoll] [--connections N]
//                      [--interface NAME --host IP [--queue N] [--mode auto|native|generic] [--tcp kernel|host]]
// Without --interface the packets come from a client at the other end of a simulated wire. With --tcp host there is no kernel
// between the interface and the pages: a host in user space has the address --host, answers packets, and serves there.
#include "examples/command_line.hpp"
#include "examples/http_counters/counters.hpp"
#include "examples/http_counters/packet_program.hpp"
#include "examples/opening_report.hpp"
#include "examples/raw/generator.hpp"
#include "examples/user_host.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace http_example;

struct choices {
    std::string address;
    std::uint16_t port = 9100;
    std::string reactor = "automatic";
    server_options server;
    std::string interface;
    std::string host;
    std::uint32_t queue = 0;
    xdp_mode mode = xdp_mode::automatic;
    std::string tcp = "kernel";

    [[nodiscard]] reactor_kind waiting() const {
        if (reactor == "epoll") { return reactor_kind::epoll; }
        return reactor == "io_uring" ? reactor_kind::io_uring : reactor_kind::automatic;
    }
};

static choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("Serves the counters of a packet program over HTTP");
    options.optional("--port", made.port, "port to listen on; 0 takes a free one");
    options.optional("--address", made.address, "address to listen on by the kernel's TCP; 127.0.0.1 unless given");
    options.choice("--reactor", made.reactor, "what to wait with", {"automatic", "io_uring", "epoll"});
    options.optional("--connections", made.server.connections, "connections at a time", {1, 100'000});
    options.optional("--interface", made.interface, "interface whose packets are answered; it is the program's own then");
    options.optional("--host", made.host, "address that packets are answered for; with --tcp host IP or IP/BITS");
    options.optional("--queue", made.queue, "receive queue");
    options.mode(made.mode);
    options.choice("--tcp", made.tcp, "whose TCP serves: the kernel's, or that of the host in user space at --host",
                   {"kernel", "host"});
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

/// Serves until a signal comes, and says what it has done. Returns the program's status.
template <listener L>
static int serve(executor& loop, http_server& server, signal_set& signals, L door) {
    std::printf("listening on %u\n", unsigned{door.local_endpoint().port});
    std::fflush(stdout);
    loop.spawn_background(end_on(signals, server));
    const std::error_code ended = loop.run(server.serve(std::move(door)));
    std::uint64_t answers = 0;
    for (const auto& [status, count] : server.counts().answers) { answers += count; }
    std::printf("%llu connections, %llu answers, by %s\n", 0ULL + server.counts().connections, 0ULL + answers,
                std::string(loop.reactor_name()).c_str());
    if (ended) { std::fprintf(stderr, "stopped serving: %s\n", ended.message().c_str()); }
    return ended ? 1 : 0;
}

/// Serves by the kernel's TCP what a packet program beside it counts.
static int run_on_kernel(const choices& made, const proto::ip_address& at, proto::ipv4_address host) {
    signal_set signals{SIGINT, SIGTERM};  // before anybody can learn that there is something to stop
    counters counted;
    http_server server([&](std::string_view path) { return counted.page_at(path); }, made.server);
    std::optional<simulated_wire> wire;
    executor loop({}, made.waiting());
    std::optional<wire_pump> pump;
    if (made.interface.empty()) { pump.emplace(loop, wire.emplace()); }
    auto opened = open_async(
        loop, wire ? wire->socket_on(simulated_wire::end::left) : builder(made.interface).queue(made.queue).mode(made.mode));
    if (!opened) { return std::fprintf(stderr, "%s\n", opened.error().message().c_str()), 1; }
    packet_program packets(std::move(*opened), host);
    result<tcp_listener> door = tcp_listener::listen({at, made.port});
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    print_opening_report(packets.sockets().refusals, packets.sockets().notes);

    counted = {&loop, [&](metrics& all) { packets.add_to(all); }, &server};
    std::error_code packet_failure;
    std::optional<raw_example::generator> client;
    if (wire) { client.emplace(*wire, simulated_wire::end::right, 1, packets.host().hardware()); }
    if (client) { loop.spawn_background(send_requests(*client)); }
    loop.spawn_background(answer_packets(packets, server, packet_failure));
    const int status = serve(loop, server, signals, std::move(*door));
    if (!packet_failure) { return status; }
    std::fprintf(stderr, "stopped on %s: %s\n", made.interface.c_str(), packet_failure.message().c_str());
    return 1;
}

/// Serves what a host in user space counts, by its own TCP.
static int run_on_host(const choices& made) {
    signal_set signals{SIGINT, SIGTERM};
    counters counted;
    http_server server([&](std::string_view path) { return counted.page_at(path); }, made.server);
    host::host_options options;
    options.addresses = {user_host::host_address_in(made.host, "--host")};
    options.tcp.connections = made.server.connections + 64;  // some that are closing beside those that are served
    executor loop({}, made.waiting());
    auto here = user_host::open_host(loop, made.interface, made.mode, options, made.queue);
    if (!here) { return std::fprintf(stderr, "%s\n", here.error().message().c_str()), 1; }
    auto door = here->listen({options.addresses[0].address, made.port});
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }

    counted = {&loop, [&](metrics& all) { here->add_to(all, "host"); }, &server};
    const int status = serve(loop, server, signals, std::move(*door));
    user_host::let_streams_end(loop, *here);
    return user_host::print_end(*here, made.interface, status);
}

static int refuse(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 2;
}

int main(int argc, char** argv) try {
    const choices made = read_choices(argc, argv);
    if (made.tcp == "host") {
        if (made.interface.empty() || made.host.empty()) { return refuse("check --tcp host: give --interface and --host too"); }
        if (!made.address.empty()) { return refuse("check --address: with --tcp host the address is that of --host"); }
        return run_on_host(made);
    }
    const proto::ip_address at = user_host::address_in(made.address.empty() ? "127.0.0.1" : made.address, "--address");
    const auto host = proto::ipv4_address::parse(made.host);
    if (made.interface.empty() ? !made.host.empty() : !host) {
        return refuse("check --interface '" + made.interface + "' and --host '" + made.host +
                      "': give both, and an IPv4 address such as 192.0.2.1");
    }
    return run_on_kernel(made, at, host.value_or(raw_example::example_ip));
} catch (const std::invalid_argument& wrong) {
    return refuse(wrong.what());
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
