// SPDX-License-Identifier: BSD-3-Clause
// An HTTP/1.1 server of a folder, a TCP echo service, and a client of the first: over TCP in user space, or over the kernel's
// by the same templates. Ends at SIGINT or SIGTERM, and says what it has done.
// Usage: tcp_stack_async --interface NAME --address IP[/BITS] [--gateway IP] [--mode auto|native|generic] [--skip-probe]
//                        [--share] [--port N] [--echo-port N] [--root FOLDER] [--get IP:PORT/PATH] [--quiet]
//        tcp_stack_async --kernel [--address IP] [--port N] [--echo-port N] [--root FOLDER] [--get IP:PORT/PATH] [--quiet]
//        tcp_stack_async --sim
// The interface is the program's own while it runs; with --share the address is one of the kernel's, and the program has of it
// the ports of its services, or 61000 to 61999 to call from. /bytes/N is a page of N octets. With --get it asks for one page, and
// serves nothing. --sim has a server and a client at the two ends of a simulated wire.
#include "examples/command_line.hpp"
#include "examples/tcp_stack/web_client.hpp"
#include "examples/tcp_stack/web_server.hpp"
#include "examples/user_host.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

using namespace fluxnet;
using namespace tcp_example;

struct choices : user_host::place {
    std::string root = ".";
    std::string get;
    std::uint16_t port = 80;
    std::uint16_t echo_port = 0;
    bool share = false;
    bool quiet = false;
};

static choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("Serves a folder over HTTP, by TCP in user space");
    made.declare(options);
    options.optional("--port", made.port, "port of the HTTP server");
    options.optional("--echo-port", made.echo_port, "port of the echo service; without it there is none");
    options.optional("--root", made.root, "folder that is served");
    options.optional("--get", made.get, "get a page, IP:PORT/PATH, and end");
    options.flag("--share", made.share, "the address is the kernel's, of which the program has its ports alone");
    options.flag("--quiet", made.quiet, "no line every second");
    options.parse(argc, argv);
    if (made.share && made.interface.empty()) {
        throw std::invalid_argument("check --share: only an address on an interface is shared; give --interface");
    }
    return made;
}

static void print_fetched(const fetched& got, std::chrono::steady_clock::duration took) {
    const double seconds = std::chrono::duration<double>(took).count();
    std::printf("status %u, %llu octets in %.3f s, %.1f Mbit/s\n", got.status, 0ULL + got.octets, seconds,
                seconds > 0 ? 8e-6 * static_cast<double>(got.octets) / seconds : 0.0);
    if (got.ec) { std::printf("the connection ended: %s\n", got.ec.message().c_str()); }
}

static void print_connection(const host::tcp_stream& stream) {
    const proto::tcp::connection_info known = stream.info();
    const auto us = [](std::chrono::nanoseconds time) { return std::chrono::duration<double, std::micro>(time).count(); };
    std::printf("round trips: %.0f us, at least %.0f us; congestion window %llu octets; %u segments sent again\n",
                us(known.smoothed_rtt), us(known.least_rtt), 0ULL + known.congestion_window, known.resent);
}
static void print_connection(const tcp_stream&) {}

