// SPDX-License-Identifier: BSD-3-Clause
// A load balancer for TCP and UDP over IPv4, by threads and queues (see load_balancer/balancer.hpp): it owns a virtual
// address, gives every flow to one backend by consistent hashing, and lets the backend answer the client directly. Usage:
// load_balancer_system --interface NAME --address IP (--backend NAME=MAC ... | --backends FILE) [--queue N]
//            [--workers N] [--depth PACKETS] [--mode auto|native|generic]
// SIGHUP reads the file again (one NAME=MAC per line), SIGUSR1 prints the counters, SIGINT and SIGTERM end it.
//
// The virtual address must not be configured on the balancer's interface: the balancer itself answers ARP and ping for it.
// A backend is on the same Ethernet, has the address on its loopback interface, and must keep it to itself there:
//     ip address add IP/32 dev lo; sysctl net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
#include "examples/command_line.hpp"
#include "examples/load_balancer/balancer.hpp"
#include "examples/opening_report.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <ctime>
#include <string>

#include <pthread.h>
#include <signal.h>

using namespace fluxnet;
using namespace load_balancer;

struct settings {
    std::string interface;
    std::string address;
    std::vector<std::string> backends;
    std::string file;
    std::uint32_t queue = 0;
    xdp_mode mode = xdp_mode::automatic;
    balancer_options balancing;
};

static void declare(command_line& options, settings& given) {
    options.required("--interface", given.interface, "interface on the clients' and backends' Ethernet");
    options.required("--address", given.address, "virtual IPv4 address to answer for");
    options.optional("--backend", given.backends, "NAME=MAC of a backend; may be repeated");
    options.optional("--backends", given.file, "file with one NAME=MAC per line, read again on SIGHUP");
    options.exactly_one_of({"--backend", "--backends"});
    options.optional("--queue", given.queue, "receive queue");
    options.optional("--workers", given.balancing.workers, "threads that pick backends", {1, 64});
    options.optional("--depth", given.balancing.queue_depth, "packets in each queue between threads", {1, 4096});
    options.mode(given.mode);
}

static result<backend_list> read_backends(const settings& given) {
    if (!given.file.empty()) { return backend_list::load(given.file); }
    std::string lines;
    for (const std::string& one : given.backends) { lines += one + '\n'; }
    return backend_list::parse(lines, "--backend");
}

static void reload(const settings& given, backend_board& board) {
    if (given.file.empty()) {
        std::fprintf(stderr, "nothing to read again: the backends were given by --backend\n");
        return;
    }
    auto next = backend_list::load(given.file);
    if (!next) {
        std::fprintf(stderr, "%s; keeping the %zu backends in force\n", next.error().message().c_str(),
                     board.list()->all().size());
        return;
    }
    std::printf("reloaded: %zu backends\n", next->all().size());
    board.hang_up(std::move(*next));
}

static void print_counts(const balancer& running, const backend_board& board) {
    for (const auto& [name, count] : board.counts()) {
        std::printf("backend %s: connections %llu packets %llu bytes %llu\n", name.c_str(), 0ULL + count->connections,
                    0ULL + count->packets, 0ULL + count->bytes);
    }
    const packet_counts& all = running.counts();
    std::printf(
        "summary: rx %llu tx %llu forwarded %llu answered %llu refused %llu worker_queue_full %llu "
        "egress_queue_full %llu unsent %llu\n",
        0ULL + all.received, 0ULL + all.sent, 0ULL + all.forwarded, 0ULL + all.answered, 0ULL + all.refused,
        0ULL + all.worker_queue_full, 0ULL + all.egress_queue_full, 0ULL + all.unsent);
    std::fflush(stdout);
}

