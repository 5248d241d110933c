// SPDX-License-Identifier: BSD-3-Clause
// Answers the datagrams of one UDP port, and leaves all else to the kernel: its ping, its ssh, its other ports. Such a
// transport sees copies of the packets (AF_PACKET), and a socket of the kernel's keeps the port; without the privilege for
// that it is an ordinary UDP socket. (AF_XDP takes whole queues. To have it for one port, direct that port to a queue of its
// own, `ethtool -N eth0 flow-type udp4 dst-port 7777 action 3`, and open queue 3.)
// Usage: answer_one_udp_port [INTERFACE ADDRESS:PORT], which goes on until SIGINT; without them on a simulated wire.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/transport/datagram_transport.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;
using end = simulated_wire::end;

static task<void> answer(datagram_transport& at) {
    std::array<std::byte, 2000> bytes;
    for (;;) {
        const datagram_result got = co_await at.recv_from(bytes);
        if (got.ec) { co_return; }
        const io_result sent = co_await at.send_to(std::span(bytes).first(got.n), got.from);
        if (sent.ec) { std::fprintf(stderr, "%s: %s\n", got.from.to_string().c_str(), sent.ec.message().c_str()); }
    }
}

static task<bool> ask(datagram_transport& from, proto::ip_endpoint to) {
    std::array<std::byte, 100> question{}, answered;
    question[7] = std::byte{42};
    const io_result sent = co_await from.send_to(question, to);  // asks by ARP where `to` is
    const datagram_result got = co_await from.recv_from(answered);
    co_return !sent.ec && !got.ec && got.from == to && answered == question;
}

static datagram_transport open(executor& on, const char* local, const builder& frames, std::vector<datagram_rung> order) {
    datagram_options options;
    options.local = proto::ip_endpoint::parse(local).value();
    options.frames = frames;
    options.order = std::move(order);
    return datagram_transport::open(on, std::move(options)).value();
}

int main(int argc, char** argv) try {
    executor loop;
    if (argc == 3) {
        auto here = open(loop, argv[2], builder(argv[1]), {datagram_rung::af_packet, datagram_rung::kernel_udp});
        std::printf("by %s\n", name(*here.took()));
        loop.spawn_background(stop_on({SIGINT, SIGTERM}));
        loop.spawn(answer(here));
        loop.run();
        return 0;
    }
    simulated_wire wire;
    auto here = open(loop, "192.0.2.2:7777", wire.socket_on(end::right), {datagram_rung::af_xdp});
    auto there = open(loop, "192.0.2.1:5000", wire.socket_on(end::left), {datagram_rung::af_xdp});
    loop.spawn_background(answer(here));
    return loop.run(ask(there, here.local_endpoint())) ? 0 : 1;
} catch (const std::exception& failure) { return std::fprintf(stderr, "%s\n", failure.what()), 1; }
