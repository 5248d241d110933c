// SPDX-License-Identifier: BSD-3-Clause
// A number that one thread writes and any thread may read: a plain add on the writer's side, no read-modify-write.
#pragma once

#include <atomic>
#include <cstdint>

namespace fluxnet::detail {

class counter {
public:
    /// Adds; only the thread that owns the counter may call it.
    void add(std::uint64_t amount) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }

    [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_ = 0;
};

}  // namespace fluxnet::detail
