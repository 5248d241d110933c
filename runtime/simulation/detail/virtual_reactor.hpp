// SPDX-License-Identifier: BSD-3-Clause
// `make_virtual_reactor`: the reactor of an executor in virtual time: it has no kernel, and refuses every descriptor.
#pragma once

#include "fluxnet/runtime/reactor/reactor.hpp"

#include <memory>

namespace fluxnet::detail {

/// What is armed fires at the next poll() or wait() with poll_operation::refused; wait() does not wait.
[[nodiscard]] std::unique_ptr<reactor> make_virtual_reactor();

}  // namespace fluxnet::detail
