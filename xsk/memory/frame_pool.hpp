// SPDX-License-Identifier: BSD-3-Clause
// `frame_pool`: all frames of a UMEM, divided into homes, and the census that proves that none is lost.
//
// Owned by its UMEM. A home is made while a socket is set up and lives as long as the pool; the home of a closed socket
// serves the next socket. All of this is for set-up and closing: functions take a mutex, and those that make something
// allocate. Only home_of(), home() and the observers do neither.
//
// Threads: any. The census is exact on a thread that owns every home, and a snapshot on others.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/detail/checked.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace fluxnet {

class kernel;

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
    bool exact = false;       ///< Taken by the owner of every home, after draining the return stacks. Otherwise a snapshot.

    /// All six together.
    [[nodiscard]] std::int64_t sum() const noexcept { return free + fill + rx + tx + completion + user; }
};

/// What a tx counts for the census. Written by the thread that uses the tx.
struct tx_ledger {
    detail::counter submitted;  // user -> TX ring
    detail::counter reaped;     // completion ring -> home
};

/// A bound socket of the pool's UMEM: its rings, for the census, and what another socket must know to share the UMEM's
/// registration.
struct bound_socket {
    ring_memory<xdp_desc> rx;
    ring_memory<frame_addr> comp;
    const kernel* calls = nullptr;
    int fd = -1;
    bool zero_copy = false;
    bool need_wakeup = false;
};

class FLUXNET_EXPORT frame_pool {
public:
    /// At most so many homes fit into one pool.
    static constexpr std::uint32_t max_homes = 255;

    /// See umem::create(), which makes it.
    frame_pool(detail::umem_area& area, std::byte* base, std::uint32_t frames, std::uint32_t chunk_shift,
               std::uint32_t headroom);
    frame_pool(const frame_pool&) = delete;
    frame_pool& operator=(const frame_pool&) = delete;

    /// Gives a home of `frames` frames: a retired home of that size; or a new one, made of frames that have no home yet; or
    /// a larger retired one. Returns null when there is none of these, or when a new one would exceed max_homes.
    [[nodiscard]] frame_home* make_home(std::uint32_t frames);

    /// Takes a home back from a socket that is closed. Frames of it that users hold still return to it.
    void retire(frame_home& home) noexcept;

    /// Makes a ledger for a tx; it lives as long as the pool.
    [[nodiscard]] tx_ledger& make_ledger();

    /// Lets the census read a socket's rings, and other sockets share its registration, until unwatch() is called with its
    /// descriptor.
    void watch(const bound_socket& bound);
    void unwatch(int fd) noexcept;

    /// Calls `use` with a bound socket for which `fits` is true; it stays open until `use` returns. False when there is
    /// none.
    template <class Fits, class Use>
    bool with_bound(Fits fits, Use use) {
        const std::lock_guard lock(mutex_);
        for (const bound_socket& bound : bound_) {
            if (!fits(bound)) { continue; }
            use(bound);
            return true;
        }
        return false;
    }

    /// Counts the frames. Where every home is owned by the calling thread or by none, the return stacks are drained first
    /// and the result is exact. Homes without an owner are held during the count: a thread that adopts one meanwhile waits.
    [[nodiscard]] frame_census census();

    /// Closes the return stacks of all homes, and returns the number of frames that users hold. Called by the last handle of
    /// the UMEM.
    [[nodiscard]] std::int64_t close() noexcept;

    /// The home of a frame that has one; the home of a number below home_count(); and how many frames there are.
    [[nodiscard]] frame_home& home_of(frame_index frame) noexcept { return *by_number_[numbers_[frame.value]]; }
    [[nodiscard]] frame_home& home(std::uint32_t number) noexcept { return *by_number_[number]; }
    [[nodiscard]] std::uint32_t home_count() const noexcept { return static_cast<std::uint32_t>(homes_.size()); }
    [[nodiscard]] std::uint32_t frame_count() const noexcept { return frames_; }
    /// The most frames that make_home() can set aside now: of those without a home, or of one that is retired.
    [[nodiscard]] std::uint32_t largest_share();

    /// Frames that the driver of a closed socket had to send and did not complete in time. The census has them with `tx`.
    [[nodiscard]] std::uint64_t missing_completions() const noexcept { return missing_.get(); }
    void count_missing(std::uint32_t frames) noexcept;

    /// How many frames have no home yet.
    [[nodiscard]] std::uint32_t unassigned() const noexcept { return frames_ - assigned_; }
    /// What the checked build knows of each frame.
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
    std::unique_ptr<bool[]> lent_;             // true while a frame is with the kernel to receive into
    std::unique_ptr<frame_home*[]> by_number_;

    detail::counter missing_;     // written under the mutex
    std::mutex mutex_;            // guards what follows
    std::uint32_t assigned_ = 0;  // frames [0, assigned_) have a home
    std::deque<frame_home> homes_;
    std::deque<tx_ledger> ledgers_;
    std::vector<bound_socket> bound_;
    std::vector<frame_home*> retired_;
};

}  // namespace fluxnet
