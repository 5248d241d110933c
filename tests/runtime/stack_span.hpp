// SPDX-License-Identifier: BSD-3-Clause
// `stack_span`: how far the stack was used below and above, as plain calls see it. A plain value, used on one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fluxnet::test {

struct stack_span {
    std::uintptr_t lowest = UINTPTR_MAX;
    std::uintptr_t highest = 0;

    [[gnu::noinline]] void note() noexcept {
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        if (here < lowest) { lowest = here; }
        if (here > highest) { highest = here; }
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return highest - lowest; }
};

/// The stack that any number of transfers may use: a handful of frames, or 64 transfers where the compiler makes each a
/// call.
inline constexpr std::size_t flat_stack = 256 * 1024;

}  // namespace fluxnet::test
