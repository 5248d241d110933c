// SPDX-License-Identifier: BSD-3-Clause
// The AF_XDP user-space interface with the constants that are newer than the system's kernel headers.
// Private: included by .cpp files only. Source: include/uapi/linux/if_xdp.h of Linux 6.18.
#pragma once

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstdint>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace fluxnet::detail {

/// setsockopt: descriptors that one kick transmits in copy mode (Linux 6.17).
inline constexpr int xdp_max_tx_skb_budget = 9;

/// bind: packets may have several fragments (Linux 6.6).
inline constexpr int xdp_use_sg = 1 << 4;

/// `struct xdp_umem_reg` with the field of Linux 6.8. Always passed at this size, zeroed.
struct umem_registration {
    std::uint64_t addr = 0;
    std::uint64_t len = 0;
    std::uint32_t chunk_size = 0;
    std::uint32_t headroom = 0;
    std::uint32_t flags = 0;
    std::uint32_t tx_metadata_len = 0;
};
static_assert(sizeof(umem_registration) == 32);

}  // namespace fluxnet::detail
