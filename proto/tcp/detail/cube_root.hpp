// SPDX-License-Identifier: BSD-3-Clause
// The integer cube root, for the K of CUBIC. Threads: any.
#pragma once

#include <cstdint>

namespace fluxnet::proto::tcp::detail {

/// The greatest whole number whose cube is at most `value`. 22 rounds, one bit of the root each, without division.
[[nodiscard]] constexpr std::uint32_t cube_root(std::uint64_t value) noexcept {
    std::uint64_t root = 0;
    for (int shift = 63; shift >= 0; shift -= 3) {
        root *= 2;
        const std::uint64_t step = 3 * root * (root + 1) + 1;  // (root + 1)^3 - root^3
        if ((value >> shift) >= step) {
            value -= step << shift;
            ++root;
        }
    }
    return static_cast<std::uint32_t>(root);
}

}  // namespace fluxnet::proto::tcp::detail
