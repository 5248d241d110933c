// SPDX-License-Identifier: BSD-3-Clause
// Sends traffic through a pipeline and checks what has to hold on any wire: every packet accounted for, order and contents
// kept, no frame lost at either end, nothing allocated.
#pragma once

#include "tests/e2e/pipeline_coroutines.hpp"
#include "tests/e2e/pipeline_exchange.hpp"
#include "tests/xsk/scale.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <utility>

namespace fluxnet::test {

/// What a wire may do to packets under a window: nothing, lose some of them as its dice say, or lose them when the
/// kernel's queue between two devices is full, which depends on what else the machine does.
enum class wire_kind { lossless, lossy, kernel };

inline void check_traffic(far_side& far, pipeline_middle& through, const traffic& plan, const exchange_outcome& outcome,
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

    const std::uint64_t dropped = through.total(&flow_treatment::dropped);
    CHECK(far.sent() == far.received() + dropped + outcome.lost);
    CHECK(through.received() == dropped + through.total(&flow_treatment::forwarded));
    CHECK(through.sent() == through.total(&flow_treatment::forwarded));
    CHECK(through.total(&flow_treatment::damaged) == 0);
    CHECK(through.refused() == 0);
    CHECK(dropped > through.received() / 20);
    CHECK(through.total(&flow_treatment::kept) > through.received() / 100);
    CHECK(through.total(&flow_treatment::held_behind) > through.received() / 200);
    CHECK(far.received_resized() > far.received() / 20);

    REQUIRE(outcome.slices > 1);
    CHECK(outcome.overloaded_slices == outcome.slices);
    CHECK(outcome.lost - outcome.lost_in_window <= outcome.slices * plan.overload);
    if (kind != wire_kind::kernel) { CHECK((kind == wire_kind::lossy) == (outcome.lost_in_window != 0)); }
    CHECK(outcome.counted_slices > 0);
    CHECK(outcome.allocations == 0);
    CHECK(outcome.maps == 0);
}

/// Runs `plan` between the two and returns what it cost; both are at rest afterwards.
inline exchange_outcome send_and_check(far_side& far, pipeline_middle& through, const traffic& plan, const char* where,
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

/// Checks that awaits of every kind were cancelled, and that nothing but the cancelling allocated.
inline void check_cancels(coroutine_pipeline& through, const exchange_outcome& outcome) {
    const auto sum = [](coroutine_pipeline::dice dice, std::uint64_t (random_cancels::*what)() const noexcept) {
        std::uint64_t all = 0;
        for (const random_cancels& one : dice) { all += (one.*what)(); }
        return all;
    };
    using dice = random_cancels;
    const std::uint64_t threats = sum(through.all_dice(), &dice::threats);
    const std::uint64_t receptions = sum(through.receptions(), &dice::canceled);
    const std::uint64_t sends = sum(through.sends(), &dice::canceled);
    const std::uint64_t channel_sends = sum(through.channel_sends(), &dice::canceled);
    const std::uint64_t channel_receptions = sum(through.channel_receptions(), &dice::canceled);
    std::printf(
        "  cancelled, of %llu threatened: %llu receptions, %llu sends (%llu in part), %llu channel sends (%llu in part), "
        "%llu channel receptions; %llu allocations for it; none counted in %llu slices\n",
        0ULL + threats, 0ULL + receptions, 0ULL + sends, 0ULL + sum(through.sends(), &dice::partial), 0ULL + channel_sends,
        0ULL + sum(through.channel_sends(), &dice::partial), 0ULL + channel_receptions, 0ULL + outcome.disturbed_allocations,
        0ULL + outcome.counted_slices);
    std::fflush(stdout);
    CHECK(receptions > rounds(50, 10));
    CHECK(sends > rounds(50, 10));
    CHECK(channel_sends > rounds(50, 10));
    CHECK(channel_receptions > rounds(50, 10));
    CHECK(outcome.disturbed_allocations > 0);
    CHECK(outcome.disturbed_allocations <= threats * random_cancels::allocations_each);
}

}  // namespace fluxnet::test
