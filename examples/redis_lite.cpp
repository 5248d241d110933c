// SPDX-License-Identifier: BSD-3-Clause
// A server of a part of Redis: PING, ECHO, SET with EX and PX, GET, DEL, EXISTS and INCR, in RESP2 by hiredis' parser and as
// inline commands; over TCP of a host in user space, or over the kernel's by the same templates. redis-cli and
// redis-benchmark talk to it. Ends at SIGINT or SIGTERM, and says what it has done.
// Usage: redis_lite --interface NAME --address IP[/BITS] [--gateway IP] [--mode auto|native|generic] [--skip-probe]
//                   [--port N] [--connections N] [--megabytes N]
//        redis_lite --kernel [--address IP] [--port N] [--connections N] [--megabytes N]
//        redis_lite --sim [--ask COMMAND...]
// The interface is the program's own while it runs. --sim has a server and a client at the two ends of a simulated wire; the
// client sends the commands, all at once, and prints what comes back.
#include "examples/command_line.hpp"
#include "examples/redis_lite/server.hpp"
#include "examples/user_host.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace redis_example;

struct choices : user_host::place {
    std::vector<std::string> ask;
    std::uint32_t connections = 512;
    std::uint32_t megabytes = 64;
    std::uint16_t port = 6379;
};

static choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("Serves a part of Redis, by TCP in user space");
    made.declare(options);
    options.optional("--port", made.port, "port to listen on");
    options.optional("--connections", made.connections, "connections at the same time", {1, 60'000});
    options.optional("--megabytes", made.megabytes, "memory for keys and values", {1, 1e6});
    options.optional("--ask", made.ask, "with --sim: commands instead of the usual ones");
    options.parse(argc, argv);
    return made;
}

static server_options options_of(const choices& made) {
    server_options options;
    options.connections = made.connections;
    options.store.octets = std::size_t{made.megabytes} << 20;
    options.store.keys = options.store.octets / store_example::bounded_store::overhead;
    return options;
}

static void print_counts(const redis_server& of) {
    const server_counts& counts = of.counts();
    std::printf("%llu connections, %llu commands, %llu refused, %llu late; %zu keys\n", 0ULL + counts.connections,
                0ULL + counts.commands, 0ULL + counts.refused, 0ULL + counts.late, of.store().size());
}

static task<void> serve_until_it_ends(redis_server& server, auto& door, std::error_code& ended) {
    ended = co_await server.serve(door);
}

/// Serves until a signal comes, or the listener fails.
template <listener L>
static int run_server(redis_server& server, executor& loop, result<L> door) {
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    std::printf("listening on %u\n", unsigned{door->local_endpoint().port});
    std::fflush(stdout);
    std::error_code ended;
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.spawn(serve_until_it_ends(server, *door, ended));
    loop.run();
    print_counts(server);
    if (!ended || ended == errc::operation_canceled) { return 0; }
    return std::fprintf(stderr, "stopped: %s\n", ended.message().c_str()), 1;
}

static int run_on_kernel(const choices& made) {
    redis_server server(options_of(made));
    executor loop;
    const proto::ip_address at = user_host::address_in(made.address.empty() ? "127.0.0.1" : made.address, "--address");
    return run_server(server, loop, tcp_listener::listen({at, made.port}));
}

static int run_on_interface(const choices& made) {
    const host::host_options options = made.host_options();
    redis_server server(options_of(made));
    executor loop;
    auto here = user_host::open_host(loop, made.interface, made.mode, options);
    if (!here) { return std::fprintf(stderr, "%s\n", here.error().message().c_str()), 1; }
    const int status = run_server(server, loop, here->listen({options.addresses[0].address, made.port}));
    user_host::let_streams_end(loop, *here);
    return user_host::print_end(*here, made.interface, status);
}

/// Sends all commands, and prints what comes back. Returns whether the connection ended in order.
static task<bool> talk(host::ip_host& from, proto::ip_endpoint to, std::string commands) {
    auto made = co_await from.connect(to);
    if (!made) {
        std::fprintf(stderr, "%s\n", made.error().message().c_str());
        co_return false;
    }
    host::tcp_stream peer = std::move(*made);
    const io_result sent = co_await peer.write(std::as_bytes(std::span(commands)));
    const wait_result ended = co_await peer.shutdown_write();
    std::array<char, 4096> room;
    for (;;) {
        const io_result got = co_await peer.read(std::as_writable_bytes(std::span(room)));
        std::fwrite(room.data(), 1, got.n, stdout);
        if (got.ec) { co_return got.ec == errc::end_of_stream && !sent.ec && !ended; }
    }
}

static int run_on_wire(const choices& made) {
    redis_server server(options_of(made));
    user_host::hosts_on_a_wire both;
    std::string commands;
    for (const std::string& each : made.ask) { commands += each + "\r\n"; }
    if (made.ask.empty()) {
        commands =
            "PING\r\nSET colour blue EX 10\r\nGET colour\r\nINCR visits\r\nINCR visits\r\nEXISTS colour visits other\r\n";
    }
    const proto::ip_endpoint to{user_host::hosts_on_a_wire::left_address(), made.port};
    auto door = both.left().listen(to).value();
    std::error_code ended;
    both.loop().spawn_background(serve_until_it_ends(server, door, ended));
    const bool whole = both.loop().run(talk(both.right(), to, commands));
    print_counts(server);
    return whole ? 0 : 1;
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
