// SPDX-License-Identifier: BSD-3-Clause
// One UDP endpoint by the best means that can be had: AF_XDP, else AF_PACKET, else the kernel's UDP. It says why it took
// which, and moves on by itself when its interface is deleted or its XDP program detached. For programs that have to run on
// machines that nobody has looked at before. (AF_XDP takes all that its queue receives: see datagram_transport::open().)
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

using namespace fluxnet;

static task<bool> serve_one(datagram_transport& at) {
    std::array<std::byte, 2000> bytes;
    const datagram_result got = co_await at.recv_from(bytes);
    const io_result sent = co_await at.send_to(std::span(bytes).first(got.n), got.from);
    co_return !got.ec && !sent.ec;
}

static task<void> ask(udp_socket& from, proto::ip_endpoint to) {
    const std::array<std::byte, 10> question{};
    static_cast<void>(co_await from.send_to(question, to));
}

int main() {
    executor loop;
    datagram_options options;
    options.local = proto::ip_endpoint::parse("192.0.2.1:7777").value();      // by frames
    options.kernel_local = proto::ip_endpoint::parse("127.0.0.1:0").value();  // by the kernel's UDP
    options.frames = builder("nowhere0");                                     // where there is one: "eth0"
    options.order = {datagram_rung::af_xdp, datagram_rung::af_packet, datagram_rung::kernel_udp};
    options.on_move = [](const datagram_move& move) {
        std::printf("left %s: %s\n", name(move.from), move.why.message().c_str());
    };
    result<datagram_transport> transport = datagram_transport::open(loop, options);
    if (!transport) { return std::printf("%s\n", transport.error().message().c_str()), 1; }
    for (const datagram_refusal& refused : transport->refusals()) {
        std::printf("not %s: %s\n", name(refused.rung), refused.why.message().c_str());
    }
    for (const std::string& note : transport->notes()) { std::printf("note: %s\n", note.c_str()); }
    std::printf("took %s\n", name(*transport->took()));

    udp_socket client = udp_socket::bind(*options.kernel_local).value();
    loop.spawn(ask(client, transport->local_endpoint()));
    return loop.run(serve_one(*transport)) ? 0 : 1;
}
