// SPDX-License-Identifier: BSD-3-Clause
// Hands packets to workers on other threads through a channel: one thread receives, the others do what takes long. A packet
// is moved, never copied, and may be dropped on any thread: its frame finds its way home.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

using namespace fluxnet;

constexpr std::uint32_t datagrams = 1'000;  // fewer than there are frames, so that none is lost

static task<void> receive(async_rx& rx, channel<packet>& work) {
    std::array<packet, 64> burst;
    for (std::size_t received = 0; received < datagrams;) {
        const io_result got = co_await rx.recv(burst);
        if (got.ec) { break; }
        received += got.n;
        const io_result given = co_await work.send(std::span(burst).first(got.n));  // waits while the workers are behind
        if (given.ec) { break; }
    }
    work.close();  // the workers take what is left, and are told `closed` then
}

static task<void> labour(channel<packet>& work, std::atomic<std::uint64_t>& sum) {
    std::array<packet, 16> mine;
    for (;;) {
        const io_result got = co_await work.recv(mine);
        if (got.ec) { co_return; }
        for (packet& one : std::span(mine).first(got.n)) {
            sum += cookbook::number_of(one.data());
            one.reset();
        }
    }
}

int main() {
    channel<packet> work(256);
    std::atomic<std::uint64_t> sum = 0;
    simulated_wire wire({.threaded = true});
    executor_group group({.size = 3, .pinned = false});
    async_sockets left = open_async(group[0], wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(group[0], wire.socket_on(simulated_wire::end::right)).value();
    group.spawn(0, cookbook::send_datagrams(left.tx, datagrams));
    group.spawn(0, receive(right.rx, work));
    for (std::size_t i = 1; i < group.size(); ++i) { group.spawn(i, labour(work, sum)); }
    group.run();
    std::printf("the numbers of all datagrams add up to %llu\n", 0ULL + sum.load());
    return sum == std::uint64_t{datagrams} * (datagrams + 1) / 2 ? 0 : 1;
}
