// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/task.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <system_error>

namespace fluxnet::detail {

bool make_ready_here(ready_node& node) noexcept {
    executor* const here = executor::current();
    if (here == nullptr) { return false; }
    inside(*here).unwind(node);
    return true;
}

void throw_not_awaitable() {
    throw std::system_error(make_error_code(errc::not_awaitable), "await a task");
}

void throw_no_executor() {
    throw std::system_error(make_error_code(errc::no_executor),
                            "await something outside a coroutine that an executor runs (spawn() or sync_wait())");
}

}  // namespace fluxnet::detail
