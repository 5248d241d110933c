// SPDX-License-Identifier: BSD-3-Clause
// A socket over the model of the kernel whose sending frames are all in the test's hands, so that allocations have to wait.
//
// Owned by one test case, used on its thread; the hoard may be handed to another one.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/runtime/fake_port.hpp"

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace fluxnet::test {

/// A socket whose sending frames are all in hand, over either reactor.
struct drained_port {
    explicit drained_port(reactor_kind kind, reactor_threads threads = reactor_threads::one)
        : loop({}, kind, threads), sockets(fake_port::open(loop, kernel)),
          hoard(numbered_packets(sockets.tx, fake_port::sending)) {}

    fake_kernel kernel;
    executor loop;
    async_sockets sockets;
    std::vector<packet> hoard;
};

/// Waits for the sleep of an executor that nothing but the test ends.
inline void wait_for_sleep(const executor& loop, std::uint64_t sleeps = 1) {
    while (loop.sleeps() < sleeps) { std::this_thread::yield(); }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // it counts before it sleeps
}

}  // namespace fluxnet::test
