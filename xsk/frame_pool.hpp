// SPDX-License-Identifier: BSD-3-Clause
// `frame_pool`: all frames of a UMEM, divided into homes, and the census that proves that none is lost.
//
// Owned by its UMEM. Homes are made while sockets are set up and live as long as the pool. make_home(), watch() and
// unwatch() take a mutex and allocate; they are for set-up only. census() may be called on any thread.
#pragma once

#include "xsk/descriptor.hpp"
#include "xsk/detail/checked.hpp"
#include "xsk/detail/counter.hpp"
#include "xsk/frame_home.hpp"
#include "xsk/ring.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace fluxnet {

/// Where the frames of a pool are. Kept as six independent numbers: `free` is the length of the free lists, `rx` and
/// `completion` are read from the rings, `fill` and `tx` are ledgers (given minus received, submitted minus completed: the
/// kernel may hold a frame out of sight), `user` is what was handed out minus what came back or was submitted.
struct frame_census {
    std::int64_t free = 0;
    std::int64_t fill = 0;
    std::int64_t rx = 0;
    std::int64_t tx = 0;
    std::int64_t completion = 0;
    std::int64_t user = 0;
    std::int64_t frames = 0;  ///< What the six add up to when nothing is lost.
    bool exact = false;       ///< Taken by the owner of every home with drained stacks; else a snapshot in motion.

    [[nodiscard]] std::int64_t sum() const noexcept { return free + fill + rx + tx + completion + user; }
};

/// What a tx counts for the census. Written by the thread that uses the tx.
struct tx_ledger {
    detail::counter submitted;  // user -> TX ring
    detail::counter reaped;     // completion ring -> home
};

/// The rings of one socket as the census reads them.
struct watched_rings {
    ring_memory<xdp_desc> rx;
    ring_memory<frame_addr> comp;
};

class frame_pool {
public:
    /// At most so many homes fit into one pool.
    static constexpr std::uint32_t max_homes = 255;

    frame_pool(detail::umem_area& area, std::byte* base, std::uint32_t frames, std::uint32_t chunk_shift,
               std::uint32_t headroom);
    frame_pool(const frame_pool&) = delete;
    frame_pool& operator=(const frame_pool&) = delete;

    /// Carves a home of `frames` frames out of those that have none. Returns null when fewer are left, or max_homes
    /// exist.
    [[nodiscard]] frame_home* make_home(std::uint32_t frames);

    /// Makes a ledger for a tx; it lives as long as the pool.
    [[nodiscard]] tx_ledger& make_ledger();

    /// Lets the census read a socket's rings, until unwatch(). `rings` must stay valid until then.
    void watch(const watched_rings& rings);
    void unwatch(const watched_rings& rings);

    /// Counts the frames. On a thread that owns every home (or could: homes without an owner are held for the count, and a
    /// thread that adopts one meanwhile waits), return stacks are drained first and the result is exact.
    [[nodiscard]] frame_census census();

    /// Returns the frames that users hold, all stacks being closed by this call. For the last handle of the UMEM.
    [[nodiscard]] std::int64_t close() noexcept;

    [[nodiscard]] frame_home& home_of(frame_index frame) noexcept { return *by_number_[numbers_[frame.value]]; }
    [[nodiscard]] frame_home& home(std::uint32_t number) noexcept { return *by_number_[number]; }
    [[nodiscard]] std::uint32_t home_count() const noexcept { return static_cast<std::uint32_t>(homes_.size()); }
    [[nodiscard]] std::uint32_t frame_count() const noexcept { return frames_; }
    [[nodiscard]] std::uint32_t unassigned() const noexcept { return frames_ - assigned_; }
    [[nodiscard]] detail::frame_checker& checker() noexcept { return checker_; }

private:
    detail::umem_area& area_;
    std::byte* base_;
    const std::uint32_t frames_;
    const std::uint32_t chunk_shift_;
    const std::uint32_t headroom_;
    detail::frame_checker checker_;
    std::unique_ptr<std::uint32_t[]> links_;
    std::unique_ptr<std::uint32_t[]> slots_;
    std::unique_ptr<std::uint8_t[]> numbers_;  // home of each frame
    std::unique_ptr<frame_home*[]> by_number_;

    std::mutex mutex_;            // guards what follows
    std::uint32_t assigned_ = 0;  // frames [0, assigned_) have a home
    std::deque<frame_home> homes_;
    std::deque<tx_ledger> ledgers_;
    std::vector<watched_rings> watched_;
};

}  // namespace fluxnet
