// SPDX-License-Identifier: BSD-3-Clause
// `raw_socket`: an AF_XDP socket with its four rings open to the user ("FluxRaw").
//
// builder::build_raw() makes one. A loop that counts packets and gives each frame back to the kernel:
//
//     pollfd readable{socket.fd(), POLLIN, 0};
//     for (std::error_code ended; !ended;) {
//         {
//             auto packets = socket.rx.consume();
//             auto slots = socket.fill.reserve(packets.size());  // the kernel has just emptied as many
//             for (; slots.remaining() != 0; ++count) {
//                 slots.push(socket.umem.addr_of(socket.umem.index_of(packets.next().addr)));
//             }
//         }  // the guards publish here
//         if (socket.needs_wakeup_rx()) { socket.wakeup_rx(); }
//         if (::poll(&readable, 1, 1000) == 0) { ended = socket.check(); }  // a second without a packet
//     }
//
// The user decides where every frame goes: into which ones the kernel may receive (fill), which ones are sent (tx), and what
// becomes of those that come back (rx, comp). FluxNet guards the indices and explains failures. It does not track the frames
// of a raw socket. `rx` and `tx` (the handles) are built from a raw socket and add the ownership of packets.
// Threads: movable; one thread uses it at a time.
// Source: Linux Documentation/networking/af_xdp.rst.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/detail/socket_core.hpp"
#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/ring.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "fluxnet/xsk/program.hpp"
#include "fluxnet/xsk/rings_state.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace fluxnet {

/// How packets reach the socket. `automatic` tries native zero-copy, native copy and generic copy, in this order;
/// `native` the first two. `packet_ring` is no XDP: an AF_PACKET socket (TPACKET_V3), which needs CAP_NET_RAW only, behind
/// the same rings. The kernel's own stack goes on receiving the same packets, and answers them; queues do not matter;
/// packets wait up to a millisecond. For machines where XDP is refused.
enum class xdp_mode { automatic, native, native_zero_copy, native_copy, generic, packet_ring };

/// What is asked of the kernel for a socket. See builder, which sets it.
struct socket_options {
    std::string interface;
    std::uint32_t queue = 0;
    std::uint32_t rx_ring = 2048;  ///< Entries; a power of two.
    std::uint32_t tx_ring = 2048;  ///< Entries; a power of two.
    xdp_mode mode = xdp_mode::automatic;
    bool packet_ring_last = false;  ///< Where all that `mode` tries is refused, take xdp_mode::packet_ring.
    bool need_wakeup = true;        ///< XDP_USE_NEED_WAKEUP: the kernel says when it wants a system call.
    bool attach = true;             ///< Attach our XDP program. Without it another program directs packets here, or none.
    std::shared_ptr<fluxnet::program> shared_program;  ///< Use this one, for several sockets on one interface.
    std::optional<packet_filter> only;                 ///< What our XDP program redirects; without one, everything.
    /// How long a queue is waited for that is still being closed.
    std::chrono::milliseconds busy_deadline{1000};
    fluxnet::kernel* calls = nullptr;  ///< Null: system_kernel().
};

/// What the kernel counts for a socket. Source: XDP_STATISTICS.
struct socket_statistics {
    std::uint64_t rx_dropped = 0;        ///< Larger than a frame holds, or dropped for reasons of the kernel's.
    std::uint64_t rx_invalid_descs = 0;  ///< Bad addresses in the fill ring, by its name; Linux counts none (6.18).
    std::uint64_t tx_invalid_descs = 0;  ///< Bad descriptors in the TX ring.
    std::uint64_t rx_ring_full = 0;      ///< The program reads too slowly.
    std::uint64_t fill_ring_empty = 0;   ///< The program gives frames back too slowly.
    std::uint64_t tx_ring_empty = 0;     ///< The kernel looked and found nothing to send.
};

namespace detail {
[[nodiscard]] FLUXNET_EXPORT result<void> set_filter(const socket_core& core, const packet_filter& filter);
}  // namespace detail

class FLUXNET_EXPORT raw_socket {
public:
    /// Opens a socket over `memory` and binds it. When `stock` is not null its free frames fill the fill ring before
    /// the bind, as some drivers demand. The calling thread becomes the owner of `stock`.
    /// Errors: all that set-up can meet; the message names the value, the step, the cause and the remedy. On failure nothing
    /// remains open or attached.
    [[nodiscard]] static result<raw_socket> open(const fluxnet::umem& memory, const socket_options& options,
                                                 frame_home* stock = nullptr);

    raw_socket(raw_socket&&) = default;
    raw_socket& operator=(raw_socket&&) = default;
    ~raw_socket() = default;

    fluxnet::umem umem;              ///< The memory that the rings' addresses count into.
    consumer_ring<xdp_desc> rx;      ///< Received packets.
    producer_ring<frame_addr> fill;  ///< Frames for the kernel to receive into.
    producer_ring<xdp_desc> tx;      ///< Packets to send.
    consumer_ring<frame_addr> comp;  ///< Frames of sent packets.

    /// Tells whether the kernel asks for wakeup_rx() or wakeup_tx().
    [[nodiscard]] bool needs_wakeup_rx() const noexcept { return fill.needs_wakeup(); }
    [[nodiscard]] bool needs_wakeup_tx() const noexcept { return !core_->need_wakeup || tx.needs_wakeup(); }

    /// Makes the kernel look at the fill ring (one recvfrom).
    std::error_code wakeup_rx() noexcept;

