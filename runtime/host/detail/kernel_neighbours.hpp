// SPDX-License-Identifier: BSD-3-Clause
// `kernel_neighbours`: asks the kernel for the link addresses of neighbours, for a host that shares the kernel's addresses.
//
// The answers of neighbours go to the kernel then. A question reads what it knows; where that is nothing, or old, the kernel
// is told to look for the neighbour as if it had something to send there (NTF_USE), and says what it has found when it has.
// What others have put into its table for good is only read: to be used would take that quality from it. One rtnetlink
// socket, of the network namespace of the thread that makes it. Threads: that of the executor. Source: rtnetlink(7),
// netlink(7).
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::host::detail {

/// Hears what the kernel says of neighbours.
class neighbour_listener {
public:
    /// It sends packets for the address to that station, and has not found that it is gone.
    virtual void on_neighbour(const proto::ip_address& address, proto::mac_address hardware) noexcept = 0;
    /// It has asked for the address, and nobody answers.
    virtual void on_neighbour_lost(const proto::ip_address& address) noexcept = 0;

protected:
    ~neighbour_listener() = default;
};

class kernel_neighbours final : private fluxnet::detail::turn_handler, private poll_operation {
public:
    /// Opens the socket, for the neighbours at an interface, by its number. Throws std::system_error when the kernel refuses
    /// it, and with errc::permission_denied when it would look for no neighbour. The permission is needed later as well.
    kernel_neighbours(executor& on, int interface);
    ~kernel_neighbours();

    /// Who is told, from now on.
    void tell(neighbour_listener& told) noexcept { told_ = &told; }

    /// Asks for a neighbour: one system call, and another when the kernel is to look for it. To be repeated until there is
    /// an answer.
    void ask(const proto::ip_address& address) noexcept;

private:
    void end_turn() noexcept override;
    void before_sleep() noexcept override { end_turn(); }
    void after_sleep() noexcept override {}
    void end_run() noexcept override;
    void on_ready(int result) noexcept override;

    void send(std::uint16_t type, std::uint16_t flags, std::uint8_t use, const proto::ip_address& address) noexcept;
    void find_permission();
    void handle_neighbour(std::span<const std::byte> message, bool answer) noexcept;
    void handle_refusal(std::span<const std::byte> message) noexcept;

    executor& on_;
    const int interface_;
    descriptor socket_;
    neighbour_listener* told_ = nullptr;
    std::uint32_t port_ = 0;  // our netlink address: answers to our questions carry it
    bool told_of_permission_ = false;
};

}  // namespace fluxnet::host::detail
