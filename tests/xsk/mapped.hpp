// SPDX-License-Identifier: BSD-3-Clause
// Asks the system whether an address is mapped.
#pragma once

#include <cerrno>
#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::test {

/// Tells whether the page of `address` is mapped now. Source: mincore(2), ENOMEM.
[[nodiscard]] inline bool is_mapped(const void* address) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    unsigned char present = 0;
    auto* start = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(address) & ~(page - 1));
    return ::mincore(start, page, &present) == 0 || errno != ENOMEM;
}

}  // namespace fluxnet::test
