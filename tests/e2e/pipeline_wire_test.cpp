// SPDX-License-Identifier: BSD-3-Clause
// The pipeline on a simulated wire, whose counters tell of every packet that did not arrive why it did not.
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/e2e/pipeline.hpp"
#include "tests/e2e/pipeline_checks.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

builder socket_on(simulated_wire& wire, end which) {
    return wire.socket_on(which).frames(8192).tx_frames(4096);
}

std::uint64_t lost(const wire_counts& way) {
    return way.lost + way.oversized + way.transit_full + way.no_socket + way.rx_ring_full + way.fill_ring_empty +
           way.too_large;
}

void check_wire(const simulated_wire& wire, far_side& far, pipeline_middle& through) {
    const wire_counts there = wire.counts(end::left);
    CHECK(there.offered == far.sent());
    CHECK(there.delivered == through.received());
    CHECK(there.in_transit == 0);
    CHECK(lost(there) == there.rx_ring_full + there.fill_ring_empty);
    CHECK(lost(there) == through.lost_at_socket());
    const wire_counts back = wire.counts(end::right);
    CHECK(back.offered == through.sent());
    CHECK(back.delivered == far.received());
    CHECK(back.in_transit == 0);
    CHECK(lost(back) == far.lost_at_socket());
}

}  // namespace

TEST_CASE("ten million packets through four workers on a simulated wire are all accounted for") {
    simulated_wire wire({.threaded = true, .hash_traffic = false});
    pipeline through(socket_on(wire, end::right).build_system().value());
    far_side far(socket_on(wire, end::left).build_system().value());
    const traffic plan{.packets = rounds(10'000'000, 20), .slice = rounds(1'000'000, 5), .overload = 40'000};
    send_and_check(far, through, plan, "wire", [&] { return lost(wire.counts(end::left)) + lost(wire.counts(end::right)); });
    check_wire(wire, far, through);
}

// The small TX ring makes sends wait, so that they can be cancelled.
TEST_CASE("ten million packets through coroutines on four executors survive random cancels on a simulated wire") {
    simulated_wire wire({.threaded = true, .hash_traffic = false});
    coroutine_pipeline through(socket_on(wire, end::right).tx_ring(64).build_system().value());
    far_side far(socket_on(wire, end::left).build_system().value());
    const traffic plan{.packets = rounds(10'000'000, 20), .slice = rounds(1'000'000, 5), .overload = 40'000};
    const exchange_outcome outcome = send_and_check(far, through, plan, "wire, coroutines", [&] {
        return lost(wire.counts(end::left)) + lost(wire.counts(end::right));
    });
    check_cancels(through, outcome);
    check_wire(wire, far, through);
}

TEST_CASE("a wire that loses and delays packets takes none from the census of its ends") {
    const wire_profile weather{.loss = 0.01, .delay = 50us, .jitter = 50us};
    simulated_wire wire({.to_right = weather, .to_left = weather, .threaded = true, .hash_traffic = false});
    pipeline through(socket_on(wire, end::right).build_system().value());
    far_side far(socket_on(wire, end::left).build_system().value());
    const traffic plan{.packets = scaled(1'000'000, 4), .slice = scaled(200'000, 2), .overload = 30'000};
    send_and_check(
        far, through, plan, "lossy wire", [&] { return lost(wire.counts(end::left)) + lost(wire.counts(end::right)); },
        wire_kind::lossy);
    for (const end which : {end::left, end::right}) {
        const wire_counts way = wire.counts(which);
        CHECK(way.offered == way.accounted());
        CHECK(way.lost > way.offered / 200);
        CHECK(way.in_transit == 0);
    }
}
