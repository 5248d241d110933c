// SPDX-License-Identifier: BSD-3-Clause
// `draw_network`: how an in-memory network treats streams, as the dice have it. A function without state; any thread.
#pragma once

#include "fluxnet/runtime/simulation/memory_options.hpp"
#include "tests/runtime/dice.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::test {

/// `buffers`: the sizes of which one is taken.
[[nodiscard]] inline memory_options draw_network(dice& chance, std::uint64_t seed, std::span<const std::size_t> buffers) {
    memory_options options;
    options.seed = seed;
    options.buffer_bytes = buffers[chance.below(buffers.size())];
    options.fragmentation = 0.25 * static_cast<double>(chance.below(4));
    if (!chance.one_in(3)) { options.latency = chance.ticks(1, 8); }
    if (chance.one_in(3)) { options.jitter = std::chrono::microseconds(300); }
    if (chance.one_in(4)) { options.bits_per_second = 50'000'000; }
    return options;
}

}  // namespace fluxnet::test
