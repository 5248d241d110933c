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

/// Tells whether everything is asked for.
[[nodiscard]] inline bool full_scale() {
    const char* const scale = std::getenv("FLUXNET_TEST_SCALE");
    return scale != nullptr && std::string_view(scale) == "full";
}

/// A sanitizer slows each round down several times, and finds what it is for in fewer of them.
#if defined(FLUXNET_TEST_SANITIZED)
inline constexpr std::uint32_t sanitizer_divisor = 3;
#else
inline constexpr std::uint32_t sanitizer_divisor = 1;
#endif

/// The rounds of a test: `full`, or in an everyday run divided by `divisor`; under a sanitizer fewer than every day.
[[nodiscard]] inline std::uint32_t rounds(std::uint32_t full, std::uint32_t divisor) {
    if (sanitizer_divisor == 1 && full_scale()) { return full; }
    return std::max(full / (divisor * sanitizer_divisor), std::uint32_t{1});
}

}  // namespace fluxnet::test
