// SPDX-License-Identifier: BSD-3-Clause
// Whether a test can leave its process without free descriptors. A function without state.
#pragma once

#include <optional>
#include <string>

namespace fluxnet::test {

/// Says why no test can; nothing if one can.
inline std::optional<std::string> why_not_without_descriptors() {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
    return "the undefined-behaviour sanitizer opens a pipe to look at an object's type";
#endif
#endif
    return std::nullopt;
}

}  // namespace fluxnet::test
