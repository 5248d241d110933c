// SPDX-License-Identifier: BSD-3-Clause
// `builder`: every option of a socket in one place, and the two ways to build one without a runtime.
//
//     auto sockets = builder("eth0").queue(1).frames(4096).build_system();
//     if (!sockets) { return fail(sockets.error().message()); }            // the step, the cause and the remedy
//     for (const error& why : sockets->refusals) { log(why.message()); }   // why not zero-copy, or why generic mode
//     for (const std::string& note : sockets->notes) { log(note); }        // queues that nothing serves, for one
//     serve(std::move(sockets->rx), std::move(sockets->tx));
//
// A value: copy it to open several sockets alike. When a build_*() fails, nothing remains open, mapped or attached.
// open_async() and open_engine() of the runtime take a builder too.
// Threads: any thread may build; the handles belong to no thread yet when build_*() returns.
//
// fork(). A child inherits the descriptors, the rings and the memory of the frames, all shared with its parent. What the
// child destroys of them changes nothing for the parent: no queue is taken out of the program's map, no frame moves. A
// daemon opens its sockets and forks; the parent ends with _exit, as daemon(3) does, and the child goes on with the sockets.
// The queue is free once both processes have closed it. Only one of the two processes may use a handle, and always the same
// one.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/duration.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "fluxnet/xsk/packet_batch.hpp"
#include "fluxnet/xsk/raw_socket.hpp"
#include "fluxnet/xsk/rx.hpp"
#include "fluxnet/xsk/tx.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fluxnet {

/// The two halves of a socket, each free to go to a thread of its own.
struct system_sockets {
    fluxnet::rx rx;
    fluxnet::tx tx;
    std::vector<error> refusals;     ///< Rungs of the bind ladder that were refused, with the reasons.
    std::vector<std::string> notes;  ///< What is no failure and yet may surprise: queues that nothing serves, for one.
};

class FLUXNET_EXPORT builder {
public:
    /// Begins with the defaults of socket_options, umem_config and batch_options, on the interface of that name.
    explicit builder(std::string interface) { socket_.interface = std::move(interface); }

    /// The queue to open, and by what: see socket_options.
    builder& queue(std::uint32_t number) { return socket_.queue = number, *this; }
    builder& mode(xdp_mode mode) { return socket_.mode = mode, *this; }
    /// Lets the socket be a packet ring (AF_PACKET, see xdp_mode) where everything that mode() tries is refused. Never by
    /// itself: a packet ring sees copies, and the kernel's own stack receives and answers the same packets. The refusals say
    /// why it came to that, the notes that it did; rx::packet_ring() tells. With attach(false) a packet ring only sends.
    builder& packet_ring_last(bool wanted) { return socket_.packet_ring_last = wanted, *this; }
    /// See socket_options.
    builder& rx_ring(std::uint32_t entries) { return socket_.rx_ring = entries, *this; }
    builder& tx_ring(std::uint32_t entries) { return socket_.tx_ring = entries, *this; }
    builder& need_wakeup(bool wanted) { return socket_.need_wakeup = wanted, *this; }
    template <class Rep, class Period>
    builder& busy_deadline(std::chrono::duration<Rep, Period> wait) {
        return socket_.busy_deadline = std::chrono::ceil<std::chrono::milliseconds>(detail::saturated(wait)), *this;
    }

    /// `false` leaves the interface's XDP program alone: for sockets that only send, or whose packets another program
    /// directs.
    builder& attach(bool wanted) { return socket_.attach = wanted, *this; }
    /// Shares a program with the other sockets on the interface (see rx::redirect()).
    builder& use_program(std::shared_ptr<program> shared) { return socket_.shared_program = std::move(shared), *this; }
    /// Has only these packets redirected; the interface's others stay the kernel's: its addresses, ARP, ping, ssh. Without
    /// it, everything that comes in on the queue is taken. rx::set_filter() changes it later. With use_program() it must be
    /// the filter that the program has. Where no XDP program of ours can be, opening it is refused with invalid_option: with
    /// attach(false), and on a packet ring, which packet_ring_last() does not come to then. A simulated wire has no program
    /// and applies the filter itself.
    builder& only(packet_filter filter) { return socket_.only = std::move(filter), *this; }
    /// Replaces the system calls; `calls` must outlive what is built.
    builder& calls(kernel& calls) { return socket_.calls = &calls, *this; }

