// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/detail/strand.hpp"

#include "fluxnet/runtime/core/detail/nested_turns.hpp"
#include "fluxnet/runtime/core/operation.hpp"

#include <algorithm>

namespace fluxnet::detail {
namespace {

/// Tells whether the calling thread alone decides when the strand goes on.
bool is_settled(const task_context& strand) noexcept {
    executor& on = *strand.on.load(std::memory_order_acquire);
    if (!nested_turns::driven_here(on)) { return false; }
    const executor* const limited = strand.limited_on.load(std::memory_order_relaxed);
    if (limited != nullptr && !nested_turns::driven_here(*limited)) { return false; }
    const operation* const travelling = strand.travelling.load(std::memory_order_relaxed);
    if (travelling == nullptr) { return true; }
    inside(on).take_inbox();
    return travelling->is_linked();  // else the thread that it leaves has still to hand it over
}

}  // namespace

bool strand_list::destroy_settled(executor& here) noexcept {
    inside(here).take_inbox();  // what has ended elsewhere comes home through it
    for (;;) {
        const auto found = std::ranges::find_if(strands_, is_settled);
        if (found == strands_.end()) { return strands_.empty(); }
        destroy(*found);
    }
}

void strand_list::clear_running(std::stop_source& stop) noexcept {
    executor* const here = executor::current();
    if (here == nullptr) {  // frames are being destroyed while no executor runs
        clear();
        return;
    }
    if (destroy_settled(*here)) { return; }
    stop.request_stop();
    nested_turns turns(*here);
    while (!destroy_settled(*here)) {
        turns.work();
        if (destroy_settled(*here)) { return; }
        turns.rest();
    }
}

}  // namespace fluxnet::detail
