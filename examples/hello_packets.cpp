// SPDX-License-Identifier: BSD-3-Clause
// Counts the packets that arrive on an interface, until ten seconds have passed.
// Usage: hello_packets NAME
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

using namespace fluxnet;

task<void> count_packets(async_rx& rx, std::size_t& packets) {
    std::array<packet, 64> burst;
    for (;;) {
        auto [ec, n] = co_await rx.recv(burst);  // sleeps in io_uring while there is nothing
        if (ec) { co_return; }                   // cancelled, or the interface is gone
        packets += n;                            // burst[0] to burst[n - 1] are ours until dropped
    }
}

task<std::size_t> count_for_ten_seconds(async_rx& rx) {
    std::size_t packets = 0;
    static_cast<void>(co_await timeout(std::chrono::seconds(10), count_packets(rx, packets)));
    co_return packets;
}

int main(int argc, char** argv) {
    if (argc != 2) { return std::fprintf(stderr, "usage: hello_packets INTERFACE\n"), 2; }
    executor loop;
    auto sockets = open_async(loop, builder(argv[1]));
    if (!sockets) { return std::fprintf(stderr, "%s\n", sockets.error().message().c_str()), 1; }
    for (const error& why : sockets->refusals) {  // not zero-copy, or not native
        std::fprintf(stderr, "%s: %s\n", why.step.c_str(), why.cause.c_str());
    }
    for (const std::string& note : sockets->notes) { std::fprintf(stderr, "%s\n", note.c_str()); }
    std::printf("%zu packets\n", loop.run(count_for_ten_seconds(sockets->rx)));
}
