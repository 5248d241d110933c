// SPDX-License-Identifier: BSD-3-Clause
// Forwards packets between two interfaces without copying them: an engine with two ports over one UMEM, and a callback that
// says for each packet where it goes. For bridges, firewalls and taps that look at every packet for a moment.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>

using namespace fluxnet;
using end = simulated_wire::end;

constexpr std::uint32_t datagrams = 500;

/// The host behind the second interface: stops the engine when everything has arrived, in order.
static task<void> expect_all(async_rx& rx, engine& loop, std::uint32_t& arrived) {
    packet one;
    while (arrived < datagrams) {
        const io_result got = co_await rx.recv(one);
        if (got.ec || cookbook::number_of(one.data()) != arrived + 1) { break; }
        ++arrived;
    }
    loop.stop();
}

int main() {
    std::uint32_t arrived = 0;
    simulated_wire west, east;  // on interfaces: std::array ports{builder("eth0"), builder("eth1")}
    const std::array ports{west.socket_on(end::right), east.socket_on(end::left)};
    const std::unique_ptr<engine> loop = open_engine(ports).value();

    async_sockets sender = open_async(*loop, west.socket_on(end::left)).value();
    async_sockets receiver = open_async(*loop, east.socket_on(end::right)).value();
    loop->spawn(cookbook::send_datagrams(sender.tx, datagrams));
    loop->spawn(expect_all(receiver.rx, *loop, arrived));

    const std::error_code failed = loop->run([](packet_batch& batch) {
        const auto other = static_cast<std::uint8_t>(1 - batch.port());
        for (const packet_ref one : batch) { one.send(other); }  // a packet without a mark is dropped
    });
    const port_counts counts = loop->port(0).counts();
    std::printf("port 0: %llu received, %llu sent on\n", 0ULL + counts.received, 0ULL + counts.sent);
    return !failed && arrived == datagrams ? 0 : 1;
}
