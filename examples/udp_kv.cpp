// SPDX-License-Identifier: BSD-3-Clause
// A key-value service over UDP, and its client: on a host in user space, or on the kernel's sockets by the same templates.
// Ends at SIGINT or SIGTERM, and says what it has done.
// Usage: udp_kv --interface NAME --address IP[/BITS] [--gateway IP] [--mode auto|native|generic] [--skip-probe]
//               [--port N] [--clients N] [--idle SECONDS] [--ask "SET KEY VALUE"|"GET KEY"|"DEL KEY"... --to IP:PORT]
//        udp_kv --kernel [--address IP] [--port N] [--clients N] [--idle SECONDS] [--ask ... --to IP:PORT]
//        udp_kv --sim [--loss PART] [--ask ...]
// The interface is the program's own while it runs. With --ask it asks what is given, in that order, and serves nothing; it
// exits with 1 when something was not answered with OK. --sim has a service and a client at the two ends of a simulated wire
// that loses packets. udp_kv/protocol.hpp tells what the datagrams are.
#include "examples/command_line.hpp"
#include "examples/udp_kv/asking.hpp"
#include "examples/udp_kv/server.hpp"
#include "examples/user_host.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

using namespace fluxnet;
using namespace kv_example;

struct choices : user_host::place {
    std::string to;
    std::vector<std::string> ask;
    std::uint32_t clients = 1024;
    double idle = 60;
    double loss = 0.1;
    std::uint16_t port = 7777;
};

static choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("A key-value service over UDP, and its client");
    made.declare(options);
    options.optional("--port", made.port, "port of the service");
    options.optional("--clients", made.clients, "clients that are remembered", {1, 1e6});
    options.optional("--idle", made.idle, "seconds after which a silent client is forgotten", {0.001, 1e6});
    options.optional("--ask", made.ask, "ask this, and end; several are asked in order");
    options.optional("--to", made.to, "the service that is asked, IP:PORT");
    options.optional("--loss", made.loss, "with --sim: part of the packets that is lost, each way", {0, 1});
    options.parse(argc, argv);
    if (!made.sim && made.ask.empty() != made.to.empty()) {
        throw std::invalid_argument("check --ask and --to: one is of no use without the other");
    }
    return made;
}

static void print_counts(const kv_service& of) {
    const service_counts& counts = of.counts();
    std::printf("%llu requests, %llu repeated, %llu late, %llu datagrams ignored, %llu answers not sent\n",
                0ULL + counts.requests, 0ULL + counts.repeated, 0ULL + counts.late, 0ULL + counts.ignored,
                0ULL + counts.unsent);
    std::printf("%zu keys, %zu clients remembered, %llu forgotten, %llu displaced\n", of.store().size(), of.clients().size(),
                0ULL + counts.forgotten, 0ULL + of.clients().displaced());
}

static task<void> serve_until_it_ends(auto& socket, kv_service& of, std::error_code& ended) {
    ended = co_await serve(socket, of);
}

/// Serves until a signal comes, or the socket fails.
template <datagram_socket S>
static int run_service(executor& loop, const choices& made, result<S> socket) {
    if (!socket) { return std::fprintf(stderr, "%s\n", socket.error().message().c_str()), 1; }
    service_options options;
    options.clients = made.clients;
    options.idle = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(made.idle));
    kv_service of(options);
    std::printf("listening on %u\n", unsigned{socket->local_endpoint().port});
    std::fflush(stdout);
    std::error_code ended;
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.spawn(serve_until_it_ends(*socket, of, ended));
    loop.run();
    print_counts(of);
    if (!ended || ended == errc::operation_canceled) { return 0; }
    return std::fprintf(stderr, "stopped: %s\n", ended.message().c_str()), 1;
}

/// Asks all in order. Returns how many were not answered with OK.
template <datagram_socket S>
static task<int> ask_all(S& socket, proto::ip_endpoint to, const choices& made, std::uint64_t first_id) {
    int failed = 0;
    for (const std::string& what : made.ask) {
        const asked got = co_await ask(socket, to, first_id++, what);
        const char* const how = got.how == outcome::ok ? "OK" : got.how == outcome::none ? "NONE" : "ERROR";
        if (got.ec) {
            std::fprintf(stderr, "%s: %s, after %u tries\n", what.c_str(), got.ec.message().c_str(), got.tries);
        } else {
            std::printf("%s: %s%s%s\n", what.c_str(), how, got.text.empty() ? "" : " ", got.text.c_str());
        }
        if (got.ec || got.how != outcome::ok) { ++failed; }
    }
    co_return failed;
}

/// Numbers rise from one run of the client to the next, which may have the same port.
static std::uint64_t id_by_clock() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

template <datagram_socket S>
static int run_client(executor& loop, const choices& made, const proto::ip_endpoint& to, result<S> socket) {
    if (!socket) { return std::fprintf(stderr, "%s\n", socket.error().message().c_str()), 1; }
    return loop.run(ask_all(*socket, to, made, id_by_clock())) == 0 ? 0 : 1;
}

static proto::ip_address any_of_version(bool v4) {
    return v4 ? proto::ip_address(proto::ipv4_address()) : proto::ip_address(proto::ipv6_address());
}

static int run_on_kernel(const choices& made) {
    executor loop;
    if (!made.ask.empty()) {
        const proto::ip_endpoint to = user_host::endpoint_in(made.to, "--to");
        const proto::ip_address from =
            made.address.empty() ? any_of_version(to.address.is_v4()) : user_host::address_in(made.address, "--address");
        return run_client(loop, made, to, udp_socket::bind({from, 0}));
    }
    const proto::ip_address at = user_host::address_in(made.address.empty() ? "127.0.0.1" : made.address, "--address");
    return run_service(loop, made, udp_socket::bind({at, made.port}));
}

static int run_on_interface(const choices& made) {
    const host::host_options options = made.host_options();
    executor loop;
    auto here = user_host::open_host(loop, made.interface, made.mode, options);
    if (!here) { return std::fprintf(stderr, "%s\n", here.error().message().c_str()), 1; }
    const proto::ip_address own = options.addresses[0].address;
    const int status = made.ask.empty()
                           ? run_service(loop, made, here->open_udp({own, made.port}))
                           : run_client(loop, made, user_host::endpoint_in(made.to, "--to"), here->open_udp({own, 0}));
    return user_host::print_end(*here, made.interface, status);
}

static int run_on_wire(choices made) {
    wire_options losing;
    losing.to_left.loss = losing.to_right.loss = made.loss;
    user_host::hosts_on_a_wire both(losing);
    const proto::ip_endpoint to{user_host::hosts_on_a_wire::left_address(), made.port};
    auto door = both.left().open_udp(to).value();
    auto socket = both.right().open_udp({user_host::hosts_on_a_wire::right_address(), 0}).value();
    if (made.ask.empty()) {
        for (int i = 0; i != 20; ++i) {
            made.ask.push_back("SET key" + std::to_string(i) + " value " + std::to_string(i));
            made.ask.push_back("GET key" + std::to_string(i));
        }
    }
    kv_service of;
    std::error_code ended;
    both.loop().spawn_background(serve_until_it_ends(door, of, ended));
    const int failed = both.loop().run(ask_all(socket, to, made, 1));
    print_counts(of);
    return failed == 0 ? 0 : 1;
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
