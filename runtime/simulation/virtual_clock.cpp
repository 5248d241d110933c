// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include "fluxnet/runtime/simulation/detail/virtual_reactor.hpp"

#include <algorithm>
#include <bit>

namespace fluxnet {
namespace {

/// Of so many that are ready one is chosen; those behind them wait. A bound for what a resumption costs.
constexpr std::uint64_t choices = 256;

void fold(std::uint64_t& hash, std::uint64_t value) noexcept {
    hash = (std::rotl(hash, 23) ^ value) * 0x9e3779b97f4a7c15ULL;
}

}  // namespace

std::uint64_t virtual_clock::digest() const noexcept {
    std::uint64_t hash = schedule_;
    for (const attached_wire& each : wires_) { fold(hash, each.wire->digest()); }
    return hash;
}

std::unique_ptr<reactor> virtual_clock::make_reactor() {
    return detail::make_virtual_reactor();
}

ready_node& virtual_clock::take_next(ready_queue& ready) noexcept {
    auto chosen = ready.begin();
    std::uint64_t index = 0;
    if (order_ == wake_order::seeded) {
        std::uint64_t count = 0;
        for (auto each = ready.begin(); each != ready.end() && count != choices; ++each) { ++count; }
        if (count > 1) { index = random_() % count; }
        for (std::uint64_t i = 0; i != index; ++i) { ++chosen; }
    }
    ++resumptions_;
    fold(schedule_, static_cast<std::uint64_t>(elapsed().count()) * choices + index);
    ready_node& node = *chosen;
    ready.erase(chosen);
    return node;
}

bool virtual_clock::advance(std::optional<time_point> timer) noexcept {
    time_point next = timer.value_or(time_point::max());  // the end of time: never
    for (const attached_wire& each : wires_) {
        if (const auto arrival = each.wire->next_arrival()) {
            next = std::min(next, detail::time_after(each.origin, *arrival));
        }
    }
    if (next == time_point::max()) { return false; }
    now_ = std::max(now_, next);
    for (const attached_wire& each : wires_) { each.wire->advance_to(now_ - each.origin); }
    return true;
}

}  // namespace fluxnet
