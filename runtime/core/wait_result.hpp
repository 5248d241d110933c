// SPDX-License-Identifier: BSD-3-Clause
// `wait_result`: what an await that transfers nothing ends with: no error, or why it ended early.
//
//     const wait_result slept = co_await sleep_for(1s);
//     if (slept) { co_return; }  // cancelled
//
// A std::error_code that the compiler does not let a program drop by accident, because a loop that does not look at it goes
// on after it was cancelled. To ignore one on purpose: `static_cast<void>(co_await sleep_for(1s));`. A plain value.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <system_error>

namespace fluxnet {

class [[nodiscard]] wait_result : public std::error_code {
public:
    using std::error_code::error_code;
    wait_result() noexcept = default;
    /// Ends an await with an error, or with none.
    wait_result(const std::error_code& why) noexcept : std::error_code(why) {}
};

}  // namespace fluxnet
