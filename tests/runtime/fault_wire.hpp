// SPDX-License-Identifier: BSD-3-Clause
// Sockets for the fault matrix in virtual time, where there is no kernel: over a simulated wire on the place's clock.
#pragma once

#include "tests/runtime/fault_world.hpp"

#include <memory>

namespace fluxnet::test {

[[nodiscard]] std::unique_ptr<fault_world> make_wire_rx(fault_place& place);
[[nodiscard]] std::unique_ptr<fault_world> make_wire_tx(fault_place& place);
[[nodiscard]] std::unique_ptr<fault_world> make_wire_raw(fault_place& place);

}  // namespace fluxnet::test
