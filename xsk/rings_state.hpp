// SPDX-License-Identifier: BSD-3-Clause
// `ring_state`, `raw_rings_state`: where the rings of a raw socket stand at one moment, as numbers and as text.
//
// Plain values without an owner, for logs, debuggers and tests. The kernel may move its own indices at any time. So
// `waiting` is a lower bound for a ring that the kernel produces into, and an upper bound for one that it consumes from.
//
// Threads: raw_socket::rings() is called on the thread that uses the socket; the values may go to any.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <atomic>
#include <cstdint>
#include <string>

namespace fluxnet {

struct ring_state {
    std::uint32_t size = 0;
    std::uint32_t producer = 0;  ///< Free-running, modulo 2^32.
    std::uint32_t consumer = 0;  ///< Likewise.
    std::uint32_t waiting = 0;   ///< Entries produced and not consumed; at most `size` unless corrupt.
    std::uint32_t free = 0;      ///< Slots that can be produced into; 0 when corrupt.
    bool needs_wakeup = false;   ///< XDP_RING_NEED_WAKEUP; the kernel raises it on the fill and TX rings only.
    bool corrupt = false;        ///< More entries than slots: one of the indices cannot be.

    /// Reads the indices. The consumer's comes first, so that the difference cannot turn negative while both sides move.
    template <class T>
    [[nodiscard]] static ring_state of(const ring_memory<T>& ring) noexcept {
        ring_state state;
        state.size = ring.size;
        state.consumer = std::atomic_ref(*ring.consumer).load(std::memory_order_acquire);
        state.producer = std::atomic_ref(*ring.producer).load(std::memory_order_acquire);
        state.waiting = state.producer - state.consumer;
        state.corrupt = state.waiting > state.size;
        state.free = state.corrupt ? 0 : state.size - state.waiting;
        state.needs_wakeup = (std::atomic_ref(*ring.flags).load(std::memory_order_relaxed) & 1U) != 0;
        return state;
    }

    friend bool operator==(const ring_state&, const ring_state&) = default;
};

struct raw_rings_state {
    ring_state rx;
    ring_state fill;
    ring_state tx;
    ring_state comp;

    friend bool operator==(const raw_rings_state&, const raw_rings_state&) = default;
};

/// Writes one line a ring: "fill: size 64 producer 10 consumer 8 waiting 2 free 62 needs_wakeup", then "corrupt" where
/// that is so. Allocates.
[[nodiscard]] FLUXNET_EXPORT std::string to_string(const raw_rings_state& rings);

}  // namespace fluxnet
