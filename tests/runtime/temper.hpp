// SPDX-License-Identifier: BSD-3-Clause
// `temper`: the kinds of executor that a test goes through: each reactor, and virtual time.
#pragma once

#include "runtime/executor.hpp"

#include <optional>
#include <string_view>
#include <system_error>

namespace fluxnet::test {

enum class temper { io_uring };

[[nodiscard]] inline const char* name_of(temper which) noexcept {
    switch (which) {
        case temper::io_uring: return "io_uring";
    }
    return "";
}

[[nodiscard]] inline bool is_virtual(temper) noexcept {
    return false;
}

[[nodiscard]] inline bool is_refusal_of_virtual_time(std::error_code) noexcept {
    return false;
}

/// An executor of one temper. Its worlds are made for it, and outlive it.
class fault_place {
public:
    explicit fault_place(temper which) : temper_(which) { loop_.emplace(); }

    [[nodiscard]] bool in_virtual_time() const noexcept { return false; }
    [[nodiscard]] executor& loop() noexcept { return *loop_; }

    /// Destroys the executor.
    void close() noexcept { loop_.reset(); }

private:
    const temper temper_;
    std::optional<executor> loop_;
};

}  // namespace fluxnet::test
