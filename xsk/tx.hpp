// SPDX-License-Identifier: BSD-3-Clause
// `tx`: the sending half of a socket. It owns the TX ring, the completion ring and a home of frames for new packets.
//
// builder::build_system() makes one. A burst of new packets:
//
//     std::array<packet, 64> burst;
//     const std::uint32_t made = sender.allocate(burst);  // fewer when frames are short
//     for (packet& one : std::span(burst).first(made)) { write_into(one); }
//     const std::uint32_t taken = sender.try_send(std::span(burst).first(made));  // the others stay in their handles
//     sender.flush();  // one kick for all of them
//
// Packets of every home of the same UMEM can be sent, received ones too. When the kernel has sent a packet, its frame
// returns to the home it came from; reap() does that with one atomic exchange per home and batch. A packet of another UMEM
// is refused, or copied when copy_foreign() was asked for.
//
// Credit. The packets that are submitted and not yet reaped never exceed the completion ring: so the kernel always has room
// to complete. A packet beyond that stays with the caller. Completions are reaped before every kick. "All sent" means an
// empty TX ring. The return value of a kick does not tell it: a kick may stop half-way with success, or report an error for
// one packet only.
//
// Threads: movable, not shareable. One thread uses the tx at a time; it calls release() before another one does.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/duration.hpp"
#include "fluxnet/xsk/detail/socket_core.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"
#include "fluxnet/xsk/memory/packet.hpp"
#include "fluxnet/xsk/memory/ring.hpp"
#include "fluxnet/xsk/raw_socket.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

namespace fluxnet {

class FLUXNET_EXPORT tx {
public:
    /// The shortest packet that a device takes: an Ethernet header.
    static constexpr std::size_t min_packet = 14;

    /// Builds the sending half over the rings of `core`. See build_system().
    tx(std::shared_ptr<detail::socket_core> core, frame_home& home);
    tx(tx&&) noexcept = default;
    tx& operator=(tx&&) noexcept;
    ~tx();

    /// Fills `into` from its front with empty packets of the tx's own home and returns how many; fewer when frames are
    /// short. What stood there is dropped. No system call.
    std::uint32_t allocate(std::span<packet> into) noexcept;

    /// Queues packets for sending, in order, and returns how many were taken; those handles are empty then. The rest stays
    /// as it is: for want of credit, for want of a frame to copy the first of them into (see copy_foreign()), or because
    /// refusal() of it is an error. No system call.
    std::uint32_t try_send(std::span<packet> packets) noexcept;

    /// Queues one packet. Returns false, leaving it as it is, when it was not taken.
    [[nodiscard]] bool try_send(packet& one) noexcept { return try_send(std::span(&one, 1)) == 1; }

    /// Queues packets that are still descriptors: frames of `home` that are the user's. The same otherwise; does not look at
    /// them (see refusal()).
    std::uint32_t try_send(frame_home& home, std::span<const xdp_desc> packets) noexcept;

    /// Queues one packet and returns an empty handle, or hands the packet back when it was not taken; refusal() tells
    /// whether it ever can be.
    [[nodiscard]] packet send(packet one) noexcept {
        try_send(std::span(&one, 1));
        return one;
    }

    /// Sets what becomes of a packet of another UMEM. By default it is refused. With `wanted`, try_send() copies its bytes
    /// into a frame of the tx's own home and drops the packet. While that home has no free frame, the packet stays with the
    /// caller. A tx whose home has no frames at all refuses as before.
    void copy_foreign(bool wanted) noexcept { copy_foreign_ = wanted; }

    /// Tells why a packet can never be sent here; no error when it can.
    /// Errors: foreign_packet (of another UMEM, or an empty handle), packet_too_small, packet_too_large (to be copied, and
    /// longer than a frame), and failure().
    [[nodiscard]] std::error_code refusal(const packet& candidate) const noexcept;

    /// Hands queued packets to the kernel: reaps completions, then kicks until the ring is empty or the kernel makes no
    /// progress. At most one system call per packet budget of the kernel (the whole ring from Linux 6.17, 32 before).
    /// Returns failure(). A link that is down is no failure: packets stay queued. Nor is a kick that fails for a reason that
    /// may pass (ENOMEM, or EINVAL while the driver resets): failed_kicks() counts it, and the next ones are put off for a
    /// growing number of calls, 15 at most. Only a device that is gone ends the tx.
    std::error_code flush() noexcept;

    /// Returns the frames of sent packets to their homes and tells how many there were. No system call.
    std::uint32_t reap() noexcept;

    /// Flushes and reaps until every packet has left and its frame has come back, or `limit` has passed; returns whether
    /// all have. Blocks the thread, in steps of a millisecond. For the end of a program.
    template <class Rep, class Period>
    bool drain(std::chrono::duration<Rep, Period> limit) noexcept {
        return !finish(limit);
    }

