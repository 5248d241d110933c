// SPDX-License-Identifier: BSD-3-Clause
// `simulated_wire`: two interfaces joined inside the process, with a model of the kernel's side of their AF_XDP sockets.
//
// The rings and frames are the real ones; only the system calls go to the model: socket_on() gives a builder for it. Needs
// no privilege and makes no system call for a packet. Loss, duplication, reordering, corruption, delay and rate come from a
// seed. It allocates when it is made and when sockets are opened, never for a packet. It must outlive the sockets made with
// it. Model: net/xdp/xsk.c, net/xdp/xsk_queue.h, net/xdp/xsk_buff_pool.c of Linux 6.18, with XDP_SHARED_UMEM between queues
// and between both ends (but no two sockets on one queue).
//
// In copy mode a kick transmits at once, and frames come back with it. With `zero_copy` a driver takes over: it sends when
// it is polled, inside the kick that wakes it and then by every advance_to() until it has found nothing to do, and completes
// a poll later. Meanwhile its TX ring's NEED_WAKEUP flag is down. See detail/simulated_driver.hpp. Drivers differ in how
// they ask for kicks, so `temper` says which family the wire has.
//
// For one thread, unless `threaded`: the same calls in the same order give the same packets at the same times, on every
// machine. The wire keeps a clock of its own, which only advance_to() moves; packets without delay arrive before the kick
// returns that sends them.
//
// Threaded: any thread may call any function, and the sockets of the wire may live on different threads; a mutex stands for
// the kernel. The clock is the real one, moved by kicks and, when the profiles let packets take time or drivers are to be
// polled, by a thread of the wire's own. What the dice decide comes from the seed still, but not when it happens.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/detail/duration.hpp"
#include "fluxnet/xsk/builder.hpp"
#include "fluxnet/xsk/kernel.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace fluxnet {

/// How one direction of a wire treats its packets. Probabilities are between 0 and 1. Any durations go; what nanoseconds
/// cannot tell lasts for ever.
struct wire_profile {
    double loss = 0;
    double duplication = 0;
    double corruption = 0;  ///< One bit of the packet is turned over.
    double reordering = 0;  ///< The packet is held back for `reordering_delay` more.
    detail::any_duration delay = std::chrono::nanoseconds(0);
    detail::any_duration jitter =
        std::chrono::nanoseconds(0);  ///< Up to so much more delay, evenly spread; packets keep their order.
    detail::any_duration reordering_delay = std::chrono::milliseconds(1);
    std::uint64_t bits_per_second = 0;  ///< 0: no limit.

    // When the sender gets its frames back. Completions keep their order: one that is late holds up those behind it.
    double withheld = 0;  ///< Probability that the completion of a packet is late, by `withheld_for`.
    detail::any_duration withheld_for = std::chrono::milliseconds(1);
    /// From this time of the wire on no completion comes any more, as after a driver reset that forgets its packets.
    detail::any_duration completions_end = std::chrono::nanoseconds::max();
};

/// How the zero-copy drivers ask for kicks. Copy mode does not know the difference: it never asks for frames.
enum class driver_temper {
    looks_again,     ///< mlx5: lowers its TX flag while it is awake; looks once more after it has raised a flag.
    waits_for_kicks  ///< ice, ixgbe: the TX flag stays up. Raises the fill ring's flag some time after it found no frame,
                     ///< and does not look again.
};

/// The state of an interface's link.
enum class wire_link {
    up,
    down,  ///< Kicks and binds answer ENETDOWN; descriptors stay in the TX ring.
    gone   ///< The interface is deleted: kicks answer ENXIO, and nobody finds it any more.
};

/// What a wire is like.
struct wire_options {
    std::uint64_t seed = 1;
    wire_profile to_right{};
    wire_profile to_left{};
    std::uint32_t mtu = 1500;  ///< Of both interfaces.
    std::uint32_t queues = 1;  ///< Of both interfaces; a flow stays on one.
    bool threaded = false;     ///< For sockets on several threads, and in real time.
    bool zero_copy = false;    ///< The drivers of both interfaces have it: bind accepts XDP_ZEROCOPY.
    driver_temper temper = driver_temper::looks_again;  ///< Of these drivers.
    bool hides_progress =
        false;  ///< As before Linux 6.17: a kick that ends early does not show in the TX ring how far it came.
    std::uint32_t first_index = 0;          ///< Where the indices of new rings start; just below 2^32 they soon wrap.
    bool hash_traffic = true;               ///< Keep digest(); costs a few instructions a byte.
    std::uint32_t transit_capacity = 4096;  ///< Packets under way in one direction; more are dropped, as by a full switch.
};