/// Prints what is known once the threads have ended; returns whether every frame is accounted for.
static bool print_end(balancer& ended) {
    std::array<std::uint64_t, proto::reason_count> refused{};
    ended.add_refusals(refused);
    for (std::size_t i = 0; i < refused.size(); ++i) {
        if (refused[i] == 0) { continue; }
        const std::string why(name(static_cast<proto::reason>(i)));
        std::printf("dropped: %s %llu\n", why.c_str(), 0ULL + refused[i]);
    }
    const socket_statistics kernel = ended.sockets().rx.statistics();
    std::printf("kernel: rx_dropped %llu rx_ring_full %llu fill_ring_empty %llu tx_invalid_descs %llu tx_dropped %llu\n",
                0ULL + kernel.rx_dropped, 0ULL + kernel.rx_ring_full, 0ULL + kernel.fill_ring_empty,
                0ULL + kernel.tx_invalid_descs, 0ULL + ended.sockets().tx.dropped_by_kernel());
    const frame_census census = ended.sockets().rx.pool().census();
    std::printf("census: frames %lld sum %lld free %lld fill %lld rx %lld tx %lld completion %lld user %lld %s\n",
                0LL + census.frames, 0LL + census.sum(), 0LL + census.free, 0LL + census.fill, 0LL + census.rx,
                0LL + census.tx, 0LL + census.completion, 0LL + census.user, census.exact ? "exact" : "snapshot");
    return census.exact && census.sum() == census.frames && census.user == 0;
}

/// Waits for signals and does what they ask, until the balancer ends or is asked to.
static void obey_signals(const sigset_t& ours, const settings& given, balancer& running, backend_board& board) {
    const timespec glance{0, 200'000'000};  // the balancer may end by itself
    while (!running.ending()) {
        switch (::sigtimedwait(&ours, nullptr, &glance)) {
            case SIGHUP: reload(given, board); break;
            case SIGUSR1: print_counts(running, board); break;
            case SIGINT:
            case SIGTERM: return running.request_stop();
            default: break;  // -1: nothing yet
        }
        std::fflush(stdout);
    }
}

int main(int argc, char** argv) try {
    settings given;
    command_line options("A load balancer: consistent hashing to backends on the same Ethernet, which answer directly");
    declare(options, given);
    options.parse(argc, argv);

    const auto address = proto::ipv4_address::parse(given.address);
    if (!address || address->is_multicast() || address->is_broadcast() || address->is_this_network()) {
        std::fprintf(stderr, "check --address '%s': not the IPv4 address of a host; use one like 192.0.2.1\n",
                     given.address.c_str());
        return 1;
    }
    given.balancing.address = *address;
    auto backends = read_backends(given);
    if (!backends) {
        std::fprintf(stderr, "%s\n", backends.error().message().c_str());
        return 1;
    }
    sigset_t ours;
    sigemptyset(&ours);
    for (const int number : {SIGHUP, SIGUSR1, SIGINT, SIGTERM}) { sigaddset(&ours, number); }
    pthread_sigmask(SIG_BLOCK, &ours, nullptr);  // before there are threads, which inherit it
    // All queues full leave half of the frames to receive into: it is the queues that overflow, and they count what they
    // drop.
    const std::uint32_t in_queues = 2 * given.balancing.workers * given.balancing.queue_depth;
    auto sockets = builder(given.interface)
                       .queue(given.queue)
                       .mode(given.mode)
                       .frames(std::max(2048U, std::bit_ceil(2 * in_queues)))
                       .tx_frames(0)  // what is sent has been received
                       .build_system();
    if (!sockets) {
        std::fprintf(stderr, "%s\n", sockets.error().message().c_str());
        return 1;
    }

    backend_board board(std::move(*backends));
    const char* mode = name(sockets->rx.redirect()->mode());
    const char* copying = sockets->rx.zero_copy() ? "zero-copy" : "copy";
    print_opening_report(sockets->refusals, sockets->notes);
    balancer running(std::move(*sockets), given.balancing, board);
    std::printf("balancing %s on %s queue %u over %zu backends with %u workers: %s XDP, %s\n", given.address.c_str(),
                given.interface.c_str(), given.queue, board.list()->all().size(), given.balancing.workers, mode, copying);
    std::fflush(stdout);
    obey_signals(ours, given, running, board);
    running.join();

    print_counts(running, board);
    const bool whole = print_end(running);
    if (running.failure()) {
        std::fprintf(stderr, "stopped on %s: %s\n", given.interface.c_str(), running.failure().message().c_str());
    }
    return whole && !running.failure() ? 0 : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
