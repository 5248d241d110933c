// SPDX-License-Identifier: BSD-3-Clause
// `copy_bytes`: memcpy into and out of frames for those who stand in for the kernel. A function without a state; any thread.
//
// In the checked build under the address sanitizer, frames that are not the user's are poisoned. The kernel, which the
// sanitizer does not see, may touch them all the same. memcpy would be seen, so the bytes are copied by hand there.
// Private: included by .cpp files only.
#pragma once

#include <cstddef>
#include <cstring>

namespace fluxnet::detail {

__attribute__((no_sanitize("address"))) inline void copy_bytes(std::byte* to, const std::byte* from,
                                                               std::size_t count) noexcept {
#if defined(FLUXNET_CHECKED)
    auto* target = static_cast<volatile std::byte*>(to);
    for (std::size_t i = 0; i < count; ++i) { target[i] = from[i]; }
#else
    std::memcpy(to, from, count);
#endif
}

}  // namespace fluxnet::detail