    /// Makes the kernel look at the TX ring (one sendto). In copy mode one call sends a bounded number of packets, and
    /// success does not mean that all were sent: compare tx.pending() with 0.
    std::error_code wakeup_tx() noexcept;

    /// Asks whether the interface is still there and still runs the program that directs packets here. Two system calls
    /// (recvfrom, bpf). A loop that waits for fd() calls it when a second has passed without a packet: nothing makes fd()
    /// readable when the interface is deleted, or when somebody detaches or replaces the program.
    /// Errors: interface_gone, for ever; program_detached, until redirect()->attach() has succeeded again. A link that is
    /// down is no error, and hides that the program is detached: an interface that is being deleted looks the same.
    [[nodiscard]] std::error_code check() noexcept;

    /// The descriptor, for poll, epoll or io_uring: readable when rx has entries, writable when tx is at most half full. It
    /// does not tell of the end of the interface: see check().
    [[nodiscard]] int fd() const noexcept { return core_->fd; }
    [[nodiscard]] const interface_info& interface() const noexcept { return core_->interface; }

    /// Tells whether rtnetlink tells of the interface's end; it does not of simulated ones.
    [[nodiscard]] bool link_announced() const noexcept { return core_->calls.announces_links(); }
    [[nodiscard]] std::uint32_t queue() const noexcept { return core_->queue; }
    [[nodiscard]] bool zero_copy() const noexcept { return core_->zero_copy; }

    /// Tells whether the packets come by xdp_mode::packet_ring: they are copies then, and the kernel has them too.
    [[nodiscard]] bool packet_ring() const noexcept { return core_->packet_ring != nullptr; }

    /// The XDP program that directs packets here; null when none of ours does.
    [[nodiscard]] const std::shared_ptr<fluxnet::program>& redirect() const noexcept { return core_->redirect; }

    /// Changes what comes here. See program::set_filter(), whose errors it has; invalid_option also when neither a program
    /// of ours nor a simulated wire directs packets here.
    [[nodiscard]] result<void> set_filter(const packet_filter& filter) { return detail::set_filter(*core_, filter); }

    /// The steps of the bind ladder that were refused before one succeeded, with the reasons.
    [[nodiscard]] const std::vector<error>& refusals() const noexcept { return refusals_; }

    /// What is no failure and yet may surprise, in sentences: queues that nothing serves, VLAN tags that do not fit.
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

    /// Asks the kernel for its counters (one getsockopt).
    [[nodiscard]] socket_statistics statistics() const noexcept;

    /// Call it before you wait for fd() on a simulated wire: its descriptor tells of a packet only then. On a packet ring a
    /// wait without it does not sleep while the fill ring is empty and packets wait. With AF_XDP it does nothing.
    void prepare_wait() noexcept { core_->calls.prepare_wait(core_->fd); }

    /// Says where the rings stand. No system call. On the thread that uses the socket, with no guard open.
    [[nodiscard]] raw_rings_state rings() const noexcept;

    /// Counts the frames of a UMEM that only this socket uses. See census_of().
    [[nodiscard]] frame_census census(std::uint32_t in_hand) const noexcept;

    /// The shared parts, for the handles that are built from this socket.
    [[nodiscard]] const std::shared_ptr<detail::socket_core>& core() const noexcept { return core_; }

private:
    raw_socket(std::shared_ptr<detail::socket_core> core, std::vector<error> refusals, std::vector<std::string> notes);

    std::shared_ptr<detail::socket_core> core_;
    std::vector<error> refusals_;
    std::vector<std::string> notes_;
};

/// Counts the frames of one UMEM from the rings of all the sockets on it, of which there is at least one, and from
/// `in_hand`: how many frames the program has, wherever it keeps them. `sum() == frames` then proves that none is lost and
/// none is held twice, as far as numbers can: one lost and one doubled cancel out, so count different frames.
///
/// `user` is `in_hand`, and `free` is 0: the program keeps its own free list, and the library has no frame to give away.
/// `rx` and `completion` are what stands in these rings. `fill` and `tx` are ledgers over the whole life of the sockets
/// (produced into fill minus produced into RX, produced into TX minus completed, modulo 2^32), because the kernel may hold
/// frames out of sight. Frames that builder::prefill() put into the fill ring are in the ledger and not in hand. The sum
/// consists of indices that only the program moves, so the kernel may be at work meanwhile.
///
/// Exact on the thread that uses the sockets, or while none does, with no guard open; not exact when a ring is corrupt.
/// Wrong, by one for each, after the program gave away what is not a frame: the kernel swallows bad addresses in the fill
/// ring, without counting them, and with zero-copy bad descriptors in the TX ring (in copy mode those are completed). Wrong
/// also when a socket of the UMEM was left out or has been closed.
[[nodiscard]] FLUXNET_EXPORT frame_census census_of(std::span<const raw_socket* const> sockets,
                                                    std::uint32_t in_hand) noexcept;

namespace detail {
[[nodiscard]] FLUXNET_EXPORT socket_statistics read_statistics(const socket_core& core) noexcept;

/// Asks the kernel whether the socket has lost its interface, or, when it is `receiving`, its program. No error: it has not.
[[nodiscard]] std::error_code why_ended(const socket_core& core, bool receiving) noexcept;
}  // namespace detail

/// Sorts the answer of a kick (0 or a negated errno). No error: done, or to be tried again later.
/// Errors: interface_gone, link_down, system_failure.
[[nodiscard]] FLUXNET_EXPORT std::error_code classify_kick(int answer) noexcept;

}  // namespace fluxnet
