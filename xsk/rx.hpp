// SPDX-License-Identifier: BSD-3-Clause
// `rx`: the receiving half of a socket. It owns the RX ring, the fill ring and a home of frames.
//
// builder::build_system() makes one. A loop of one's own, without a runtime:
//
//     pollfd readable{receiver.fd(), POLLIN, 0};
//     while (!receiver.failure()) {
//         const std::uint32_t count = receiver.try_recv(burst);  // burst[0] to burst[count - 1] are ours until dropped
//         receiver.refill();
//         receiver.wake_if_needed();
//         if (count == 0 && ::poll(&readable, 1, 1000) == 0) { receiver.check(); }  // a second without a packet
//     }
//
// Or let wait() sleep, which does all of this. Packets may go to any thread and may outlive the rx.
// System calls: none where packets flow, but for the kick (recvfrom) of a stocked fill ring for which the kernel asks
// (need_wakeup): after a refill, and when there is nothing to receive.
// Threads: movable, not shareable. One thread uses the rx at a time; its first use makes it the owner of the home. Before
// another thread uses the rx, the owner calls release(). Destroy it on the owner's thread, or after release().
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

class FLUXNET_EXPORT rx {
public:
    /// Builds the receiving half over the rings of `core`. See build_system().
    rx(std::shared_ptr<detail::socket_core> core, frame_home& home) noexcept;
    rx(rx&&) noexcept;
    rx& operator=(rx&&) noexcept;
    ~rx();

    /// Receives up to `into.size()` packets without waiting and returns how many; they fill `into` from its front, and
    /// what stood there is dropped. 0 means that the ring is dry, or that failure() tells why not.
    std::uint32_t try_recv(std::span<packet> into) noexcept;

    /// Drops packets. The frames of this handle's home go straight to the kernel, to be received into; try_recv() does the
    /// same with what it drops. That costs less than to drop packets one by one.
    void recycle(std::span<packet> packets) noexcept;

    /// Takes returned frames back and gives all free ones to the kernel. try_recv() does so by itself when many are free or
    /// the ring is dry; a loop that is about to sleep calls it first.
    void refill() noexcept {
        if (!home_->owned_and_empty() || fill_.corrupt()) { refill_slowly(); }
    }

    /// Kicks the fill ring (one recvfrom) if frames wait there and the kernel asks for it. A driver may ask late, after the
    /// last refill: ice and ixgbe raise the flag when they have found no frame, and do not look at the ring again by
    /// themselves. So a loop that is about to sleep calls this after refill(). wait() does it by itself, and so does a
    /// try_recv() that finds nothing.
    void wake_if_needed() noexcept {
        if (fill_.pending() != 0) { wake_fill(); }
    }

    /// Tells whether fewer frames than a quarter of the home wait in the fill ring. Packets arriving without one are lost.
    [[nodiscard]] bool low_on_frames() noexcept { return fill_.pending() < low_water_; }

    /// Waits until packets can be received or the handle has failed, and returns true; or until `timeout` has passed, and
    /// returns false. Frames that other threads return meanwhile go to the kernel when it runs short of them. One ppoll
    /// each time it sleeps. Allocates at the first call. Not for a handle that an executor has. The kernel ends no ppoll
    /// when the interface is deleted, or when somebody detaches or replaces the XDP program: wait() calls check() when its
    /// time has passed. A `timeout` that is longer than nanoseconds can tell waits for ever, and learns of no such end.
    template <class Rep, class Period>
    [[nodiscard]] bool wait(std::chrono::duration<Rep, Period> timeout) {
        return wait_for(detail::saturated(timeout));
    }

    /// Asks whether the interface is still there and still runs our program, and ends the handle if not. Returns failure().
    /// Two system calls (recvfrom, bpf); none once the handle has failed. A loop that waits for fd() by itself calls it when
    /// a second has passed without a packet: nothing makes fd() readable when the interface is deleted, or when somebody
    /// detaches or replaces the program. wait() and the handles of an executor do it by themselves.
    /// Errors: interface_gone, program_detached (but not while the link is down), and what failure() was before.
    std::error_code check() noexcept;

    /// Ends this thread's ownership, so that another thread may use the handle.
    void release() noexcept { home_->release(); }

    /// Call it before you wait for fd() on a simulated wire: its descriptor tells of a packet only then. On a packet ring a
    /// wait without it does not sleep while the fill ring is empty and packets wait. With AF_XDP it does nothing.
    void prepare_wait() noexcept { core_->calls.prepare_wait(core_->fd); }

    /// The error that ended this handle; none while it works. Errors: ring_corruption, interface_gone, program_detached.
    [[nodiscard]] std::error_code failure() const noexcept { return failure_; }

