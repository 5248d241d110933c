// SPDX-License-Identifier: BSD-3-Clause
// `packet_receiver`: the receiving half of a packet ring. It copies packets out of an AF_PACKET socket's PACKET_RX_RING
// (TPACKET_V3) into frames of the fill ring, and puts them into the RX ring.
//
// Owned by its packet_ring. The kernel fills one block of its ring after the other. It hands a block over when the block is
// full, or a millisecond after its first packet. pull() copies what it finds in such blocks, as far as there are frames and
// room, and makes no system call.
//
// Readiness. The kernel reports the socket readable for as long as the block that it closed last is not given back. So the
// last block stays ours until the program has taken all packets out of the RX ring: the descriptor is then readable while
// packets wait in either ring. Without a frame to copy into, that would keep a thread awake that can do nothing. So
// prepare_wait() takes the socket out of the epoll set that the program waits for, and the next pull() that has a frame puts
// it back.
//
// Threads: the thread that uses the rx. look() and the counters: any thread.
// Private: included by .cpp files only. Source: Linux Documentation/networking/packet_mmap.rst.
#pragma once

#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/detail/kernel_ring.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <linux/if_packet.h>

namespace fluxnet::detail {

class packet_receiver {
public:
    packet_receiver() = default;
    packet_receiver(const packet_receiver&) = delete;
    packet_receiver& operator=(const packet_receiver&) = delete;
    ~packet_receiver() { close(); }

    /// Makes the socket, which receives nothing yet. Returns 0 or a negated errno, as the others do.
    int open() noexcept;

    /// Makes the kernel's ring, with room for about `packets` packets, puts the socket into the epoll set `watched_by`, and
    /// binds it to an interface. Without `receives` no packet ever arrives.
    int start(int interface_index, std::uint32_t packets, int watched_by, bool receives) noexcept;

    /// The memory of the frames, and the rings. Before start().
    void use(const umem_registration& memory, const kernel_ring<frame_addr>& fill,
             const kernel_ring<xdp_desc>& rx) noexcept {
        memory_ = memory;
        fill_ = fill;
        rx_ = rx;
    }

    /// Copies the packets that have arrived. Returns -ENXIO once the interface is known to be gone, else 0.
    int pull() noexcept;

    /// Copies what has arrived, and sees to it that the descriptor tells of what arrives from now on. If nothing has arrived
    /// since the last call, asks for the socket's error first, which also makes it readable (one getsockopt).
    void prepare_wait() noexcept;

    /// Asks whether the socket still has its interface (one getsockname): 0 or -ENXIO.
    int look() noexcept;

    /// Takes the socket's pending error, as a positive errno.
    int take_error() noexcept;

    [[nodiscard]] bool gone() const noexcept { return gone_.load(std::memory_order_relaxed); }

    /// Packets that did not fit into a frame; that found the kernel's ring full; and bad addresses in the fill ring.
    [[nodiscard]] std::uint64_t too_large() const noexcept { return too_large_.get(); }
    [[nodiscard]] std::uint64_t overflowed() noexcept;
    [[nodiscard]] std::uint64_t bad_addresses() const noexcept { return bad_addresses_.get(); }

    void close() noexcept;

private:
    [[nodiscard]] tpacket_block_desc& block(std::uint32_t number) const noexcept;
    bool open_block() noexcept;
    void close_block() noexcept;
    void give_held_back() noexcept;
    bool copy_next() noexcept;
    void deliver(std::byte* packet, std::byte* at, std::uint32_t tag) const noexcept;
    std::optional<frame_addr> next_frame() noexcept;
    void watch(bool wanted) noexcept;
    void find_error() noexcept;

    static constexpr std::uint32_t block_size = 1U << 17;       // more than the largest packet that offloads build
    static constexpr std::uint32_t dry_pulls_of_a_look = 1024;  // in a row: then a pull looks for an error

    umem_registration memory_;
    kernel_ring<frame_addr> fill_;
    kernel_ring<xdp_desc> rx_;
    int socket_ = -1;
    int watched_by_ = -1;
    std::byte* ring_ = nullptr;
    std::uint32_t blocks_ = 0;

    std::uint32_t at_ = 0;              // the block that is read now, or will be next
    std::uint32_t left_ = 0;            // packets in it that are not copied yet
    std::byte* next_ = nullptr;         // the first of them; null while the kernel has the block
    bool holds_ = false;                // the block before it has been read and not given back
    bool watched_ = true;               // the epoll set has the socket
    std::uint64_t copied_ = 0;          // packets
    std::uint64_t copied_at_wait_ = 0;  // at the last prepare_wait()
    std::uint32_t dry_pulls_ = 0;       // in a row

    std::atomic<bool> gone_ = false;
    counter too_large_;
    counter bad_addresses_;
    std::atomic<std::uint64_t> overflowed_ = 0;
};

}  // namespace fluxnet::detail
