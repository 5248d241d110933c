// SPDX-License-Identifier: BSD-3-Clause
// `simulated_socket`: what the model of the kernel knows of one AF_XDP socket, and the kernel's ends of its rings.
//
// Belongs to the simulated_kernel, whose lock guards it. Ring memory belongs to the socket and to its mapping, like the
// kernel's: it is there until both are gone, so that packets may arrive between unmapping and closing.
#pragma once

#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <unistd.h>

namespace fluxnet::detail {

class simulated_device;

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

struct simulated_socket {
    /// The memory of a ring. Without an address it was not made.
    struct ring_storage {
        void* address = nullptr;
        std::size_t length = 0;
        bool mapped = false;  // the user holds it
    };
    /// The completion of a packet that was sent, and the wire's time when it comes.
    struct late_completion {
        frame_addr addr;
        std::chrono::nanoseconds due{};
    };
    enum : std::size_t { fill_ring, completion_ring, rx_ring, tx_ring };

    int fd = -1;
    umem_registration umem;  // its own or a shared one; of no length without
    std::array<ring_storage, 4> rings{};
    kernel_ring<frame_addr> fill;
    kernel_ring<frame_addr> comp;
    kernel_ring<xdp_desc> rx;
    kernel_ring<xdp_desc> tx;
    xdp_statistics statistics{};
    std::uint32_t tx_budget = 0;           // descriptors that a kick sends in copy mode; 0: as many as Linux does by itself
    simulated_device* bound_to = nullptr;  // the interface whose `queue` it holds
    std::uint32_t queue = 0;
    bool spoilt = false;          // a bind failed, and took the rings of the UMEM with it
    bool need_wakeup = false;     // bound with XDP_USE_NEED_WAKEUP, or shares with one that is
    bool zero_copy = false;       // likewise
    bool wait_announced = false;  // the next arrival signals the descriptor

    std::optional<frame_addr> spare;    // taken from the fill ring for a packet that found the RX ring full
    std::vector<late_completion> late;  // in their order; a place in `comp` is kept for each

    // What the driver keeps of a socket in zero-copy mode.
    bool driver_awake = false;        // it looks at the TX ring by itself
    bool starved = false;             // it found no frame, and looks for none until it is kicked
    bool owes_flag = false;           // it found no frame, and has not raised the fill ring's flag yet
    std::vector<frame_addr> sending;  // the device has sent them, and the driver not noticed; as many as `comp` has room for

    [[nodiscard]] bool bound() const noexcept { return bound_to != nullptr; }
    [[nodiscard]] bool has(std::size_t ring) const noexcept { return rings[ring].address != nullptr; }

    /// Returns for how many more packets there is room in the completion ring.
    [[nodiscard]] std::size_t completion_room() const noexcept {
        return comp.writable() - std::min<std::size_t>(comp.writable(), late.size() + sending.size());
    }

    [[nodiscard]] bool has_umem_rings() const noexcept { return has(fill_ring) && has(completion_ring); }

    [[nodiscard]] std::byte* at(std::uint64_t offset) const noexcept {
        return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(umem.addr)) + offset;
    }

    /// Makes the descriptor readable.
    void signal() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
    }

    /// Tells whether the kernel would send it.
    [[nodiscard]] bool valid(const xdp_desc& desc) const noexcept {
        const std::uint64_t inside = desc.addr.value & (umem.chunk_size - 1);
        return desc.len != 0 && desc.options == 0 && desc.addr.value < umem.len && inside + desc.len <= umem.chunk_size;
    }
};

}  // namespace fluxnet::detail
