// SPDX-License-Identifier: BSD-3-Clause
// `kernel_ring`: the end of a ring that the kernel has, for those who stand in for the kernel: the simulated wire and the
// packet ring. They produce where user space consumes, and the other way round.
//
// A view: the memory belongs to its socket. One thread uses it at a time, and may do so while user space moves its own index
// of the ring. The protocol of the indices is that of memory/ring.hpp.
// Private: included by .cpp files and by headers of the simulation only.
#pragma once

#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <atomic>
#include <cstdint>

namespace fluxnet::detail {

/// The kernel's end of a ring: it consumes what user space produces, and the other way round.
template <class T>
class kernel_ring {
public:
    /// A ring that was never made: empty and full.
    kernel_ring() = default;
    /// A ring whose indices, in memory too, are `first`.
    explicit kernel_ring(const ring_memory<T>& memory, std::uint32_t first = 0) noexcept : memory_(memory), own_(first) {}

    [[nodiscard]] std::uint32_t readable() const noexcept { return load(memory_.producer) - own_; }
    [[nodiscard]] std::uint32_t writable() const noexcept { return memory_.size - (own_ - load(memory_.consumer)); }
    [[nodiscard]] std::uint32_t unread() const noexcept { return own_ - load(memory_.consumer); }
    [[nodiscard]] const ring_memory<T>& memory() const noexcept { return memory_; }

    T take() noexcept {
        const T value = take_unseen();
        show_taken();
        return value;
    }
    /// Takes an entry, which user space learns by the next show_taken().
    T take_unseen() noexcept { return memory_.entries[own_++ & (memory_.size - 1)]; }
    void show_taken() noexcept { std::atomic_ref(*memory_.consumer).store(own_, std::memory_order_release); }
    void put(const T& value) noexcept {
        memory_.entries[own_ & (memory_.size - 1)] = value;
        std::atomic_ref(*memory_.producer).store(++own_, std::memory_order_release);
    }
    void set_needs_wakeup(bool needed) noexcept {
        std::atomic_ref(*memory_.flags).store(needed ? XDP_RING_NEED_WAKEUP : 0U, std::memory_order_relaxed);
    }

    /// Raises the flag and looks once more, as one who is going to sleep does: what was queued by somebody who saw the flag
    /// clear is seen. The read-modify-write is the counterpart of the one in producer_ring::needs_wakeup().
    [[nodiscard]] bool empty_with_flag_raised() noexcept {
        set_needs_wakeup(true);
        return std::atomic_ref(*memory_.producer).fetch_add(0, std::memory_order_seq_cst) == own_;
    }

private:
    static std::uint32_t load(std::uint32_t* index) noexcept {
        return std::atomic_ref(*index).load(std::memory_order_acquire);
    }

    inline static std::uint32_t no_index = 0;
    inline static std::uint32_t no_flags = 0;

    ring_memory<T> memory_{&no_index, &no_index, &no_flags, nullptr, 0};
    std::uint32_t own_ = 0;  // the index on our side
};

}  // namespace fluxnet::detail
