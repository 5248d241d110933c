// SPDX-License-Identifier: BSD-3-Clause
// A program of streams that a seed replays in virtual time, and what came of it.
//
// A free function without state: each call makes its own clock, network, executor and coroutines, on the calling thread.
#pragma once

#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace fluxnet::test {

struct stream_outcome {
    std::uint64_t digest = 0;
    std::chrono::nanoseconds elapsed{};  ///< Virtual time.
    std::uint64_t sessions = 0;          ///< Connections that clients made.
    std::uint64_t completed = 0;         ///< Sessions that came to their end, and had everything they asked for.
    std::uint64_t broken = 0;            ///< Sessions that the server ended early, or that ended with it.
    std::uint64_t cancels = 0;           ///< Sessions that were cancelled as they went on.
    std::uint64_t expired = 0;           ///< Single reads and writes that a time limit ended.
    std::uint64_t refused = 0;           ///< Connects that found nobody.
    std::uint64_t bytes = 0;             ///< That clients got back.
    std::string problems;                ///< What is not as it must be, one a line; empty when all is well.

    [[nodiscard]] bool ok() const noexcept { return problems.empty(); }
};

/// Clients and a server on an in-memory network whose latency, rate, buffers and fragmentation the seed decides. A session
/// is an echo, or a number of requests that are answered. Reads, writes and whole sessions are cancelled at random times,
/// either side closes in the middle, and the server goes and comes back. What arrives is always what was sent, in order and
/// without gaps; and a session that nobody disturbed comes to its end.
[[nodiscard]] stream_outcome stream_workload(std::uint64_t seed, wake_order order = wake_order::seeded);

}  // namespace fluxnet::test
