// SPDX-License-Identifier: BSD-3-Clause
// A host in user space with every descriptor moved by hand (Raw mode): answers ARP, ping and UDP echo (port 7), and shows
// step by step what frames go through. What echo_async does with co_await, done with the four rings.
// Usage: manual_packet_pump --interface NAME --address IP [--duration SECONDS] [--mode auto|native|generic]
//        manual_packet_pump --sim
#include "examples/command_line.hpp"
#include "examples/opening_report.hpp"
#include "examples/raw/generator.hpp"
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <vector>

#include <poll.h>

using namespace fluxnet;
using clock_type = std::chrono::steady_clock;

// The memory: 2048 frames of 2048 bytes, which the kernel and we see alike. A frame is at any time in exactly one place: in
// our hands (the free list), with the kernel to receive into (fill ring), received (RX ring), on its way out (TX ring), or
// sent (completion ring). The kernel moves it from fill to RX and from TX to completion; all other moves are made here.
constexpr std::uint32_t frames = 2048;
constexpr std::uint32_t prefilled = 1024;  // frames 0 to 1023 start in the fill ring, the others in our hands

struct pump {
    raw_socket& socket;
    proto::echo_host& host;
    std::vector<frame_index> free_list;
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    clock_type::time_point next_check{};  // of what nothing else tells

    /// Step 1: completion ring -> free list. The kernel has sent these packets; their frames are ours again. Without this
    /// step the completion ring fills up and the kernel stops sending.
    void reclaim() {
        auto completed = socket.comp.consume();
        while (completed.remaining() != 0) { free_list.push_back(socket.umem.index_of(completed.next())); }
    }

    /// Step 2: RX ring -> TX ring or free list. Each packet is turned into its answer where it lies. One that wants no
    /// answer, or finds no room in the TX ring, gives its frame back to us: no frame may end up nowhere.
    void answer() {
        auto packets = socket.rx.consume();
        auto slots = socket.tx.reserve(packets.size());
        while (packets.remaining() != 0) {
            xdp_desc desc = packets.next();
            ++received;
            const auto length = host.answer(socket.umem.bytes(desc.addr, desc.len));
            if (length && slots.remaining() != 0) {
                desc.len = static_cast<std::uint32_t>(*length);
                slots.push(desc);
                ++sent;
            } else {
                free_list.push_back(
                    socket.umem.index_of(desc.addr));  // desc.addr lies inside the frame, behind the headroom
            }
        }
    }  // the guards go out of scope: the kernel sees our answers, and gets the slots of the packets we have read

    /// Step 3: free list -> fill ring. The kernel drops every packet for which it finds no frame there.
    void refill() {
        auto slots = socket.fill.reserve(static_cast<std::uint32_t>(free_list.size()));
        while (slots.remaining() != 0) {
            slots.push(socket.umem.addr_of(free_list.back()));
            free_list.pop_back();
        }
    }

    /// Step 4: system calls, and only when the kernel asks for them: it raises a flag in the ring when it does not look at
    /// it by itself. After the guards have published, or it would look too early.
    void wake_kernel() {
        std::error_code failed;
        if (socket.tx.pending() != 0 && socket.needs_wakeup_tx()) { failed = socket.wakeup_tx(); }
        if (!failed && socket.needs_wakeup_rx()) { failed = socket.wakeup_rx(); }
        if (failed && failed != errc::link_down) { throw std::system_error(failed, "wake the kernel"); }
    }

    void turn() {
        reclaim();
        answer();
        refill();
        wake_kernel();
    }

    /// Step 5: sleep until a packet comes. Not when one came meanwhile, and not for long while answers wait in the TX ring:
    /// the descriptor tells of packets that arrive, and a kick that sent only a part has to be repeated. It does not tell
    /// that the interface was deleted, or that somebody took our program off it: when nothing comes, we ask once a second.
    void sleep() {
        if (socket.rx.available() != 0) { return; }
        pollfd readable{socket.fd(), POLLIN, 0};
        if (::poll(&readable, 1, socket.tx.pending() != 0 ? 1 : 100) != 0) { return; }
        const auto now = clock_type::now();
        if (now < next_check) { return; }
        next_check = now + std::chrono::seconds(1);
        if (const std::error_code ended = socket.check()) {
            throw std::system_error(ended, "stopped on " + socket.interface().name);
        }
    }

