// SPDX-License-Identifier: BSD-3-Clause
// async_rx over the drivers of a simulated wire, in virtual time.
#include "fluxnet/runtime/packets/async_rx.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/virtual_world.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

/// An executor with a small socket on each end of a wire. The right one has frames for twelve packets.
struct small_ends {
    explicit small_ends(const wire_options& options) : wire(options) { clock.attach(wire); }

    [[nodiscard]] builder small(end which) {
        builder options = wire.socket_on(which);
        options.frames(16).rx_ring(16).tx_ring(16).fill_ring(16).completion_ring(16);
        return options;
    }
    [[nodiscard]] wire_counts counts() const { return wire.counts(end::left); }

    simulated_wire wire;
    virtual_clock clock{1};
    executor loop{clock};
    async_sockets left = open_async(loop, small(end::left)).value();
    async_sockets right = open_async(loop, small(end::right)).value();
};

task<void> receive_into(async_rx& rx, std::span<packet> into, std::size_t& received) {
    while (received < into.size()) {
        const io_result got = co_await rx.recv(into.subspan(received));
        received += got.n;
        if (got.ec) { co_return; }
    }
}

/// Sends a packet each millisecond.
task<void> send_some(async_tx& tx, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        co_await send_one(tx, i);
        const std::error_code ended = co_await sleep_for(1ms);
        CHECK_FALSE(ended);
    }
}

/// Runs the right end out of frames and gives them back before its driver has asked for a kick; then listens.
task<void> ask_late(small_ends& here, std::size_t& received) {
    std::vector<packet> held(12);
    std::size_t before = 0;
    co_await send_some(here.left.tx, 12);
    co_await receive_into(here.right.rx, held, before);
    CHECK(before == 12);
    packet one;
    tx& sender = here.left.tx.socket();
    CHECK(sender.allocate(std::span(&one, 1)) == 1);
    CHECK(one.assign(payload(60, 12)));
    CHECK(sender.try_send(one));
    CHECK_FALSE(sender.flush());
    CHECK(here.counts().fill_ring_empty == 1);
    for (packet& each : held) { each.reset(); }
    here.right.rx.socket().refill();
    here.loop.spawn(send_some(here.left.tx, 10));
    task<void> listening = receive_into(here.right.rx, held, received);
    const timed<void> ended = co_await timeout(20ms, std::move(listening));
    CHECK(ended.expired);
}

}  // namespace

TEST_CASE("a driver that asks for a kick only after the last refill is kicked before the executor sleeps") {
    wire_options options;
    options.zero_copy = true;
    options.temper = driver_temper::waits_for_kicks;
    small_ends here(options);
    std::size_t received = 0;
    here.loop.spawn(ask_late(here, received));
    here.loop.run();
    // The first packets still find the driver without frames. Without the kick the others would too, for ever: the right end
    // gets no packet, so it gives no frame back, and no refill kicks.
    CHECK(received >= 8);
    CHECK(received == here.counts().delivered - 12);
}
