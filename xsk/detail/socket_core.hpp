// SPDX-License-Identifier: BSD-3-Clause
// `socket_core`: the parts of an AF_XDP socket that its handles share: descriptor, ring mappings, program, UMEM.
//
// Held by shared_ptr from raw_socket, or from the rx and the tx that were split from one. The last one closes: the queue is
// taken out of the XSKMAP, the rings are unmapped, the descriptor is closed, in this order (a mapping that remains would
// keep the queue busy). Built on one thread; afterwards only const members are used, from two threads at most.
#pragma once

#include "xsk/interface.hpp"
#include "xsk/kernel.hpp"
#include "xsk/program.hpp"
#include "xsk/ring.hpp"
#include "xsk/umem.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

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

    fluxnet::kernel& calls;
    umem memory;
    int fd = -1;
    interface_info interface;
    std::uint32_t queue = 0;
    bool zero_copy = false;
    bool directed = false;  // the XSKMAP has an entry for the queue
    bool watched = false;   // the pool's census reads our rings
    std::shared_ptr<fluxnet::program> redirect;
    std::array<mapping, 4> mappings;
    ring_memory<xdp_desc> rx;
    ring_memory<frame_addr> fill;
    ring_memory<xdp_desc> tx;
    ring_memory<frame_addr> comp;
};

}  // namespace fluxnet::detail
