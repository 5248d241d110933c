// SPDX-License-Identifier: BSD-3-Clause
// `wire_pump`: lets a simulated wire's clock follow the real one, on an executor whose coroutines use the wire.
//
// Keeps references to both; must end before either, and is used on the executor's thread or while no thread runs it. Packets
// that are due arrive between two turns; while the executor sleeps, a timer wakes it for the next arrival. No system call
// and no allocation for a packet. Not for a threaded wire, which keeps real time by itself.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <chrono>

namespace fluxnet {

class FLUXNET_EXPORT wire_pump final : private detail::turn_handler, private detail::timer_node {
public:
    /// The wire's present time is now; it goes on from there.
    wire_pump(executor& on, simulated_wire& wire);
    wire_pump(const wire_pump&) = delete;
    wire_pump& operator=(const wire_pump&) = delete;
    ~wire_pump() = default;

private:
    void end_turn() noexcept override { advance(); }
    void before_sleep() noexcept override;
    void after_sleep() noexcept override { advance(); }
    void end_run() noexcept override {}
    void on_time() noexcept override { advance(); }

    void advance() noexcept;

    executor& executor_;
    simulated_wire& wire_;
    const std::chrono::steady_clock::time_point start_;  // when the wire's time was 0
};

}  // namespace fluxnet
