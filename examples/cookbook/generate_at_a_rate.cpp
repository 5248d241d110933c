// SPDX-License-Identifier: BSD-3-Clause
// Sends packets at a rate: so many every millisecond, by a time that does not drift, in bursts that share a system call. For
// load generators and paced senders. (Here 100,000 packets a second for two virtual seconds.)
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

using namespace fluxnet;
using namespace std::chrono_literals;

static task<std::uint32_t> generate(async_tx& tx, std::uint32_t every_millisecond, std::chrono::milliseconds how_long) {
    std::array<packet, 256> burst;
    std::uint32_t sent = 0;
    const auto start = executor::current()->now();
    for (auto next = start; next < start + how_long; next += 1ms) {
        static_cast<void>(co_await sleep_until(next));
        for (std::uint32_t left = every_millisecond; left != 0;) {
            const auto wanted = std::span(burst).first(std::min<std::size_t>(left, burst.size()));
            const io_result made = co_await tx.allocate(wanted);  // fewer, when frames are short
            for (std::size_t i = 0; i < made.n; ++i) {
                cookbook::write_datagram(burst[i], sent + 1 + static_cast<std::uint32_t>(i));
            }
            const io_result put = co_await tx.send(wanted.first(made.n));
            sent += static_cast<std::uint32_t>(put.n);
            left -= static_cast<std::uint32_t>(put.n);
            if (made.ec || put.ec) { co_return sent; }
        }
    }
    co_return sent;
}

int main() {
    simulated_wire wire;
    virtual_clock clock(1);
    executor loop(clock);
    async_sockets sender = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    clock.attach(wire);
    const std::uint32_t sent = loop.run(generate(sender.tx, 100, 2s));
    const std::uint64_t seen = wire.counts(simulated_wire::end::left).offered;
    std::printf("%u packets sent, the wire saw %llu\n", sent, 0ULL + seen);
    return sent == 200'000 && seen == sent ? 0 : 1;
}