    /// Opens the socket over a UMEM that exists already, and whose options stand. Several queues or interfaces then work on
    /// the same frames: a packet received on one is sent on another without copying. frames() is the part that is set aside
    /// for this socket; the part of a closed socket serves the next one. The kernel shares the registration where it can.
    builder& over(umem memory) { return shared_ = std::move(memory), *this; }

    /// See umem_config.
    builder& frames(std::uint32_t count) { return memory_.frame_count = count, *this; }
    builder& frame_size(std::uint32_t bytes) { return memory_.frame_size = bytes, *this; }
    /// Bytes free before each packet; a frame then holds frame_size - 256 - headroom bytes of packet, which the
    /// interface's MTU plus 14 must not exceed (see interface_info::longest_packet(), for VLAN tags too).
    builder& headroom(std::uint32_t bytes) { return memory_.headroom = bytes, *this; }
    /// See umem_config.
    builder& fill_ring(std::uint32_t entries) { return memory_.fill_ring = entries, *this; }
    builder& completion_ring(std::uint32_t entries) { return memory_.completion_ring = entries, *this; }
    builder& huge_pages(bool wanted) { return memory_.huge_pages = wanted, *this; }
    builder& lock_memory(bool wanted) { return memory_.lock_memory = wanted, *this; }
    /// For engines: packets a batch (a power of two, 64 at most), and what becomes of packets that a TX ring has no room
    /// for.
    builder& batch(std::uint32_t packets) { return batch_.size = packets, *this; }
    builder& when_full(congestion what) { return batch_.when_full = what, *this; }

    /// Frames set aside for packets that tx::allocate() makes; the rest receives. A quarter of all when not given.
    builder& tx_frames(std::uint32_t count) { return tx_frames_ = count, *this; }
    /// Lets the tx copy packets of other UMEMs instead of refusing them (see tx::copy_foreign()).
    builder& copy_foreign(bool wanted) { return copy_foreign_ = wanted, *this; }

    /// Frames that a raw socket's fill ring holds when it is bound: numbers 0 to count - 1, or over a UMEM that others use
    /// too the lowest numbers that are not set aside. Half of all, as far as the ring has room, when not given; some drivers
    /// misbehave with none.
    builder& prefill(std::uint32_t count) { return prefill_ = count, *this; }

    /// The options as they are now, and the UMEM of over(): an empty handle without one.
    [[nodiscard]] const socket_options& socket() const noexcept { return socket_; }
    [[nodiscard]] const umem_config& memory() const noexcept { return memory_; }
    [[nodiscard]] const batch_options& batching() const noexcept { return batch_; }
    [[nodiscard]] const umem& shared() const noexcept { return shared_; }

    /// Opens a socket with its rings in the user's hands: the frames of prefill() are in the fill ring, all others are the
    /// user's.
    [[nodiscard]] result<raw_socket> build_raw() const;

    /// Opens a socket and splits it. The fill ring is stocked.
    [[nodiscard]] result<system_sockets> build_system() const;

    /// Opens one socket for each of `count` queues, from queue() on, over one UMEM and with one program. Each socket has
    /// frames() frames, which return to it, so that no queue can starve another. The first socket has the notes about all.
    [[nodiscard]] result<std::vector<system_sockets>> build_queues(std::uint32_t count) const;

    /// The UMEM to work over: the one that was given, or a new one with frames() frames for each of `sockets` sockets.
    [[nodiscard]] result<umem> find_memory(std::uint32_t sockets) const;

private:
    socket_options socket_;
    umem_config memory_;
    umem shared_;
    batch_options batch_;
    std::optional<std::uint32_t> tx_frames_;
    std::optional<std::uint32_t> prefill_;
    bool copy_foreign_ = false;
};

}  // namespace fluxnet
