// SPDX-License-Identifier: BSD-3-Clause
// Sends traffic through a pipeline and checks what has to hold on any wire: every packet accounted for, order and contents
// kept, no frame lost at either end, nothing allocated.
#pragma once

#include "tests/e2e/pipeline_exchange.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace fluxnet::test {

/// What a wire may do to packets under a window: nothing, lose some of them as its dice say, or lose them when the
/// kernel's queue between two devices is full, which depends on what else the machine does.
enum class wire_kind { lossless, lossy, kernel };

inline void check_traffic(far_side& far, pipeline& through, const traffic& plan, const exchange_outcome& outcome,
                          wire_kind kind) {
    CHECK(outcome.settled);
    CHECK_FALSE(far.failure());
    CHECK_FALSE(through.receiver().failure());
    CHECK_FALSE(through.sender().failure());

    CHECK(far.sent() == plan.packets);
    CHECK(far.faults().damaged == 0);
    CHECK(far.faults().out_of_order == 0);
    CHECK(far.faults().undropped == 0);
    CHECK(far.faults().misshapen == 0);

    const std::uint64_t dropped = through.total(&flow_worker::dropped);
    CHECK(far.sent() == far.received() + dropped + outcome.lost);
    CHECK(through.received() == dropped + through.total(&flow_worker::forwarded));
    CHECK(through.sent() == through.total(&flow_worker::forwarded));
    CHECK(through.total(&flow_worker::damaged) == 0);
    CHECK(through.refused() == 0);
    CHECK(dropped > through.received() / 20);
    CHECK(through.total(&flow_worker::kept) > through.received() / 100);
    CHECK(through.total(&flow_worker::held_behind) > through.received() / 200);
    CHECK(far.received_resized() > far.received() / 20);

    REQUIRE(outcome.slices > 1);
    CHECK(outcome.overloaded_slices == outcome.slices);
    CHECK(outcome.lost - outcome.lost_in_window <= outcome.slices * plan.overload);
    if (kind != wire_kind::kernel) { CHECK((kind == wire_kind::lossy) == (outcome.lost_in_window != 0)); }
    CHECK(outcome.allocations == 0);
    CHECK(outcome.maps == 0);
}

/// Runs `plan` between the two and returns what it cost; both are at rest afterwards.
inline exchange_outcome send_and_check(far_side& far, pipeline& through, const traffic& plan, const char* where,
                                       std::function<std::uint64_t()> lost, wire_kind kind = wire_kind::lossless) {
    exchange both(far, through, std::move(lost));
    through.start();
    const exchange_outcome outcome = both.run(plan);
    through.finish();
    CHECK(far.finish());
    both.report(where, outcome);
    check_traffic(far, through, plan, outcome, kind);
    check_census(through.receiver().pool());
    check_census(far.pool());
    return outcome;
}

}  // namespace fluxnet::test
