// SPDX-License-Identifier: BSD-3-Clause
// `exit_status`: how a program ended: with a code, or by a signal.
//
//     const exit_result end = co_await child.wait();
//     if (!end.ec && !end.status.success()) { ... }
//
// Plain values, for any thread. Source: waitid(2).
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <system_error>

namespace fluxnet {

struct exit_status {
    int code = -1;             ///< What the program returned, 0 to 255; -1 when a signal ended it.
    int signal = 0;            ///< The signal that ended it; 0 when it returned.
    bool core_dumped = false;  ///< The signal made the kernel write a core file.

    /// Tells whether the program returned 0.
    [[nodiscard]] bool success() const noexcept { return code == 0; }

    bool operator==(const exit_status&) const = default;
};

/// What waiting for a program ends with.
struct [[nodiscard]] exit_result {
    std::error_code ec = no_error;  ///< No error, or why the status is not known.
    exit_status status;             ///< Only without an error.
};

}  // namespace fluxnet