    /// Does the same and tells why packets have not come back; no error when all have. Any duration goes; one longer than
    /// milliseconds can tell has no end.
    /// Errors: failure(); link_down, with packets still queued; completions_missing: the limit has passed and the kernel
    /// has neither sent them nor given their frames back, as after a reset of the driver. The census shows them as `tx`.
    template <class Rep, class Period>
    [[nodiscard]] std::error_code finish(std::chrono::duration<Rep, Period> limit) noexcept {
        return finish_within(std::chrono::ceil<std::chrono::milliseconds>(detail::saturated(limit)));
    }

    /// Packets queued that the kernel has not taken yet.
    [[nodiscard]] std::uint32_t pending() noexcept { return ring_.pending(); }

    /// Packets queued or taken whose frames have not come back.
    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }

    /// How many packets try_send() takes now. Packets that it has to copy need a free frame each as well: home() tells of
    /// those, and flush() and reap() bring them back.
    [[nodiscard]] std::uint32_t credit() noexcept;

    /// Ends this thread's ownership, so that another thread may use the handle.
    void release() noexcept { home_->release(); }

    /// The error that ended this handle; none while it works. It surfaces at the next send.
    [[nodiscard]] std::error_code failure() const noexcept { return failure_; }
    void fail(std::error_code failure) noexcept {
        if (!failure_) { failure_ = failure; }
    }

    /// Asks whether the interface is still there, and ends the handle if not. Returns failure(). One system call (recvfrom);
    /// none once the handle has failed. flush() learns of the end by itself when it kicks: this is for a loop that has had
    /// nothing to send for a second. The XDP program matters to the receiving half only.
    /// Errors: interface_gone, and what failure() was before.
    std::error_code check() noexcept;

    /// Tells whether the last kick found the link down.
    [[nodiscard]] bool link_down() const noexcept { return link_down_; }

    /// Packets that the kernel dropped while it sent others: larger than the MTU, for one. Their frames came back.
    [[nodiscard]] std::uint64_t dropped_by_kernel() const noexcept { return dropped_by_kernel_; }

    /// Kicks that failed for reasons of no condition of their own and were tried again, and the last such errno (0: none).
    [[nodiscard]] std::uint64_t failed_kicks() const noexcept { return failed_kicks_; }
    [[nodiscard]] int last_kick_errno() const noexcept { return last_kick_errno_; }

    /// The descriptor, and where the socket was opened.
    [[nodiscard]] int fd() const noexcept { return core_->fd; }
    [[nodiscard]] const interface_info& interface() const noexcept { return core_->interface; }

    /// Tells whether rtnetlink tells of the interface's end; it does not of simulated ones.
    [[nodiscard]] bool link_announced() const noexcept { return core_->calls.announces_links(); }
    [[nodiscard]] std::uint32_t queue() const noexcept { return core_->queue; }
    [[nodiscard]] frame_home& home() const noexcept { return *home_; }
    [[nodiscard]] frame_pool& pool() const noexcept { return core_->memory.pool(); }
    [[nodiscard]] socket_statistics statistics() const noexcept { return detail::read_statistics(*core_); }

private:
    enum class kick_step { again, stop };

    std::uint32_t count_submitted(std::uint32_t packets) noexcept;
    std::error_code finish_within(std::chrono::milliseconds limit) noexcept;
    kick_step after_kick(int answer, std::uint32_t before) noexcept;

    /// Replaces a packet of another UMEM by a copy in our own home; false, changing nothing, when no frame is free there.
    bool bring_home(packet& foreign) noexcept;

    std::shared_ptr<detail::socket_core> core_;  // null when moved from
    frame_home* home_ = nullptr;                 // owned by the pool, which core_ keeps alive
    tx_ledger* ledger_ = nullptr;                // likewise
    producer_ring<xdp_desc> ring_;
    consumer_ring<frame_addr> comp_;
    std::unique_ptr<frame_chain[]> chains_;  // one per home, all empty between calls
    std::uint32_t in_flight_ = 0;            // <= comp_.size()
    std::uint64_t dropped_by_kernel_ = 0;
    std::uint64_t failed_kicks_ = 0;
    int last_kick_errno_ = 0;
    std::uint32_t put_off_ = 0;       // what put_off_left_ begins with after the next kick that fails: 0, 1, 3, 7, 15
    std::uint32_t put_off_left_ = 0;  // calls of flush() that shall not kick
    bool link_down_ = false;
    bool copy_foreign_ = false;
    std::error_code failure_;
};

}  // namespace fluxnet
