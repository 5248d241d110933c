// SPDX-License-Identifier: BSD-3-Clause
// In a container without privileges: AF_XDP and often io_uring are refused there. The executor then runs over epoll, the
// refusal names its remedy, and the same coroutines serve the kernel's UDP.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

using namespace fluxnet;

template <datagram_socket S>
static task<void> echo(S& socket) {
    std::array<std::byte, 2000> bytes;
    for (;;) {
        const datagram_result got = co_await socket.recv_from(bytes);
        if (got.ec) { co_return; }
        static_cast<void>(co_await socket.send_to(std::span(bytes).first(got.n), got.from));
    }
}

template <datagram_socket S>
static task<bool> ask(S& socket, proto::ip_endpoint server) {
    std::array<std::byte, 32> question{}, answered;
    question.back() = std::byte{1};
    const io_result sent = co_await socket.send_to(question, server);
    const datagram_result got = co_await socket.recv_from(answered);
    co_return !sent.ec && !got.ec && answered == question;
}

int main() {
    executor loop;
    std::printf("over %s: %s\n", std::string(loop.reactor_name()).c_str(), std::string(loop.reactor_reason()).c_str());
    const result<async_sockets> frames = open_async(loop, builder("nowhere0"));  // where there is one: "eth0"
    if (!frames) { std::printf("no packets: %s\n", frames.error().message().c_str()); }

    const proto::ip_endpoint any = proto::ip_endpoint::parse("127.0.0.1:0").value();
    udp_socket server = udp_socket::bind(any).value();
    udp_socket client = udp_socket::bind(any).value();
    loop.spawn_background(echo(server));
    return loop.run(ask(client, server.local_endpoint())) ? 0 : 1;
}
