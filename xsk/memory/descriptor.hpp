// SPDX-License-Identifier: BSD-3-Clause
// The values that travel through the rings: addresses of frames and packet descriptors.
//
// They are plain values without an owner. They point into the UMEM of the socket that they came from. A frame's address (a
// byte offset into the UMEM, as the kernel counts) and its number are two types that never mix.
//
// Threads: any.
#pragma once

#include <compare>
#include <cstdint>

namespace fluxnet {

/// A byte offset into the UMEM. It may point anywhere inside a frame: a received packet begins behind the headroom.
/// Source: Linux Documentation/networking/af_xdp.rst, "UMEM".
struct frame_addr {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(frame_addr, frame_addr) = default;
};

/// The number of a frame, counted from 0 at the start of the UMEM.
struct frame_index {
    std::uint32_t value = 0;
    friend constexpr auto operator<=>(frame_index, frame_index) = default;
};

/// One entry of the RX and TX rings; laid out as the kernel's `struct xdp_desc`, in host byte order.
struct xdp_desc {
    frame_addr addr;            ///< Where the packet's first byte lies.
    std::uint32_t len = 0;      ///< Bytes of packet.
    std::uint32_t options = 0;  ///< Flags of the kernel: continuation of a multi-buffer packet, TX metadata.
};

static_assert(sizeof(frame_addr) == 8 && sizeof(xdp_desc) == 16);

}  // namespace fluxnet
