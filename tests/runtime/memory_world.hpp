// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the in-memory network share: a network in virtual time. Each is one test case's, on its thread.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdint>

namespace fluxnet::test {

struct memory_world {
    explicit memory_world(const memory_options& options = {}) : net(loop, options) {}

    virtual_clock clock{1};
    executor loop{clock};
    memory_network net;
};

[[nodiscard]] inline proto::ip_endpoint at(std::uint16_t port, std::uint8_t host = 1) {
    return {proto::ipv4_address(192, 0, 2, host), port};
}

/// Three milliseconds there, and reads in one piece.
[[nodiscard]] inline memory_options slow() {
    memory_options options;
    options.latency = std::chrono::milliseconds(3);
    options.fragmentation = 0;
    return options;
}

}  // namespace fluxnet::test
