// SPDX-License-Identifier: BSD-3-Clause
// A number that one thread writes and any thread may read: a plain add on the writer's side, no read-modify-write.
#pragma once

#include <atomic>
#include <cstdint>

namespace fluxnet::detail {

class counter {
public:
    /// Adds, and returns the sum; only the thread that owns the counter may call it.
    std::uint64_t add(std::uint64_t amount) noexcept {
        const std::uint64_t sum = value_.load(std::memory_order_relaxed) + amount;
        value_.store(sum, std::memory_order_relaxed);
        return sum;
    }

    [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_ = 0;
};

}  // namespace fluxnet::detail
