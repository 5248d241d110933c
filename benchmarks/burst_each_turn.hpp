// SPDX-License-Identifier: BSD-3-Clause
// `burst_each_turn`: lets a burst arrive at the end of each turn of an executor that finds the ring dry.
//
// Lives as long as the executor's run, on its thread. What the turn does between two bursts is counted.
#pragma once

#include "benchmarks/traffic.hpp"
#include "fluxnet/runtime/core/executor.hpp"

#include <functional>
#include <utility>

namespace benchmark {

class burst_each_turn final : public detail::turn_handler {
public:
    /// `over` is called when all bursts have come. `dry` tells whether the last one has left the ring; it always has when
    /// the receiver takes all there is in every turn.
    burst_each_turn(
        executor& on, traffic& from, std::function<void()> over, std::function<bool()> dry = [] { return true; })
        : traffic_(from), over_(std::move(over)), dry_(std::move(dry)) {
        fluxnet::detail::inside(on).add_handler(*this);
    }

    void end_turn() noexcept override {
        if (!dry_()) { return; }
        is_over_ = !traffic_.send_burst();
        if (is_over_) { over_(); }
    }
    void before_sleep() noexcept override { require(is_over_, "the executor was about to sleep"); }
    void after_sleep() noexcept override {}
    void end_run() noexcept override {}

private:
    traffic& traffic_;
    const std::function<void()> over_;
    const std::function<bool()> dry_;
    bool is_over_ = false;
};

}  // namespace benchmark
