// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/ring_buffers.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>

namespace fluxnet::detail {
namespace {

static_assert(sizeof(io_uring_buf) == 16, "buffer_pool makes room for entries of 16 bytes");

io_uring_buf_ring* ring_of(const buffer_pool& pool) noexcept {
    return reinterpret_cast<io_uring_buf_ring*>(pool.ring_memory());
}

/// Linux 6.0 brought multi-shot receives, which no probe tells of, and zero-copy sends, of which one does.
bool receives_many(io_uring& ring) noexcept {
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring);
    if (probe == nullptr) { return false; }
    const bool told = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) != 0;
    io_uring_free_probe(probe);
    return told;
}

}  // namespace

bool ring_buffers::provide(buffer_pool& pool) noexcept {
    if (pool.chooser() == buffer_pool::choice::open && !hand_over(pool)) { return false; }
    if (pool.chooser() != buffer_pool::choice::kernel) { return false; }
    fill(pool);
    return true;
}

bool ring_buffers::hand_over(buffer_pool& pool) noexcept try {
    const std::size_t number = free_group();
    if (number > std::numeric_limits<std::uint16_t>::max()) {
        pool.let_reactor_choose("the 65537th buffer ring", EMFILE);
        return false;
    }
    if (!receives_many(ring_)) {
        pool.let_reactor_choose("a probe for multi-shot receives", EOPNOTSUPP);
        return false;
    }
    io_uring_buf_reg about{};
    about.ring_addr = reinterpret_cast<std::uintptr_t>(pool.ring_memory());
    about.ring_entries = pool.ring_entries();
    about.bgid = static_cast<std::uint16_t>(number);
    io_uring_buf_ring_init(ring_of(pool));
    pool.let_kernel_choose(*this, about.bgid);
    const int answer = io_uring_register_buf_ring(&ring_, &about, 0);
    if (answer < 0) {
        pool.forget_provider();
        pool.let_reactor_choose("io_uring_register_buf_ring", -answer);
        return false;
    }
    groups_[number].pool = &pool;
    return true;
} catch (const std::bad_alloc&) {
    pool.let_reactor_choose("room for one more buffer ring", ENOMEM);
    return false;
}

std::size_t ring_buffers::free_group() {
    const auto free = [](const group& each) { return each.pool == nullptr && !each.spoilt; };
    const auto found = std::find_if(groups_.begin(), groups_.end(), free);
    if (found != groups_.end()) { return static_cast<std::size_t>(found - groups_.begin()); }
    groups_.emplace_back();
    return groups_.size() - 1;
}

void ring_buffers::fill(buffer_pool& pool) noexcept {
    io_uring_buf_ring* const ring = ring_of(pool);
    const int mask = io_uring_buf_ring_mask(pool.ring_entries());
    int added = 0;
    pool.provide_all([&](std::uint32_t number) {
        pool.set_place(number, static_cast<std::uint32_t>(ring->tail + added) & static_cast<std::uint32_t>(mask));
        io_uring_buf_ring_add(ring, pool.at(number), pool.buffer_size(), static_cast<unsigned short>(number), mask, added++);
    });
    if (added != 0) { io_uring_buf_ring_advance(ring, added); }
}

void ring_buffers::refill() noexcept {
    for (const group& each : groups_) {
        if (each.pool != nullptr) { fill(*each.pool); }
    }
}

void ring_buffers::withdraw(buffer_pool& pool) noexcept {
    group& left = groups_[pool.group()];
    left.pool = nullptr;
    // Refused on a thread that may not use the ring. Nothing receives by this group any more, and the kernel has pinned what
    // it reads; only its number stays taken.
    left.spoilt = io_uring_unregister_buf_ring(&ring_, pool.group()) < 0;
}

void ring_buffers::forget() noexcept {
    for (const group& each : groups_) {
        if (each.pool != nullptr) { each.pool->forget_provider(); }
    }
    groups_.clear();
}

}  // namespace fluxnet::detail
