// SPDX-License-Identifier: BSD-3-Clause
// What a system call answers, in words. Functions without state.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

/// An error of the call that `step` is about: the errno and its text, and what the user can do.
[[nodiscard]] inline error call_error(int number, std::string step, const char* remedy) {
    return {std::error_code(number, std::system_category()), std::move(step), errno_text(number), remedy};
}

/// What the user can do about an errno that means the same whatever the call.
[[nodiscard]] inline const char* general_remedy(int number) noexcept {
    switch (number) {
        case EMFILE: return "close descriptors, or raise the limit (ulimit -n)";
        case ENFILE: return "the whole system has no descriptors left: see sysctl fs.file-max";
        default: return "see the manual page of the call";
    }
}

}  // namespace fluxnet::detail