static task<void> print_every_second(const site& at, const host::ip_host* here) {
    for (;;) {
        const wait_result canceled = co_await sleep_for(std::chrono::seconds(1));
        if (canceled) { co_return; }
        std::printf("%llu connections, %llu requests, %.1f MB", 0ULL + at.connections, 0ULL + at.requests,
                    1e-6 * static_cast<double>(at.octets));
        if (here != nullptr && here->tcp() != nullptr) {
            std::printf("; %zu open, %llu segments received, %llu sent", here->tcp()->connections(),
                        0ULL + here->counters().segments, 0ULL + here->counters().segments_sent);
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}

/// Serves until a signal comes. `listen(port)` gives a listener, or says why not.
template <class Listen>
static int serve(executor& loop, const choices& made, Listen listen, host::ip_host* here) {
    site at{.root = made.root};
    auto door = listen(made.port);
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    decltype(door) echo_door = error{};
    if (made.echo_port != 0) {
        echo_door = listen(made.echo_port);
        if (!echo_door) { return std::fprintf(stderr, "%s\n", echo_door.error().message().c_str()), 1; }
        loop.spawn(serve_echo(*echo_door, at));
    }
    std::printf("listening on %u\n", unsigned{door->local_endpoint().port});
    std::fflush(stdout);
    if (!made.quiet) { loop.spawn_background(print_every_second(at, here)); }
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.spawn(serve_web(*door, at));
    loop.run();
    if (here != nullptr) { user_host::let_streams_end(loop, *here); }
    std::printf("%llu connections, %llu requests, %llu octets\n", 0ULL + at.connections, 0ULL + at.requests,
                0ULL + at.octets);
    return 0;
}

/// Gets a page. `connect(endpoint)` gives what can be awaited for a stream.
template <class Connect>
static task<int> get(executor& loop, const std::string& what, Connect connect) {
    const std::size_t slash = std::min(what.find('/'), what.size());
    const auto to = proto::ip_endpoint::parse(what.substr(0, slash));
    if (!to) {
        std::fprintf(stderr, "check --get '%s': not like 192.0.2.1:80/path\n", what.c_str());
        co_return 2;
    }
    const auto begun = loop.now();
    auto made = co_await connect(*to);
    if (!made) {
        std::fprintf(stderr, "%s\n", made.error().message().c_str());
        co_return 1;
    }
    const std::string path = slash == what.size() ? "/" : what.substr(slash);
    const fetched got = co_await fetch(*made, to->to_string(), path);
    print_fetched(got, loop.now() - begun);
    print_connection(*made);
    co_return got.status == 200 ? 0 : 1;
}

static int run_on_kernel(const choices& made) {
    executor loop;
    if (!made.get.empty()) {
        return loop.run(get(loop, made.get, [](const proto::ip_endpoint& to) { return tcp_stream::connect(to); }));
    }
    const proto::ip_address address = user_host::address_in(made.address.empty() ? "127.0.0.1" : made.address, "--address");
    const auto listen = [&](std::uint16_t port) { return tcp_listener::listen({address, port}); };
    return serve(loop, made, listen, nullptr);
}

static host::host_ports ports_of(const choices& made) {
    host::host_ports ports;
    if (!made.get.empty()) {
        ports.chosen = port_range(61000, 61999);
        return ports;
    }
    ports.tcp.push_back(made.port);
    if (made.echo_port != 0) { ports.tcp.push_back(made.echo_port); }
    return ports;
}

static int run_on_interface(const choices& made) {
    host::host_options options = made.host_options();
    options.tcp.connections = 4096;
    if (made.share) { options.only_ports = ports_of(made); }
    executor loop;
    auto here = user_host::open_host(loop, made.interface, made.mode, options);
    if (!here) { return std::fprintf(stderr, "%s\n", here.error().message().c_str()), 1; }
    int status = 0;
    if (made.get.empty()) {
        const proto::ip_address own = options.addresses[0].address;
        host::tcp_options wanted;
        wanted.backlog = 1024;
        status = serve(loop, made, [&](std::uint16_t port) { return here->listen({own, port}, wanted); }, &*here);
    } else {
        status = loop.run(get(loop, made.get, [&](const proto::ip_endpoint& to) { return here->connect(to); }));
        user_host::let_streams_end(loop, *here);
    }
    return user_host::print_end(*here, made.interface, status);
}

static int run_on_wire(const choices& made) {
    user_host::hosts_on_a_wire both;
    site at{.root = made.root};
    const proto::ip_endpoint to{user_host::hosts_on_a_wire::left_address(), made.port};
    auto door = both.left().listen(to).value();
    both.loop().spawn_background(serve_web(door, at));
    const std::string what = made.get.empty() ? to.to_string() + "/bytes/100000000" : made.get;
    const auto connect = [&](const proto::ip_endpoint& where) { return both.right().connect(where); };
    const int status = both.loop().run(get(both.loop(), what, connect));
    user_host::print_host(both.left());
    return status;
}

int main(int argc, char** argv) try {
    const choices made = read_choices(argc, argv);
    if (made.sim) { return run_on_wire(made); }
    return made.kernel ? run_on_kernel(made) : run_on_interface(made);
} catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "%s\n", wrong.what());
    return 2;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
