// SPDX-License-Identifier: BSD-3-Clause
// Gives an await, or a whole task, a limit in time: timeout() cancels what it awaits, and still hands out what that came to,
// so that nothing that had arrived is lost. Here in virtual time, where ten seconds take none.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>

using namespace fluxnet;
using namespace std::chrono_literals;

/// Returns how many have come when it is cancelled.
static task<std::size_t> count(async_rx& rx) {
    std::array<packet, 64> burst;
    std::size_t packets = 0;
    for (;;) {
        const io_result got = co_await rx.recv(burst);
        if (got.ec) { co_return packets; }
        packets += got.n;
    }
}

static task<bool> try_limits(async_rx& rx) {
    packet one;
    const timed<io_result> first = co_await timeout(1s, rx.recv(one));  // an await
    if (first.expired || first.value.n != 1) { co_return false; }
    const timed<std::size_t> rest = co_await timeout(10s, count(rx));  // a task
    std::printf("%zu more packets within ten seconds\n", rest.value);
    const timed<io_result> none = co_await timeout(1s, rx.recv(one));
    co_return rest.expired&& rest.value == 99 && none.expired&& none.value.ec == errc::operation_canceled;
}

int main() {
    simulated_wire wire;
    virtual_clock clock(1);
    executor loop(clock);
    async_sockets left = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    clock.attach(wire);
    loop.spawn(cookbook::send_datagrams(left.tx, 100));
    return loop.run(try_limits(right.rx)) && clock.elapsed() >= 11s ? 0 : 1;
}
