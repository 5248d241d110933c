// SPDX-License-Identifier: BSD-3-Clause
// Counts the packets of all queues of an interface: an executor on a thread of its own for each queue, and nothing shared
// on a packet's way. For programs that one core cannot keep up with: monitors, filters, counters.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

using namespace fluxnet;

constexpr std::uint32_t queues = 2, datagrams = 1'000;
using counters = std::array<std::atomic<std::uint32_t>, queues>;

static task<void> count(async_rx& rx, std::atomic<std::uint32_t>& packets) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await rx.recv(burst);
        if (got.ec) { co_return; }
        packets += static_cast<std::uint32_t>(got.n);
    }
}

static task<void> send_all_and_stop(async_tx& tx, const counters& counts, executor_group& group) {
    co_await cookbook::send_datagrams(tx, datagrams);
    while (counts[0] + counts[1] < datagrams) {
        const wait_result slept = co_await sleep_for(std::chrono::milliseconds(1));
        if (slept) { break; }
    }
    group.request_stop();
}

int main() {
    counters counts{};
    simulated_wire wire({.queues = queues, .threaded = true});  // on an interface: builder("eth0").build_queues(...)
    executor_group group({.size = queues, .pinned = false});
    std::vector<system_sockets> opened = wire.socket_on(simulated_wire::end::right).build_queues(queues).value();
    async_sockets sender = open_async(group[0], wire.socket_on(simulated_wire::end::left)).value();

    std::vector<async_rx> receivers;
    for (std::size_t i = 0; i < queues; ++i) { receivers.emplace_back(group[i], std::move(opened[i].rx)); }
    for (std::size_t i = 0; i < queues; ++i) { group.spawn(i, count(receivers[i], counts[i])); }
    group.spawn(0, send_all_and_stop(sender.tx, counts, group));
    group.run();

    for (std::size_t i = 0; i < queues; ++i) { std::printf("queue %zu: %u packets\n", i, counts[i].load()); }
    return counts[0] != 0 && counts[1] != 0 && counts[0] + counts[1] == datagrams ? 0 : 1;
}
