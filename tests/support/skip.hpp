// SPDX-License-Identifier: BSD-3-Clause
// Reports a test case as skipped, with the reason, when the machine lacks what the test needs.
//
// A macro without state, for use on the thread that runs the test case. The line it prints begins with "[skipped]"; the
// build tells ctest to look for it (SKIP_REGULAR_EXPRESSION), so that a skipped test never counts as a pass.
#pragma once

#include <optional>
#include <string>

namespace fluxnet::test {

/// Prints "[skipped] <reason>" as one line to standard output.
void report_skip(const std::string& reason);

}  // namespace fluxnet::test

/// Leaves the test case when `reason_expression`, a std::optional<std::string>, holds a reason:
/// `FLUXNET_SKIP_IF(testbed::why_not_available());`. Goes first in the test case, outside any lambda.
#define FLUXNET_SKIP_IF(reason_expression)                                                 \
    do {                                                                                   \
        if (const std::optional<std::string> fluxnet_skip_reason_ = (reason_expression)) { \
            ::fluxnet::test::report_skip(*fluxnet_skip_reason_);                           \
            return;                                                                        \
        }                                                                                  \
    } while (false)
