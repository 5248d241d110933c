// SPDX-License-Identifier: BSD-3-Clause
// Programs that a seed replays in virtual time, and what came of them.
//
// Free functions without state: each call makes its own clock, wire, executor and coroutines, on the calling thread. Used by
// the tests and by replay_seed, which repeats a single seed.
#pragma once

#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace fluxnet::test {

struct outcome {
    std::uint64_t digest = 0;
    std::chrono::nanoseconds elapsed{};  ///< Virtual time.
    std::uint64_t resumptions = 0;
    std::uint64_t packets = 0;  ///< Sent, in both directions.
    std::uint64_t cancels = 0;  ///< Groups of coroutines that were cancelled.
    std::uint64_t expired = 0;  ///< Waits that a time limit ended.
    std::uint64_t channel_items = 0;
    bool forgets = false;         ///< A driver came to forget what it had sent.
    std::uint64_t forgotten = 0;  ///< Packets whose frames it kept.
    std::uint64_t starved = 0;    ///< Packets that found no frame.
    std::uint64_t reached = 0;    ///< Directions between hosts of which one forgets, in which packets still arrived.
    std::uint64_t excused = 0;    ///< Directions in which a host had no frame any more, because its driver forgot them.
    std::uint64_t stalls = 0;     ///< All other directions in which no packet arrived any more.
    std::string problems;         ///< What is not as it must be, one a line; empty when all is well.

    [[nodiscard]] bool ok() const noexcept { return problems.empty(); }
    [[nodiscard]] double packets_per_second() const noexcept {
        return static_cast<double>(packets) / std::chrono::duration<double>(elapsed).count();
    }
};

/// Two hosts on a wire that loses, damages, doubles, delays and reorders packets, as the seed has it. Each has coroutines
/// that make, send, receive, check, keep, echo and drop numbered packets, joined by channels, under time limits, and is
/// cancelled and started again at random times. The drivers under them are of every kind: copy mode and zero-copy, with
/// either temper, with completions that are late or come to an end, and with ring indices that wrap. At the end every packet
/// and every frame is accounted for, and packets still arrive where there are frames for them.
[[nodiscard]] outcome mixed_workload(std::uint64_t seed, wake_order order = wake_order::seeded);

/// A program with a bug that few wake-up orders uncover.
[[nodiscard]] outcome planted_bug(std::uint64_t seed, wake_order order = wake_order::seeded);

}  // namespace fluxnet::test
