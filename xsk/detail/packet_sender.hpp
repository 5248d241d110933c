// SPDX-License-Identifier: BSD-3-Clause
// `packet_sender`: the sending half of a packet ring. It copies packets from the TX ring into an AF_PACKET socket's
// PACKET_TX_RING, and gives their frames back by the completion ring once the kernel has taken the copies.
//
// Owned by its packet_ring. kick() does all the work, with one sendto. A packet leaves the TX ring when the kernel has begun
// to send its copy, so that an empty TX ring means here what it means with AF_XDP. The copy's slot is used again when the
// device has sent it.
//
// Threads: the thread that uses the tx; the counters: any thread.
// Private: included by .cpp files only. Source: Linux Documentation/networking/packet_mmap.rst.
#pragma once

#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/detail/kernel_ring.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"

#include <cstddef>
#include <cstdint>

#include <linux/if_packet.h>

namespace fluxnet::detail {

class packet_sender {
public:
    packet_sender() = default;
    packet_sender(const packet_sender&) = delete;
    packet_sender& operator=(const packet_sender&) = delete;
    ~packet_sender() { close(); }

    /// Makes the socket. Returns 0 or a negated errno, as the others do.
    int open() noexcept;

    /// Makes the kernel's ring, of `slots` slots, and binds the socket to an interface. The socket receives nothing.
    int start(int interface_index, std::uint32_t slots) noexcept;

    /// The memory of the frames, and the rings. Before start().
    void use(const umem_registration& memory, const kernel_ring<xdp_desc>& tx,
             const kernel_ring<frame_addr>& comp) noexcept {
        memory_ = memory;
        tx_ = tx.memory();
        comp_ = comp;
    }

    /// Sends what is in the TX ring. Answers as AF_XDP does: 0 or a negated errno; EBUSY when a packet that the interface
    /// does not take was dropped and completed.
    int kick() noexcept;

    [[nodiscard]] std::uint64_t invalid() const noexcept { return invalid_.get(); }

    void close() noexcept;

private:
    [[nodiscard]] tpacket3_hdr& slot(std::uint32_t number) const noexcept;
    [[nodiscard]] const xdp_desc& entry(std::uint32_t index) const noexcept { return tx_.entries[index & (tx_.size - 1)]; }
    [[nodiscard]] bool valid(const xdp_desc& desc) const noexcept;
    [[nodiscard]] std::uint32_t longest(const xdp_desc& desc) const noexcept;
    [[nodiscard]] bool sendable(const xdp_desc& desc) noexcept;
    int stage() noexcept;
    bool copy(const xdp_desc& desc) noexcept;
    void acknowledge(long bytes) noexcept;
    void complete() noexcept;
    void learn_mtu() noexcept;

    umem_registration memory_;
    ring_memory<xdp_desc> tx_;
    kernel_ring<frame_addr> comp_;
    int socket_ = -1;
    int interface_index_ = 0;
    std::uint32_t mtu_ = 0;
    std::byte* ring_ = nullptr;
    std::uint32_t slots_ = 0;
    std::uint32_t slot_size_ = 0;

    // Positions in the TX ring and in the ring of slots, which run in step but for packets that are dropped.
    std::uint32_t sent_ = 0;         // the kernel has taken what lies before it; equals *tx_.consumer between kicks
    std::uint32_t staged_ = 0;       // what lies between has been copied
    std::uint32_t slot_sent_ = 0;    // below slots_
    std::uint32_t slot_staged_ = 0;  // likewise

    counter invalid_;
};

}  // namespace fluxnet::detail
