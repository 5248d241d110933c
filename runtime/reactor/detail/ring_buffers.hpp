// SPDX-License-Identifier: BSD-3-Clause
// `ring_buffers`: the pools of receive buffers from which the kernel chooses for one io_uring.
//
// Part of the io_uring reactor and used on its thread. A pool is handed over at its first receive, and taken back when it
// has no user any more. Its free buffers are given to the kernel when a receive is submitted, after completions have been
// taken, and before the reactor sleeps. Sources: io_uring_setup_buf_ring(3), io_uring_register_buf_ring(3).
#pragma once

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <liburing.h>

namespace fluxnet::detail {

class ring_buffers final : public buffer_provider {
public:
    explicit ring_buffers(io_uring& ring) noexcept : ring_(ring) {}
    ring_buffers(const ring_buffers&) = delete;
    ring_buffers& operator=(const ring_buffers&) = delete;
    ~ring_buffers() { forget(); }

    /// Gives the kernel what is free in the pool. False when the kernel does not choose from it: it takes no buffer rings,
    /// or has no multi-shot receive.
    [[nodiscard]] bool provide(buffer_pool& pool) noexcept;

    /// Takes note of the buffer that a completion names. Returns with_buffer() of it; 0 for a completion without one, or
    /// without a byte in it.
    [[nodiscard]] static unsigned take(buffer_pool& pool, const io_uring_cqe& completion) noexcept {
        if ((completion.flags & IORING_CQE_F_BUFFER) == 0) { return 0; }
        const std::uint32_t number = completion.flags >> IORING_CQE_BUFFER_SHIFT;
        pool.chosen(number);
        if (completion.res > 0) { return with_buffer(number); }
        pool.give_back(number);
        return 0;
    }

    /// Calls `tell` with the number of each buffer of a bundle, in the order of the bytes, how many of these it has, and
    /// whether others follow. The completion names the first; the others lie behind it in the ring, whose entries stay as
    /// they are until as many buffers have come back.
    template <class Tell>
    static void take_bundle(buffer_pool& pool, const io_uring_cqe& completion, Tell tell) noexcept {
        const auto& ring = *reinterpret_cast<const io_uring_buf_ring*>(pool.ring_memory());
        const std::uint32_t mask = pool.ring_entries() - 1;
        std::uint32_t place = pool.place_of(completion.flags >> IORING_CQE_BUFFER_SHIFT);
        for (auto left = static_cast<std::uint32_t>(completion.res); left != 0; ++place) {
            const std::uint32_t number = ring.bufs[place & mask].bid;
            const std::uint32_t size = std::min(left, pool.buffer_size());
            left -= size;
            pool.chosen(number);
            tell(number, size, left != 0);
        }
    }

    /// Gives the kernel what has come back, of every pool.
    void refill() noexcept;

    void withdraw(buffer_pool& pool) noexcept override;

    /// For the end of the ring: the kernel will not read any pool any more.
    void forget() noexcept;

private:
    /// A group of buffers, as the kernel numbers them.
    struct group {
        buffer_pool* pool = nullptr;
        bool spoilt = false;  // the kernel did not take it back
    };

    bool hand_over(buffer_pool& pool) noexcept;
    std::size_t free_group();
    void fill(buffer_pool& pool) noexcept;

    io_uring& ring_;
    std::vector<group> groups_;
};

}  // namespace fluxnet::detail
