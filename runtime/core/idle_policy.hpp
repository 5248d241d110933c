// SPDX-License-Identifier: BSD-3-Clause
// `idle_policy`: what an executor does when it has nothing to do. A plain value, which the executor copies; any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace fluxnet {

/// How an executor waits.
enum class poller : std::uint8_t {
    wait,      ///< Sleeps in the kernel at once.
    adaptive,  ///< Looks again for a while, then sleeps.
    busy,      ///< Looks again for ever: a whole CPU, no system call, the shortest latency.
};

struct idle_policy {
    poller how = poller::wait;
    std::chrono::nanoseconds spin = std::chrono::microseconds(50);  ///< How long `adaptive` looks before it sleeps.

    /// How long each sleep first polls, inside the kernel, the network devices from which sockets have received: lower
    /// latency for a busy CPU. 0: not at all. For devices with NAPI (neither veth nor loopback), over io_uring, from Linux
    /// 6.9 on; executor::reactor_name() tells whether it is granted. Source: io_uring_register_napi(3).
    std::chrono::microseconds napi_poll{0};
};

}  // namespace fluxnet
