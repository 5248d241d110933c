// SPDX-License-Identifier: BSD-3-Clause
// `outstanding_count`: tells which thread is to free memory that outlives its last handle because things in it are lent out.
//
// The thread that drops the last handle closes the return stacks first, and then calls close() with the number of things
// that are lent out. A returning thread that finds a stack closed calls returned(). The count may be below zero in between,
// when things come back before close() has been called. Exactly one of these calls returns true, when everything has come
// back; its thread frees the memory. Each call is acq_rel: what all other threads did to the memory has happened before it
// is freed.
#pragma once

#include <atomic>
#include <cstdint>

namespace fluxnet::detail {

class outstanding_count {
public:
    /// Called once, with what is lent out and not on a stack. True: the caller frees the memory.
    [[nodiscard]] bool close(std::int64_t lent) noexcept {
        return count_.fetch_add(lent, std::memory_order_acq_rel) + lent == 0;
    }

    /// Counts things that met a closed stack. True: the caller frees the memory. Any thread.
    [[nodiscard]] bool returned(std::uint32_t things) noexcept {
        return count_.fetch_sub(things, std::memory_order_acq_rel) == std::int64_t{things};
    }

private:
    std::atomic<std::int64_t> count_ = 0;
};

}  // namespace fluxnet::detail
