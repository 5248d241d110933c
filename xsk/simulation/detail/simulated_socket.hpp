// SPDX-License-Identifier: BSD-3-Clause
// `simulated_socket`: what the model of the kernel knows of one AF_XDP socket, and the kernel's ends of its rings.
//
// Belongs to the simulated_kernel, whose lock guards it. Ring memory belongs to the socket and to its mapping, like the
// kernel's: it is there until both are gone, so that packets may arrive between unmapping and closing.
#pragma once

#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/detail/kernel_ring.hpp"
#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <unistd.h>

namespace fluxnet::detail {

class simulated_device;

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
    std::optional<packet_filter> filter;  // to be the interface's when it is bound
    bool spoilt = false;                  // a bind failed, and took the rings of the UMEM with it
    bool need_wakeup = false;             // bound with XDP_USE_NEED_WAKEUP, or shares with one that is
    bool zero_copy = false;               // likewise
    bool wait_announced = false;          // the next arrival signals the descriptor

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
