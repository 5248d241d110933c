// SPDX-License-Identifier: BSD-3-Clause
// What the tests of virtual time share: a wire with sockets at both ends, and packets on it.
//
// Each small_world is one test case's, on its thread.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <system_error>

namespace fluxnet::test {

/// Sends one packet of 60 bytes.
inline task<void> send_one(async_tx& tx, unsigned content = 1) {
    packet one;
    CHECK(tx.try_allocate(std::span(&one, 1)) == 1);
    CHECK(one.assign(payload(60, content)));
    static_cast<void>(co_await tx.send(one));
}

/// A wire with sockets at both ends, on one clock.
struct small_world {
    using end = simulated_wire::end;

    small_world(std::uint64_t seed, const wire_options& options, wake_order order = wake_order::seeded)
        : wire(options), clock(seed, order), loop(clock), left(open(end::left)), right(open(end::right)) {
        clock.attach(wire);
    }

    async_sockets open(end which) { return open_async(loop, wire.socket_on(which).frames(64)).value(); }

    simulated_wire wire;
    virtual_clock clock;
    executor loop;
    async_sockets left;
    async_sockets right;
};

/// Runs `loop` and returns the error that it throws.
inline std::system_error failure_of(executor& loop) {
    try {
        loop.run();
    } catch (const std::system_error& failure) { return failure; }
    return std::system_error(std::error_code(), "nothing was thrown");
}

}  // namespace fluxnet::test
