// SPDX-License-Identifier: BSD-3-Clause
// `simulated_kernel`: what the kernel does for the AF_XDP sockets of one end of a simulated wire.
//
// Owned by the wire. Takes packets out of TX rings when it is kicked, and puts packets that arrive into RX rings. Checks
// descriptors and counts drops as Linux does in copy mode. A descriptor is an eventfd: it becomes readable when packets
// arrive after prepare_wait(). The calls of `kernel` take the machine's lock, when it has one; receive() is called with it
// held.
#pragma once

#include "xsk/descriptor.hpp"
#include "xsk/detail/simulated_socket.hpp"
#include "xsk/interface.hpp"
#include "xsk/kernel.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace fluxnet::detail {

/// What became of a packet that arrived.
enum class arrival { delivered, no_socket, rx_ring_full, fill_ring_empty, too_large };

class simulated_kernel final : public kernel {
public:
    /// Called for each packet that leaves; its bytes are valid during the call.
    using sender = std::function<void(std::span<const std::byte>)>;

    simulated_kernel(interface_info interface, simulated_machine& machine, sender send);
    simulated_kernel(const simulated_kernel&) = delete;
    simulated_kernel& operator=(const simulated_kernel&) = delete;
    ~simulated_kernel() override;

    /// Puts a packet into the RX ring of the socket on `queue`; on delivery `placed` is its descriptor.
    arrival receive(std::uint32_t queue, std::span<const std::byte> bytes, xdp_desc& placed) noexcept;

    int open_socket() override;
    int set_option(int fd, int name, const void* value, std::uint32_t size) override;
    int get_option(int fd, int name, void* value, std::uint32_t* size) override;
    int take_socket_error(int fd) override;
    void* map_ring(int fd, std::size_t length, off_t offset, int& failure) override;
    void unmap_ring(void* address, std::size_t length) override;
    int bind(int fd, const bind_request& where) override;
    int kick_tx(int fd) override;
    int kick_rx(int fd) override;
    void prepare_wait(int fd) override;
    int close(int fd) override;
    int find_interface(const char* name, interface_info& found) override;
    void pause_ms(int milliseconds) override;

private:
    void send_one(simulated_socket& from, const xdp_desc& desc);

    interface_info interface_;
    simulated_machine& machine_;
    sender send_;
    std::vector<simulated_socket*> by_queue_;  // null where nobody is bound
    std::vector<std::byte> staging_;           // one packet on its way out
};

}  // namespace fluxnet::detail
