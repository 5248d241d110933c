// SPDX-License-Identifier: BSD-3-Clause
// `idle_policy`: what an executor does when it has nothing to do. A plain value, which the executor copies; any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace fluxnet {

enum class poller : std::uint8_t {
    wait,      ///< Sleeps in the kernel at once.
    adaptive,  ///< Looks again for a while, then sleeps.
    busy,      ///< Looks again for ever: a whole CPU, no system call, the shortest latency.
};

struct idle_policy {
    poller how = poller::wait;
    std::chrono::nanoseconds spin = std::chrono::microseconds(50);  ///< How long `adaptive` looks before it sleeps.
};

}  // namespace fluxnet
