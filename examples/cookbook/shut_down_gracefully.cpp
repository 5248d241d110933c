// SPDX-License-Identifier: BSD-3-Clause
// Ends a program at SIGTERM so that nothing is lost: no new packets are taken, those that wait are sent, and the census
// proves that every frame came back. For services that are restarted while traffic flows.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <span>

using namespace fluxnet;
using namespace std::chrono_literals;

/// Sends back what arrives, until the task is cancelled; tells how many packets were taken for that.
static task<void> reflect(async_sockets& sockets, std::uint64_t& taken) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await sockets.rx.recv(burst);
        if (got.ec) { co_return; }
        const io_result sent = co_await sockets.tx.send(std::span(burst).first(got.n));
        taken += sent.n;
        if (sent.ec) { co_return; }  // what was not sent is in `burst`, and dropped with it
    }
}

/// In place of somebody who stops the program: in the middle of its work.
static task<void> terminate(async_rx& rx) {
    packet one;
    static_cast<void>(co_await rx.recv(one));
    ::raise(SIGTERM);
}

int main() {
    std::uint64_t taken = 0;
    simulated_wire wire;
    executor loop;
    async_sockets client = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets server = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));  // a second signal ends the program at once
    loop.spawn(reflect(server, taken));
    loop.spawn(cookbook::send_datagrams(client.tx, 1'000'000));
    loop.spawn(terminate(client.rx));
    loop.run();  // until all of them have ended

    for (const task_info& late : loop.shut_down(5s)) { std::printf("%s\n", to_text(std::span(&late, 1)).c_str()); }
    const std::error_code unsent = server.tx.socket().finish(1s);
    if (unsent) { std::printf("not everything was sent: %s\n", unsent.message().c_str()); }
    const frame_census census = server.rx.socket().pool().census();
    std::printf("%llu packets, %lld frames, %lld accounted for\n", 0ULL + taken, 0LL + census.frames, 0LL + census.sum());
    const bool whole = census.exact && census.sum() == census.frames && census.user == 0 && census.tx == 0;
    return !unsent && whole && taken != 0 && wire.counts(simulated_wire::end::right).offered == taken ? 0 : 1;
}
