// SPDX-License-Identifier: BSD-3-Clause
// http_counters in virtual time: its server, its pages and its packet program, with clients that a seed makes.
//
// A free function without state: each call makes its own clock, networks, executor and coroutines, on the calling thread.
#pragma once

#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace fluxnet::test {

struct http_outcome {
    std::uint64_t digest = 0;
    std::chrono::nanoseconds elapsed{};  ///< Virtual time.
    std::uint64_t sessions = 0;          ///< Connections that clients made.
    std::uint64_t completed = 0;         ///< Sessions that had an answer to every request.
    std::uint64_t broken = 0;            ///< Sessions that had not, cancelled ones left out.
    std::uint64_t cancels = 0;           ///< Sessions that were cancelled as they went on.
    std::uint64_t refused = 0;           ///< Connects that found nobody.
    std::uint64_t answers = 0;           ///< That clients had to their last byte.
    std::uint64_t written = 0;           ///< Answers that servers had written to their end.
    std::uint64_t halves = 0;            ///< Sessions that ended in the middle of an answer.
    std::uint64_t late = 0;              ///< Answers of status 408.
    std::uint64_t dismissed = 0;         ///< Idle connections that made room.
    std::uint64_t packets = 0;           ///< That the packet program has answered.
    std::string problems;                ///< What is not as it must be, one a line; empty when all is well.

    [[nodiscard]] bool ok() const noexcept { return problems.empty(); }
};

/// Clients send requests, good ones and bad ones, in pieces, several at once, and read the answers at their own pace; they
/// end their side early, close in the middle, or are cancelled. Servers come and go, by their own end or by cancellation. An
/// answer is what its request asked for, in order. With half of the seeds the server's limits are far away: then it never
/// leaves an answer unfinished, and a session that outlives no server has all its answers.
[[nodiscard]] http_outcome http_workload(std::uint64_t seed, wake_order order = wake_order::seeded);

}  // namespace fluxnet::test
