// SPDX-License-Identifier: BSD-3-Clause
// `open_descriptors`: how many file descriptors this process has, to see that what ran left none.
#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace fluxnet::test {

[[nodiscard]] inline std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

}  // namespace fluxnet::test
