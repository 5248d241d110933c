// SPDX-License-Identifier: BSD-3-Clause
// `why_no_program()`: whether programs of others that a test starts are installed. A function without state.
#pragma once

#include "tests/support/process.hpp"

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>

namespace fluxnet::test {

/// Returns which of the programs is missing, and what would help; nothing when all are there.
inline std::optional<std::string> why_no_program(std::initializer_list<const char*> names) {
    for (const char* const name : names) {
        if (!run({"sh", "-c", "command -v \"$0\"", name}, {}, std::chrono::seconds(20)).success()) {
            return "there is no " + std::string(name) + "; examples/install-packages --all installs it";
        }
    }
    return std::nullopt;
}

}  // namespace fluxnet::test