/// What became of the packets of one direction. At any time
/// offered + duplicated == delivered + lost + oversized + transit_full + no_socket + rx_ring_full + fill_ring_empty
///                         + too_large + filtered + in_transit.
struct wire_counts {
    std::uint64_t offered = 0;  ///< Taken from TX rings.
    std::uint64_t duplicated = 0;
    std::uint64_t delivered = 0;  ///< Put into RX rings.
    std::uint64_t in_transit = 0;
    std::uint64_t lost = 0;       ///< By the profile's `loss`.
    std::uint64_t oversized = 0;  ///< Longer than the MTU, or shorter than an Ethernet header.
    std::uint64_t transit_full = 0;
    std::uint64_t no_socket = 0;  ///< Nobody had the queue bound, or the link was not up.
    std::uint64_t rx_ring_full = 0;
    std::uint64_t fill_ring_empty = 0;
    std::uint64_t too_large = 0;  ///< Did not fit into a frame.
    std::uint64_t filtered = 0;   ///< Not for the sockets, by builder::only(); a wire has no kernel that would take them.
    std::uint64_t corrupted = 0;  ///< Among the rest: delivered or dropped later.
    std::uint64_t reordered = 0;  ///< Likewise.

    /// The right-hand side of the equation above.
    [[nodiscard]] std::uint64_t accounted() const noexcept {
        return delivered + in_transit + lost + oversized + transit_full + no_socket + rx_ring_full + fill_ring_empty +
               too_large + filtered;
    }
};

class FLUXNET_EXPORT simulated_wire {
public:
    using time = std::chrono::nanoseconds;  ///< Since the wire was made.
    /// The two interfaces.
    enum class end { left, right };

    /// Errors: std::system_error when a threaded wire cannot have its thread.
    explicit simulated_wire(const wire_options& options = {});
    simulated_wire(const simulated_wire&) = delete;
    simulated_wire& operator=(const simulated_wire&) = delete;
    ~simulated_wire();

    /// The kernel of one end, with its interface name(which): the same for both, as if both were in one machine, so that
    /// sockets on both can share a UMEM.
    [[nodiscard]] kernel& side(end which) noexcept;
    [[nodiscard]] static const char* name(end which) noexcept { return which == end::left ? "left" : "right"; }

    /// The options of a socket on one end; queue 0, unless changed.
    [[nodiscard]] builder socket_on(end which) { return builder(name(which)).calls(side(which)).attach(false); }

    /// Changes the link of one end; packets under way arrive if it is up by then. A receiver is not told, as in Linux.
    void set_link(end which, wire_link state) noexcept;

    /// See wire_options::threaded.
    [[nodiscard]] bool threaded() const noexcept;

    /// The time of the wire's own clock.
    [[nodiscard]] time now() const noexcept;

    /// When the next packet under way arrives, the next late completion comes, or a driver that is awake is to be polled;
    /// nothing when nothing is to come.
    [[nodiscard]] std::optional<time> next_arrival() const noexcept;

    /// Moves the clock to `when`, not backwards, and lets everything arrive that is due by then, in order. Polls
    /// the drivers that are awake first. Not for a threaded wire, whose clock moves by itself.
    void advance_to(time when) noexcept;

    /// The packets that left from `from`.
    [[nodiscard]] wire_counts counts(end from) const noexcept;

    /// A hash over every arrival so far: its time, its end, what became of it, its address and its bytes. Two runs with
    /// equal digests saw the same. Constant without hash_traffic; no two runs of a threaded wire are the same.
    [[nodiscard]] std::uint64_t digest() const noexcept;

private:
    class model;
    std::unique_ptr<model> model_;
};

}  // namespace fluxnet