    /// Ends the handle with an error. The first error stays.
    void fail(std::error_code failure) noexcept {
        if (!failure_) { failure_ = failure; }
    }

    /// Returns how many packets can be received now. 0 also when failure() tells why none ever will be.
    [[nodiscard]] std::uint32_t available() noexcept {
        const std::uint32_t count = ring_.available();
        if (ring_.corrupt()) [[unlikely]] { fail(errc::ring_corruption); }
        return count;
    }

    /// The descriptor: readable when packets are there. A program with its own loop waits on it when try_recv() gave 0,
    /// after refill(); frames that other threads return do not make it readable (they end a wait()). Nor does the end of the
    /// interface: see check().
    [[nodiscard]] int fd() const noexcept { return core_->fd; }
    [[nodiscard]] const interface_info& interface() const noexcept { return core_->interface; }

    /// Tells whether rtnetlink tells of the interface's end; it does not of simulated ones.
    [[nodiscard]] bool link_announced() const noexcept { return core_->calls.announces_links(); }
    [[nodiscard]] std::uint32_t queue() const noexcept { return core_->queue; }
    [[nodiscard]] bool zero_copy() const noexcept { return core_->zero_copy; }
    /// Tells whether the packets come by xdp_mode::packet_ring: they are copies then, and the kernel has them too.
    [[nodiscard]] bool packet_ring() const noexcept { return core_->packet_ring != nullptr; }
    [[nodiscard]] frame_home& home() const noexcept { return *home_; }
    [[nodiscard]] frame_pool& pool() const noexcept { return core_->memory.pool(); }
    [[nodiscard]] const std::shared_ptr<program>& redirect() const noexcept { return core_->redirect; }

    /// Changes which packets come here, of all that the queue receives; the rest goes on to the kernel. Any thread may call
    /// it, through redirect(). See program::set_filter(), whose errors it has; invalid_option also when neither a program of
    /// ours nor a simulated wire directs packets here. Not where packets flow: it waits for milliseconds.
    [[nodiscard]] result<void> set_filter(const packet_filter& filter) { return detail::set_filter(*core_, filter); }

    /// Asks the kernel for its counters (one getsockopt).
    [[nodiscard]] socket_statistics statistics() const noexcept { return detail::read_statistics(*core_); }

    /// Takes the socket's pending error (one getsockopt); none when there is none.
    std::error_code take_socket_error() noexcept;

private:
    friend class packet_batch;

    bool wait_for(std::chrono::nanoseconds timeout);
    void refill_slowly() noexcept;

    /// Takes descriptors out of the ring and puts their packets into handles; what the handles held is dropped. A descriptor
    /// that cannot be ends the rx and is the last one taken. Returns how many packets there are.
    std::uint32_t accept(std::span<const xdp_desc> next, packet* handle) noexcept;
    std::uint32_t accept_all(std::span<packet> into) noexcept;

    /// Makes packets of descriptors in handles that hold packets of `home`, and gives their frames to the fill ring instead,
    /// up to the first handle or descriptor that is different. Returns how many. `from_zero`: the home's frames are the
    /// first of the UMEM.
    template <bool from_zero>
    static std::uint32_t exchange(const frame_home& home, std::span<const xdp_desc> next, packet* handles,
                                  frame_addr* slots) noexcept;

    template <bool from_zero>
    static bool exchange_one(const home_frames& ours, const frame_home& home, const xdp_desc& desc, packet& handle,
                             frame_addr& slot) noexcept;

    /// Kicks the fill ring if the kernel asks for it.
    void wake_fill() noexcept {
        if (fill_.needs_wakeup()) [[unlikely]] { kick_fill(); }
    }
    void kick_fill() noexcept;

    /// What a receive that found nothing does about the fill ring.
    void look_at_fill() noexcept {
        if (fill_.wakeup_flag()) [[unlikely]] { wake_if_needed(); }
    }

    /// The eventfd by which a thread that returns a frame ends a wait() that is short of frames.
    struct wake_event;

    static constexpr std::uint32_t refill_batch = 64;   // frames worth a look at the fill ring between two receives
    static constexpr std::uint32_t recycle_batch = 16;  // packets to be dropped that are worth one

    std::shared_ptr<detail::socket_core> core_;  // null when moved from
    frame_home* home_ = nullptr;                 // owned by the pool, which core_ keeps alive
    consumer_ring<xdp_desc> ring_;
    producer_ring<frame_addr> fill_;
    std::uint32_t low_water_ = 0;
    std::unique_ptr<wake_event> wake_;  // null until wait() is called
    std::error_code failure_;
};

}  // namespace fluxnet
