// SPDX-License-Identifier: BSD-3-Clause
// How many rounds the heavy tests make: fewer where a sanitizer slows each of them down.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FLUXNET_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define FLUXNET_TEST_SANITIZED 1
#endif
#endif

namespace fluxnet::test {

/// Rounds of a build without sanitizers, divided by `divisor` where there is one.
[[nodiscard]] constexpr std::uint32_t rounds(std::uint32_t full, [[maybe_unused]] std::uint32_t divisor) {
#if defined(FLUXNET_TEST_SANITIZED)
    return full / divisor;
#else
    return full;
#endif
}

}  // namespace fluxnet::test