    /// The last step: let everything go out, count, and tell whether every frame is where it should be.
    [[nodiscard]] bool conclude() {
        for (int kicks = 0; kicks < 1000 && socket.tx.pending() != 0; ++kicks) { wake_kernel(); }
        const auto& count = host.count();
        std::printf("summary: rx %llu tx %llu arp %llu icmp %llu udp %llu\n", 0ULL + received, 0ULL + sent,
                    0ULL + count.arp_replies, 0ULL + count.icmp_replies, 0ULL + count.udp_replies);
        const frame_census census = socket.census(static_cast<std::uint32_t>(free_list.size()));
        std::printf("census: frames %lld sum %lld fill %lld rx %lld tx %lld completion %lld in_hand %lld %s\n",
                    0LL + census.frames, 0LL + census.sum(), 0LL + census.fill, 0LL + census.rx, 0LL + census.tx,
                    0LL + census.completion, 0LL + census.user, census.exact ? "exact" : "inexact");
        return census.exact && census.sum() == census.frames;
    }
};

static pump make_pump(raw_socket& socket, proto::echo_host& host) {
    pump made{socket, host, {}};
    made.free_list.reserve(frames);
    for (std::uint32_t frame = prefilled; frame < frames; ++frame) { made.free_list.push_back({frame}); }
    return made;
}

static volatile std::sig_atomic_t stopped = 0;

static int run_on_interface(const builder& options, proto::ipv4_address address, double seconds) {
    auto opened = options.build_raw();
    if (!opened) { return std::fprintf(stderr, "%s\n", opened.error().message().c_str()), 1; }
    raw_socket& socket = *opened;
    proto::echo_host host(proto::mac_address(socket.interface().mac_address), address);
    pump self = make_pump(socket, host);
    for (const int number : {SIGINT, SIGTERM}) {
        std::signal(number, [](int) { stopped = 1; });
    }
    print_opening_report(socket.refusals(), socket.notes());
    std::printf("answering for %s\n%s", socket.interface().name.c_str(), to_string(socket.rings()).c_str());
    std::fflush(stdout);
    const auto start = clock_type::now();
    while (stopped == 0 && (seconds == 0 || clock_type::now() - start < std::chrono::duration<double>(seconds))) {
        self.turn();
        self.sleep();
    }
    return self.conclude() ? 0 : 1;
}

/// The same pump on one end of a simulated wire; a generator at the other end checks every answer.
static int run_simulated() {
    constexpr std::uint64_t count = 20'000;
    simulated_wire wire;
    raw_socket socket = wire.socket_on(simulated_wire::end::left).frames(frames).prefill(prefilled).build_raw().value();
    print_opening_report(socket.refusals(), socket.notes());
    proto::echo_host host(proto::mac_address(socket.interface().mac_address), raw_example::example_ip);
    raw_example::generator client(wire, simulated_wire::end::right, 1, host.hardware());
    pump self = make_pump(socket, host);
    while (client.sent() < count) {
        client.send(std::min<std::uint64_t>(32, count - client.sent()));
        self.turn();
        client.collect();
    }
    const bool whole = self.conclude();
    std::printf("client: sent %llu answered %llu wrong %llu\n", 0ULL + client.sent(), 0ULL + client.returned(),
                0ULL + client.wrong());
    return whole && client.frames_are_whole() && client.returned() == count && client.wrong() == 0 ? 0 : 1;
}

int main(int argc, char** argv) try {
    std::string interface;
    std::string address_text;
    double seconds = 0;
    bool simulated = false;
    xdp_mode mode = xdp_mode::automatic;
    command_line options("A host in user space with every descriptor moved by hand");
    options.optional("--interface", interface, "interface to answer on");
    options.optional("--address", address_text, "IPv4 address to answer for");
    options.optional("--duration", seconds, "seconds to run; until a signal when 0", {0.0, 1e9});
    options.mode(mode);
    options.flag("--sim", simulated, "on a simulated wire, with a client at its other end");
    options.parse(argc, argv);
    if (simulated) { return run_simulated(); }
    const auto address = proto::ipv4_address::parse(address_text);
    if (interface.empty() || !address) {
        std::fprintf(stderr, "give --interface NAME and --address with an IPv4 address such as 192.0.2.1, or --sim\n");
        return 2;
    }
    return run_on_interface(builder(interface).mode(mode).frames(frames).prefill(prefilled), *address, seconds);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
