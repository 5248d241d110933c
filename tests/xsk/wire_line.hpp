// SPDX-License-Identifier: BSD-3-Clause
// `wire_line`: a simulated wire with a socket on both ends, for tests on one thread.
#pragma once

#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::test {

struct wire_line {
    explicit wire_line(const wire_options& options = {}, std::uint32_t frames = 256, std::uint32_t ring = 64,
                       bool need_wakeup = true)
        : wire(options) {
        left.emplace(open(simulated_wire::end::left, frames, ring, need_wakeup));
        right.emplace(open(simulated_wire::end::right, frames, ring, need_wakeup));
    }

    system_sockets open(simulated_wire::end which, std::uint32_t frames, std::uint32_t ring, bool need_wakeup) {
        builder options = wire.socket_on(which).need_wakeup(need_wakeup);
        options.frames(frames).rx_ring(ring).tx_ring(ring).fill_ring(ring).completion_ring(ring);
        return options.build_system().value();
    }

    /// Queues and kicks one packet from the left.
    bool send(std::span<const std::byte> bytes) {
        packet one;
        if (left->tx.allocate(std::span(&one, 1)) != 1 || !one.assign(bytes) || !left->tx.try_send(one)) { return false; }
        return !left->tx.flush();
    }

    /// Receives everything that has arrived on the right.
    std::vector<std::vector<std::byte>> receive() {
        std::vector<std::vector<std::byte>> all;
        std::array<packet, 16> burst;
        while (const std::uint32_t count = right->rx.try_recv(burst)) {
            for (const packet& one : std::span<const packet>(burst).first(count)) {
                all.emplace_back(one.data().begin(), one.data().end());
            }
            for (packet& one : burst) { one.reset(); }
        }
        return all;
    }

    simulated_wire wire;
    std::optional<system_sockets> left;
    std::optional<system_sockets> right;
};

inline bool adds_up(const wire_counts& counts) {
    return counts.offered + counts.duplicated == counts.accounted();
}

}  // namespace fluxnet::test
