// SPDX-License-Identifier: BSD-3-Clause
// Tests a protocol without a network: the client is written for any `datagram_socket`, and runs over one inside the process
// that loses a third of all datagrams, in virtual time, for many seeds. A seed that fails fails again in the same way.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

using namespace fluxnet;
using namespace std::chrono_literals;

/// Asks again until there is an answer, twenty times at most; returns how often it has asked, or 0. Over the kernel's UDP
/// it is the same function.
template <datagram_socket S>
static task<int> ask(S& socket, proto::ip_endpoint server) {
    std::array<std::byte, 8> question{}, answered;
    for (int attempt = 1; attempt <= 20; ++attempt) {
        const io_result sent = co_await socket.send_to(question, server);
        if (sent.ec) { break; }
        const timed<datagram_result> got = co_await timeout(1s, socket.recv_from(answered));
        if (!got.value.ec) { co_return attempt; }
    }
    co_return 0;
}

template <datagram_socket S>
static task<void> answer(S& socket) {
    std::array<std::byte, 100> bytes;
    for (;;) {
        const datagram_result got = co_await socket.recv_from(bytes);
        if (got.ec) { co_return; }
        static_cast<void>(co_await socket.send_to(std::span(bytes).first(got.n), got.from));
    }
}

static int attempts_of(std::uint64_t seed) {
    virtual_clock clock(seed);
    executor loop(clock);
    memory_options bad;
    bad.seed = seed;
    bad.loss = 1.0 / 3;
    bad.latency = 20ms;
    memory_network net(loop, bad);
    memory_datagram_socket server = net.bind({proto::ipv4_address(10, 0, 0, 1), 53}).value();
    memory_datagram_socket client = net.bind({proto::ipv4_address(10, 0, 0, 2), 0}).value();
    loop.spawn_background(answer(server));
    return loop.run(ask(client, server.local_endpoint()));
}

int main() {
    int asked_again = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        const int attempts = attempts_of(seed);
        if (attempts == 0) { return std::printf("seed %llu: no answer\n", 0ULL + seed), 1; }
        asked_again += attempts > 1 ? 1 : 0;
    }
    std::printf("100 seeds, the client had to ask again with %d\n", asked_again);
    return asked_again != 0 && attempts_of(7) == attempts_of(7) ? 0 : 1;
}
