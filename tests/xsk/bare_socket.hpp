// SPDX-License-Identifier: BSD-3-Clause
// `bare_socket`: an AF_XDP socket made by the calls of a `kernel`, one by one, as no builder would.
//
// Owns its descriptor and mappings; the memory that it registers must outlive it. The answers of calls are the kernel's.
#pragma once

#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/ring.hpp"
#include "fluxnet/xsk/memory/umem.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace fluxnet::test {

/// Memory for bare sockets: 16 frames that nobody follows.
[[nodiscard]] inline umem small_umem() {
    umem memory = umem::create({.frame_count = 16, .fill_ring = 8, .completion_ring = 8}).value();
    memory.pool().checker().forget();
    return memory;
}

class bare_socket {
public:
    static constexpr std::uint32_t ring_size = 8;

    explicit bare_socket(kernel& calls) : calls_(calls), fd_(calls.open_socket()) {}
    bare_socket(const bare_socket&) = delete;
    bare_socket& operator=(const bare_socket&) = delete;
    ~bare_socket() {
        for (const auto& [address, length] : mappings_) {
            if (address != nullptr) { calls_.unmap_ring(address, length); }
        }
        calls_.close(fd_);
    }

    int register_umem(const umem& memory) {
        fluxnet::detail::umem_registration request;
        request.addr = reinterpret_cast<std::uintptr_t>(memory.base());
        request.len = std::uint64_t{memory.config().frame_count} * memory.config().frame_size;
        request.chunk_size = memory.config().frame_size;
        request.headroom = memory.config().headroom;
        return calls_.set_option(fd_, XDP_UMEM_REG, &request, sizeof request);
    }

    /// Makes one ring: XDP_RX_RING and its like.
    int make(int ring, std::uint32_t entries = ring_size) { return calls_.set_option(fd_, ring, &entries, sizeof entries); }

    int make_rx_tx() {
        const int r = make(XDP_RX_RING);
        return r < 0 ? r : make(XDP_TX_RING);
    }
    int make_fill_comp() {
        const int r = make(XDP_UMEM_FILL_RING);
        return r < 0 ? r : make(XDP_UMEM_COMPLETION_RING);
    }

    /// Maps all four rings, which were made. False when one could not be had.
    bool map() {
        xdp_mmap_offsets offsets{};
        std::uint32_t size = sizeof offsets;
        return calls_.get_option(fd_, XDP_MMAP_OFFSETS, &offsets, &size) == 0 &&
               map(0, static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING), offsets.fr, fill) &&
               map(1, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING), offsets.cr, comp) &&
               map(2, XDP_PGOFF_RX_RING, offsets.rx, rx) && map(3, XDP_PGOFF_TX_RING, offsets.tx, tx);
    }

    /// Registers, makes and maps everything. False when something failed.
    bool make_all(const umem& memory) {
        return register_umem(memory) == 0 && make_rx_tx() == 0 && make_fill_comp() == 0 && map();
    }

    int bind(int interface_index, std::uint32_t queue, int flags, int shared_umem_fd = -1) {
        return calls_.bind(fd_, {interface_index, queue, static_cast<std::uint16_t>(flags), shared_umem_fd});
    }

    int kick_tx() { return calls_.kick_tx(fd_); }
    int kick_rx() { return calls_.kick_rx(fd_); }
    [[nodiscard]] int fd() const noexcept { return fd_; }

    producer_ring<frame_addr> fill;
    consumer_ring<frame_addr> comp;
    consumer_ring<xdp_desc> rx;
    producer_ring<xdp_desc> tx;

private:
    template <template <class> class End, class T>
    bool map(std::size_t which, off_t offset, const xdp_ring_offset& layout, End<T>& end) {
        const std::size_t length = layout.desc + ring_size * sizeof(T);
        int failure = 0;
        void* const address = calls_.map_ring(fd_, length, offset, failure);
        if (address == nullptr) { return false; }
        mappings_[which] = {address, length};
        auto* const bytes = static_cast<std::byte*>(address);
        const auto index = [&](std::uint64_t at) { return reinterpret_cast<std::uint32_t*>(bytes + at); };
        end = End<T>({index(layout.producer), index(layout.consumer), index(layout.flags),
                      reinterpret_cast<T*>(bytes + layout.desc), ring_size});
        return true;
    }

    kernel& calls_;
    int fd_;
    std::array<std::pair<void*, std::size_t>, 4> mappings_{};
};

}  // namespace fluxnet::test
