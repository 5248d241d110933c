// SPDX-License-Identifier: BSD-3-Clause
// `socket_core`: the parts of an AF_XDP socket that its handles share: descriptor, ring mappings, program, UMEM.
//
// Held by shared_ptr from raw_socket, or from the rx and the tx that were split from one. The last one closes: the queue is
// taken out of the XSKMAP, the rings are unmapped, the descriptor is closed, in this order (a mapping that remains would
// keep the queue busy). Then the frames that the kernel had go back to their homes, and the homes to the pool, for sockets
// that share the UMEM. In copy mode that is safe: nothing is received after close(2), and what was sent had been copied.
// The last handle waits for packets that the driver has not completed yet, for close_deadline at most. The frames of packets
// that are not completed by then stay with the kernel for good, and frame_pool::missing_completions() counts them.
// A zero-copy driver lets go of its frames at a time that it does not tell: they stay where they are until the UMEM ends.
// In a child of fork() the last one unmaps and closes the child's copies, and touches nothing that the parent uses.
// Built on one thread; afterwards only const members are used, from two threads at most.
#pragma once

#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/ring.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "fluxnet/xsk/program.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <unistd.h>

namespace fluxnet::detail {

struct socket_core {
    struct mapping {
        void* address = nullptr;
        std::size_t length = 0;
    };

    socket_core(fluxnet::kernel& calls_, umem memory_) : calls(calls_), memory(std::move(memory_)) {}
    socket_core(const socket_core&) = delete;
    socket_core& operator=(const socket_core&) = delete;
    ~socket_core();

    /// How long closing waits for packets that the driver has to send.
    static constexpr std::chrono::milliseconds close_deadline{100};

    std::unique_ptr<fluxnet::kernel> packet_ring;  // what `calls` refers to, in xdp_mode::packet_ring; else null
    fluxnet::kernel& calls;
    umem memory;
    int fd = -1;
    interface_info interface;
    std::uint32_t queue = 0;
    bool zero_copy = false;
    bool need_wakeup = false;         // the kernel says when it wants a kick; else it always does
    bool directed = false;            // the XSKMAP has an entry for the queue
    bool watched = false;             // the pool knows us as a bound socket
    frame_home* receiving = nullptr;  // of the rx, or what stocked a raw socket
    frame_home* sending = nullptr;    // of the tx
    tx_ledger* ledger = nullptr;      // likewise
    std::shared_ptr<fluxnet::program> redirect;
    std::array<mapping, 4> mappings;
    ring_memory<xdp_desc> rx;
    ring_memory<frame_addr> fill;
    ring_memory<xdp_desc> tx;
    ring_memory<frame_addr> comp;

private:
    void give_back(frame_addr addr) noexcept;
    void give_back_completed() noexcept;
    void return_unsent() noexcept;

    const pid_t opened_by_ = ::getpid();
};

}  // namespace fluxnet::detail
