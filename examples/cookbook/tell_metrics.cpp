// SPDX-License-Identifier: BSD-3-Clause
// Counters of executors, sockets and frames as Prometheus' text: to be served over HTTP (examples/http_counters does),
// written to a file for node_exporter, or looked at.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/packets/metrics.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

using namespace fluxnet;

static task<void> receive(async_rx& rx) {
    std::array<packet, 64> burst;
    for (std::size_t received = 0; received < 50;) {
        const io_result got = co_await rx.recv(burst);
        if (got.ec) { co_return; }
        received += got.n;
    }
}

/// On the thread of the executor and its handles.
static std::string text_of(const executor& loop, async_sockets& sockets) {
    metrics all;
    all.add("main", loop);
    all.add("eth0", sockets.rx);  // the name becomes a label
    all.add("eth0", sockets.tx);
    all.add("eth0", sockets.rx.socket().pool());
    return all.text();
}

int main() {
    simulated_wire wire;
    executor loop;
    async_sockets left = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    loop.spawn(cookbook::send_datagrams(left.tx, 50));
    loop.spawn(receive(right.rx));
    loop.run();
    const std::string text = text_of(loop, right);
    std::fputs(text.c_str(), stdout);
    return text.find("fluxnet_rx_packets_total{socket=\"eth0\"} 50\n") != std::string::npos ? 0 : 1;
}
