// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/virtual_workload.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <exception>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;
using end = simulated_wire::end;

constexpr auto idle_time = 1ms;
constexpr int fields = 9;

/// What a forwarder knows of a flow. Expires when idle: then its fields are written to a journal, which takes a while, and
/// it is gone.
struct flow_entry {
    bool known = true;
    int journaled = 0;
};

task<void> expire(flow_entry& entry) {
    static_cast<void>(co_await sleep_for(idle_time));
    while (entry.journaled != fields) {
        static_cast<void>(co_await yield());
        ++entry.journaled;
    }
    entry.known = false;
}

/// The bug: others run between check and use, and one of them may take the entry away. First come, first served, it never
/// happens: this coroutine goes on when the other one has journaled a single field.
task<void> forward(async_rx& rx, const flow_entry& entry, outcome& result) {
    packet one;
    const io_result got = co_await rx.recv(one);
    result.packets += got.n;
    if (!entry.known) { co_return; }
    static_cast<void>(co_await yield());
    if (!entry.known) { result.problems += "a packet went the way of a flow that had expired\n"; }
}

task<void> send_one(async_tx& tx) {
    packet one;
    static_cast<void>(tx.try_allocate(std::span(&one, 1)));
    static_cast<void>(one.set_len(60));
    static_cast<void>(co_await tx.send(one));
}

}  // namespace

outcome planted_bug(std::uint64_t seed, wake_order order) {
    outcome result;
    wire_options options;
    options.transit_capacity = 8;
    options.to_right.delay = idle_time;  // the packet comes when the flow is about to expire
    simulated_wire wire(options);
    virtual_clock clock(seed, order);
    clock.attach(wire);
    executor loop(clock);
    const auto open = [&](end which) {
        builder socket = wire.socket_on(which);
        socket.frames(16).rx_ring(8).tx_ring(8).fill_ring(8).completion_ring(8);
        return open_async(loop, socket).value();
    };
    async_sockets left = open(end::left);
    async_sockets right = open(end::right);
    flow_entry entry;
    loop.spawn(send_one(left.tx));
    loop.spawn(forward(right.rx, entry, result));
    loop.spawn(expire(entry));
    try {
        loop.run();
    } catch (const std::exception& failure) { result.problems += failure.what() + std::string(1, '\n'); }
    result.digest = clock.digest();
    result.elapsed = clock.elapsed();
    result.resumptions = clock.resumptions();
    return result;
}

}  // namespace fluxnet::test
