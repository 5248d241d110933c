// SPDX-License-Identifier: BSD-3-Clause
// `simulated_socket`: what the model of the kernel knows of one AF_XDP socket; `simulated_machine`: all of them.
//
// The machine belongs to the wire; both ends look their sockets up in it, and both take its lock, which a wire for one
// thread does not have. Ring memory belongs to the socket and to its mapping, like the kernel's: it is there until both are
// gone, so that packets may arrive between unmapping and closing.
#pragma once

#include "xsk/descriptor.hpp"
#include "xsk/detail/if_xdp.hpp"
#include "xsk/ring.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace fluxnet::detail {

class simulated_kernel;

/// The kernel's end of a ring: it consumes what user space produces, and the other way round.
template <class T>
class kernel_ring {
public:
    kernel_ring() = default;
    explicit kernel_ring(const ring_memory<T>& memory) noexcept : memory_(memory) {}

    [[nodiscard]] std::uint32_t readable() const noexcept { return load(memory_.producer) - own_; }
    [[nodiscard]] std::uint32_t writable() const noexcept { return memory_.size - (own_ - load(memory_.consumer)); }
    [[nodiscard]] std::uint32_t unread() const noexcept { return own_ - load(memory_.consumer); }

    T take() noexcept {
        const T value = memory_.entries[own_ & (memory_.size - 1)];
        std::atomic_ref(*memory_.consumer).store(++own_, std::memory_order_release);
        return value;
    }
    void put(const T& value) noexcept {
        memory_.entries[own_ & (memory_.size - 1)] = value;
        std::atomic_ref(*memory_.producer).store(++own_, std::memory_order_release);
    }
    void set_needs_wakeup(bool needed) noexcept {
        std::atomic_ref(*memory_.flags).store(needed ? XDP_RING_NEED_WAKEUP : 0U, std::memory_order_relaxed);
    }

private:
    static std::uint32_t load(std::uint32_t* index) noexcept {
        return std::atomic_ref(*index).load(std::memory_order_acquire);
    }

    ring_memory<T> memory_;
    std::uint32_t own_ = 0;  // the index on our side
};

struct simulated_socket {
    /// The memory of a ring.
    struct mapping {
        void* address = nullptr;
        std::size_t length = 0;
        bool unmapped = false;  // the user has let go of it: it ends with the socket
    };

    int fd = -1;
    umem_registration umem;
    std::array<std::uint32_t, 4> sizes{};  // fill, completion, rx, tx
    std::array<mapping, 4> mappings{};     // likewise
    kernel_ring<frame_addr> fill;
    kernel_ring<frame_addr> comp;
    kernel_ring<xdp_desc> rx;
    kernel_ring<xdp_desc> tx;
    xdp_statistics statistics{};
    std::uint32_t tx_budget = 32;
    simulated_kernel* bound_to = nullptr;  // the end whose `queue` it holds
    std::uint32_t queue = 0;
    bool wait_announced = false;  // the next arrival signals the descriptor

    [[nodiscard]] bool bound() const noexcept { return bound_to != nullptr; }

    [[nodiscard]] std::byte* at(std::uint64_t offset) const noexcept {
        return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(umem.addr)) + offset;
    }

    /// Tells whether the kernel would send it.
    [[nodiscard]] bool valid(const xdp_desc& desc) const noexcept {
        const std::uint64_t inside = desc.addr.value & (umem.chunk_size - 1);
        return desc.len != 0 && desc.options == 0 && desc.addr.value < umem.len && inside + desc.len <= umem.chunk_size;
    }
};

struct simulated_machine {
    std::mutex* mutex = nullptr;  // of a threaded wire: guards all its state; null: one thread at a time
    std::map<int, simulated_socket> sockets;

    [[nodiscard]] std::unique_lock<std::mutex> lock() const {
        return mutex == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*mutex);
    }

    [[nodiscard]] simulated_socket* find(int fd) noexcept {
        const auto found = sockets.find(fd);
        return found == sockets.end() ? nullptr : &found->second;
    }
};

}  // namespace fluxnet::detail
