// SPDX-License-Identifier: BSD-3-Clause
// How many rounds the heavy tests make. All of them where FLUXNET_TEST_SCALE=full is in the environment, as `tests/run
// --all` has it; fewer in an everyday run, and where a sanitizer slows each of them down.
#pragma once

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

/// Tells whether the heavy tests make all their rounds.
[[nodiscard]] inline bool full_scale() {
#if defined(FLUXNET_TEST_SANITIZED)
    return false;
#else
    const char* const scale = std::getenv("FLUXNET_TEST_SCALE");
    return scale != nullptr && std::string_view(scale) == "full";
#endif
}

/// The rounds that a test makes: `full`, divided by `divisor` when not at full scale.
[[nodiscard]] inline std::uint32_t rounds(std::uint32_t full, std::uint32_t divisor) {
    return full_scale() ? full : full / divisor;
}

}  // namespace fluxnet::test
