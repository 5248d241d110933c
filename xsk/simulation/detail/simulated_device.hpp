// SPDX-License-Identifier: BSD-3-Clause
// `simulated_device`: an interface at one end of a simulated wire: its queues, and what the kernel does for the sockets
// there.
//
// Owned by the wire. Takes packets out of TX rings when they are kicked, and puts packets that arrive into RX rings. Checks
// descriptors and counts drops as Linux does. A socket's descriptor is an eventfd: it becomes readable when packets arrive
// after prepare_wait(). Everything is called with the kernel's lock held.
#pragma once

#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_driver.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_socket.hpp"
#include "fluxnet/xsk/simulation/detail/wire_direction.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::detail {

/// What became of a packet that arrived.
enum class arrival { delivered, no_socket, rx_ring_full, fill_ring_empty, too_large, filtered };

struct simulated_interface {
    interface_info info;
    bool zero_copy = false;  // its driver has zero-copy
    driver_temper temper = driver_temper::looks_again;
    wire_profile outgoing;                          // how late completions are
    bool hides_progress = false;                    // see wire_options
    std::uint64_t seed = 1;                         // of the dice for that
    const std::chrono::nanoseconds* now = nullptr;  // the wire's clock
};

class simulated_device {
public:
    /// Called for each packet that leaves; its bytes are valid during the call. Returns false, and drops the packet, when
    /// the interface does not send packets of that size.
    using sender = std::function<bool(std::span<const std::byte>)>;

    /// `awake` is called when a driver has become awake and wants to be polled, or a completion is late.
    simulated_device(const simulated_interface& interface, sender send, simulated_driver::waker awake);
    simulated_device(const simulated_device&) = delete;
    simulated_device& operator=(const simulated_device&) = delete;

    [[nodiscard]] const interface_info& info() const noexcept { return interface_; }

    /// While the link is not up nothing leaves or arrives, and calls answer as link_failure().
    void set_link(wire_link state) noexcept;
    /// What a kick answers because of the link, as 0 or a negated errno.
    [[nodiscard]] int link_failure() const noexcept;

    /// Binds a socket with a UMEM of its own, or with that of `other` and its bind flags. Returns 0 or a negated errno.
    int bind(simulated_socket& self, const bind_request& where);
    int bind_shared(simulated_socket& self, std::uint32_t queue, const simulated_socket& other);
    void unbind(simulated_socket& self) noexcept;

    /// Lets nothing in but what a valid filter redirects, until the last socket is unbound.
    void set_filter(const packet_filter& filter) { filter_ = filter; }

    int kick_tx(simulated_socket& self);
    int kick_rx(simulated_socket& self);

    /// Puts a packet into the RX ring of the socket on `queue`; on delivery `placed` is its descriptor.
    arrival receive(std::uint32_t queue, std::span<const std::byte> bytes, xdp_desc& placed) noexcept;

    /// Keeps the completions of what is sent from now on back, like a device that is slow to send; or hands out the first
    /// `count` of a socket that are late, and returns how many there were.
    void hold_completions(bool hold) noexcept { holds_ = hold; }
    std::uint32_t release_completions(simulated_socket& of, std::uint32_t count) noexcept;

    /// Hands out the late completions that are due, and tells when the next one is.
    void complete_late() noexcept;
    [[nodiscard]] std::optional<std::chrono::nanoseconds> next_completion() const noexcept;

    /// Polls the drivers that are awake, in zero-copy mode; returns whether any of them still is. Before it, and before
    /// other devices send: raise_flags().
    bool poll_drivers();
    void raise_flags() noexcept;
    [[nodiscard]] bool awake() const noexcept;

private:
    int zero_copy_possible(const simulated_socket& self, const bind_request& where) const noexcept;
    int vacant(std::uint32_t queue) const noexcept;
    int judge_bind(const simulated_socket& self, const bind_request& where) const noexcept;
    void take(simulated_socket& self, std::uint32_t queue);
    int transmit(simulated_socket& self);
    static std::optional<frame_addr> next_frame(simulated_socket& of) noexcept;
    void find_no_frame(simulated_socket& of) noexcept;
    void complete(simulated_socket& of, frame_addr sent) noexcept;
    bool send_one(simulated_socket& from, const xdp_desc& desc);

    interface_info interface_;
    wire_link link_ = wire_link::up;
    const bool zero_copy_;
    const bool hides_progress_;
    const wire_profile outgoing_;
    const std::chrono::nanoseconds* const now_;
    wire_dice chance_;
    bool holds_ = false;  // what is completed now comes when it is released
    sender send_;
    simulated_driver::waker awake_;
    simulated_driver driver_;
    std::vector<simulated_socket*> by_queue_;  // null where nobody is bound
    std::optional<packet_filter> filter_;
    std::vector<std::byte> staging_;  // one packet on its way out
};

}  // namespace fluxnet::detail
