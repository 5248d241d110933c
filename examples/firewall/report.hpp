// SPDX-License-Identifier: BSD-3-Clause
// What firewall_engine prints about itself: counters while it runs, and the accounts at the end.
//
// Functions without state, for the engine's thread. They print to standard output; none of them flushes it.
#pragma once

#include "examples/firewall/filter.hpp"
#include "fluxnet/runtime/packets/engine.hpp"

namespace firewall {

/// Prints the hits of every rule, and what became of the frames.
void print_counts(fluxnet::engine& loop, const filter& rules);

/// Sends what is still queued and prints what the kernel counted and where the frames are. To be called when the engine no
/// longer runs. Returns whether every frame received is accounted for exactly once, and every frame of the UMEM is there.
[[nodiscard]] bool print_accounts(fluxnet::engine& loop, const filter& rules);

}  // namespace firewall
