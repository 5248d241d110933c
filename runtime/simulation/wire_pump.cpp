// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/wire_pump.hpp"

#include <cassert>

namespace fluxnet {

wire_pump::wire_pump(executor& on, simulated_wire& wire) : executor_(on), wire_(wire), start_(on.now() - wire.now()) {
    assert(!wire.threaded() && "a threaded wire keeps time by itself");
    assert(detail::inside(on).clock() == nullptr && "in virtual time attach the wire to the clock");
    detail::inside(executor_).add_handler(*this);
}

void wire_pump::advance() noexcept {
    wire_.advance_to(executor_.now() - start_);
}

void wire_pump::before_sleep() noexcept {
    const auto next = wire_.next_arrival();
    clear_timer();
    if (next) { detail::inside(executor_).add_timer(*this, detail::time_after(start_, *next)); }
}

}  // namespace fluxnet
