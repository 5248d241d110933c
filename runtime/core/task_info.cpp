// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/task_info.hpp"

#include <cstdio>

namespace fluxnet {

std::string to_text(std::span<const task_info> tasks) {
    std::string text;
    for (const task_info& task : tasks) {
        text += task.where.file_name();
        text += ':' + std::to_string(task.where.line()) + " in " + task.where.function_name() + ": ";
        if (task.travelling) {
            text += "travelling to another executor";
        } else if (task.elsewhere) {
            text += "on another executor";
        } else if (task.awaiting.empty()) {
            text += "ready";
        } else {
            char seconds[32];
            std::snprintf(seconds, sizeof seconds, " for %.3f s", std::chrono::duration<double>(task.waiting_for).count());
            text += task.awaiting;
            text += seconds;
        }
        text += '\n';
    }
    return text;
}

}  // namespace fluxnet
