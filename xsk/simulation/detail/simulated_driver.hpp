// SPDX-License-Identifier: BSD-3-Clause
// `simulated_driver`: how a network driver serves the sockets in zero-copy mode on one end of a simulated wire.
//
// Owned by the device; called with the kernel's lock held. The driver of a socket sleeps until a kick wakes it. While
// it is awake the TX ring's NEED_WAKEUP flag is clear, and each poll() completes what the device has sent since the last one
// and sends what is new. A poll after which the device has nothing left to send is the last: it raises the flag. With no
// frame for a packet the driver raises the fill ring's flag and takes no frame, so that packets are lost, until a kick or a
// poll finds some. A driver that waits for kicks raises that flag only before the next poll, whatever stands in the fill
// ring by then; it finds frames in a kick for the fill ring alone, as one that polls its receiving side apart, and never
// lowers its TX flag. Sockets bound without XDP_USE_NEED_WAKEUP sleep all the same (their TX flag is always up), but look
// for frames each time. Sources: ndo_xsk_wakeup, napi poll and the need_wakeup calls of the mlx5 and ice drivers,
// Linux 6.18.
#pragma once

#include "fluxnet/xsk/simulation/detail/simulated_socket.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <functional>
#include <utility>

namespace fluxnet::detail {

class simulated_driver {
public:
    /// Called for each descriptor that leaves, for each frame that comes back, and when a driver has become awake.
    using sender = std::function<void(simulated_socket&, const xdp_desc&)>;
    using completer = std::function<void(simulated_socket&, frame_addr)>;
    using waker = std::function<void()>;

    simulated_driver(driver_temper temper, sender send, completer complete, waker awake)
        : temper_(temper), send_(std::move(send)), complete_(std::move(complete)), awake_(std::move(awake)) {}

    /// A socket in zero-copy mode is bound.
    void start(simulated_socket& of);

    /// A kick for TX or for the fill ring: does nothing when the driver did not ask for it.
    void kick_tx(simulated_socket& of);
    void kick_rx(simulated_socket& of);

    /// One round of a driver that is awake. Stays awake while the device has something to send.
    void poll(simulated_socket& of);

    /// Raises the fill ring's flag if a driver that waits for kicks has put that off.
    static void raise_owed_flag(simulated_socket& of) noexcept;

    /// A packet found the fill ring empty.
    void starve(simulated_socket& of) noexcept;

private:
    static constexpr std::uint32_t batch = 256;  // packets that a poll sends

    void wake(simulated_socket& of);
    void transmit(simulated_socket& of);
    static void look_for_frames(simulated_socket& of) noexcept;

    const driver_temper temper_;
    sender send_;
    completer complete_;
    waker awake_;
};

}  // namespace fluxnet::detail
