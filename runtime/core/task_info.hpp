// SPDX-License-Identifier: BSD-3-Clause
// `task_info`: what an executor can tell about a task that has not ended. A plain value; see
// executor::tasks() for the thread that may ask.
#pragma once

#include "fluxnet/export.hpp"

#include <chrono>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

namespace fluxnet {

struct task_info {
    std::source_location where;               ///< It was spawned.
    std::string_view awaiting;                ///< "async_rx::recv"; empty while it runs or is about to.
    std::chrono::nanoseconds waiting_for{0};  ///< How long it has awaited that, to within 64 turns.
    bool elsewhere = false;                   ///< It has gone to another executor, which knows what it awaits.
    bool travelling = false;                  ///< It is between two executors, by schedule_on() or the like.
};

/// One line for each task: "main.cpp:42 in serve(...): async_rx::recv for 1.204 s".
[[nodiscard]] FLUXNET_EXPORT std::string to_text(std::span<const task_info> tasks);

}  // namespace fluxnet
