// SPDX-License-Identifier: BSD-3-Clause
// Memory for a ring, as a socket would map it. Owned by the test; outlives the ends built over it.
#pragma once

#include "fluxnet/xsk/memory/ring.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace fluxnet::test {

template <class T>
class ring_storage {
public:
    explicit ring_storage(std::uint32_t size, std::uint32_t first_index = 0)
        : producer_(first_index), consumer_(first_index), entries_(size) {}

    [[nodiscard]] ring_memory<T> memory() {
        return {&producer_, &consumer_, &flags_, entries_.data(), static_cast<std::uint32_t>(entries_.size())};
    }

    [[nodiscard]] std::atomic_ref<std::uint32_t> producer() { return std::atomic_ref(producer_); }
    [[nodiscard]] std::atomic_ref<std::uint32_t> consumer() { return std::atomic_ref(consumer_); }
    [[nodiscard]] std::atomic_ref<std::uint32_t> flags() { return std::atomic_ref(flags_); }
    [[nodiscard]] T& entry(std::uint32_t index) { return entries_[index & (entries_.size() - 1)]; }

private:
    alignas(64) std::uint32_t producer_;
    alignas(64) std::uint32_t consumer_;
    alignas(64) std::uint32_t flags_ = 0;
    std::vector<T> entries_;
};

}  // namespace fluxnet::test
