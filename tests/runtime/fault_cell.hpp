// SPDX-License-Identifier: BSD-3-Clause
// `run_fault_cell`: one cell of the fault matrix: one awaiter, one way to end, one kind of executor.
//
// Checks with doctest: that the await ends as it may, that nothing hangs (a hang ends the process, naming the cell), and
// that neither memory, coroutine frames among it, nor descriptors are left.
#pragma once

#include "tests/runtime/fault_world.hpp"

#include <optional>
#include <string>

namespace fluxnet::test {

/// What happens to an await. "Same turn": before the coroutine could resume.
enum class fault {
    none,                        ///< It completes.
    stopped_before_start,        ///< Its task was asked to stop before it began.
    stopped_before_ready_start,  ///< The same, and it could complete at once.
    stopped_while_suspended,     ///< And then the next await completes.
    stopped_then_completed,      ///< In the same turn.
    completed_then_stopped,      ///< In the same turn.
    stopped_by_another_thread,   ///< While the executor sleeps.
    raced_by_another_thread,     ///< Stopped there while it completes here.
    shut_down,                   ///< The executor ends what goes on.
    destroyed_while_suspended,   ///< The executor goes.
    destroyed_when_completed,    ///< The same, in the turn in which the await completed.
};

/// Says why a cell is not there; nothing when it is.
[[nodiscard]] std::optional<std::string> why_no_cell(const fault_entry& entry, fault how, temper on);

void run_fault_cell(const fault_entry& entry, fault how, temper on);

}  // namespace fluxnet::test
