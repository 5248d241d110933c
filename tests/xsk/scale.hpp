// SPDX-License-Identifier: BSD-3-Clause
// How many rounds the heavy tests make. All of them where FLUXNET_TEST_SCALE=full is in the environment, as `tests/run
// --all` has it for a release build; fewer in an everyday run, and fewer still under sanitizers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FLUXNET_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define FLUXNET_TEST_SANITIZED 1
#endif
#endif

namespace fluxnet::test {

/// Whether the program runs under a sanitizer: what a test says of rates and sizes it says without one, too.
#if defined(FLUXNET_TEST_SANITIZED)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// Tells whether everything is asked for.
[[nodiscard]] inline bool full_scale() {
    const char* const scale = std::getenv("FLUXNET_TEST_SCALE");
    return scale != nullptr && std::string_view(scale) == "full";
}

/// `full`, or in an everyday run and under sanitizers divided by `divisor`.
[[nodiscard]] inline std::uint32_t scaled(std::uint32_t full, std::uint32_t divisor) {
#if defined(FLUXNET_TEST_SANITIZED)
    return full / divisor;
#else
    return full_scale() ? full : full / divisor;
#endif
}

/// The rounds of a test: scaled(), and a third of that under a sanitizer, which slows each of them down and finds what it is
/// for in fewer.
[[nodiscard]] inline std::uint32_t rounds(std::uint32_t full, std::uint32_t divisor) {
#if defined(FLUXNET_TEST_SANITIZED)
    return std::max(full / divisor / 3, std::uint32_t{1});
#else
    return scaled(full, divisor);
#endif
}

}  // namespace fluxnet::test
