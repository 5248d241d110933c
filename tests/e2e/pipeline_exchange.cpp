// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_exchange.hpp"

#include "tests/support/allocation_counter.hpp"

#include <algorithm>
#include <cstdio>

namespace fluxnet::test {
namespace {

constexpr std::chrono::seconds longest_standstill{5};

}  // namespace

exchange_outcome exchange::run(const traffic& plan) {
    exchange_outcome outcome;
    const auto start = clock::now();
    outcome.settled = true;
    while (outcome.settled && far_.sent() < plan.packets) {
        const std::uint64_t end = std::min(plan.packets, far_.sent() + plan.slice);
        const std::uint64_t before = lost_;
        const bool disturbed = through_.begin_slice(outcome.slices);
        const allocation_watch watch;
        outcome.settled = offer(end - std::min(plan.overload, end - far_.sent()), plan.window) && settle();
        outcome.lost_in_window += lost_ - before;
        const std::uint64_t in_window = lost_;
        through_.set_slow(true);
        outcome.settled = outcome.settled && offer(end, no_window);
        through_.set_slow(false);
        outcome.settled = outcome.settled && settle();
        outcome.overloaded_slices += lost_ != in_window ? 1U : 0U;
        if (outcome.slices++ == 0) { continue; }
        if (disturbed) {
            outcome.disturbed_allocations += watch.allocations();
        } else {
            ++outcome.counted_slices;
            outcome.allocations += watch.allocations();
            outcome.maps += watch.maps();
        }
    }
    outcome.seconds = std::chrono::duration<double>(clock::now() - start).count();
    outcome.lost = lost_;
    if (!outcome.settled) { through_.abandon(); }
    return outcome;
}

bool exchange::offer(std::uint64_t until, std::uint64_t window) {
    patience idle;
    for (clock::time_point last_progress = clock::now(); far_.sent() < until;) {
        std::uint64_t moved = far_.check();
        const std::uint64_t under_way = outstanding();
        if (under_way < window) {
            const std::uint64_t room = std::min(window - under_way, until - far_.sent());
            moved += far_.send(static_cast<std::uint32_t>(std::min<std::uint64_t>(room, 64)));
        }
        if (moved != 0) {
            idle.reset();
            last_progress = {};
        } else if (!wait(idle, last_progress)) {
            return false;
        }
    }
    return true;
}

bool exchange::settle() {
    patience idle;
    for (clock::time_point last_progress = clock::now(); outstanding() != 0;) {
        if (far_.check() != 0) {
            idle.reset();
            last_progress = {};
        } else if (!wait(idle, last_progress)) {
            return false;
        }
    }
    return true;
}

bool exchange::wait(patience& idle, clock::time_point& last_progress) {
    far_.collect();
    idle.wait();
    if (!idle.asleep()) { return true; }
    const std::uint64_t known = lost_now_();  // system calls: only when there is nothing else to do
    const auto now = clock::now();
    if (known != lost_ || last_progress == clock::time_point()) { last_progress = now; }
    lost_ = known;
    return !far_.failure() && now - last_progress < longest_standstill;
}

void exchange::report(const char* where, const exchange_outcome& outcome) const {
    const auto count = [&](fluxnet::detail::counter flow_treatment::*what) {
        return static_cast<unsigned long long>(through_.total(what));
    };
    std::printf(
        "%s: %llu packets in %.1f s (%.0f a second): %llu came back (%llu resized), %llu dropped, %llu kept with "
        "%llu behind them, %llu lost (%llu of them in the window, others in %llu of %llu slices); "
        "%llu allocations, %llu maps\n",
        where, 0ULL + far_.sent(), outcome.seconds, static_cast<double>(far_.sent()) / outcome.seconds,
        0ULL + far_.received(), 0ULL + far_.received_resized(), count(&flow_treatment::dropped),
        count(&flow_treatment::kept), count(&flow_treatment::held_behind), 0ULL + outcome.lost,
        0ULL + outcome.lost_in_window, 0ULL + outcome.overloaded_slices, 0ULL + outcome.slices, 0ULL + outcome.allocations,
        0ULL + outcome.maps);
    std::fflush(stdout);
}

}  // namespace fluxnet::test
