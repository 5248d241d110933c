// SPDX-License-Identifier: BSD-3-Clause
// `packet_ring`: the system calls of a socket that has no AF_XDP. Its four rings lie in ordinary memory, and packets move
// between them and an AF_PACKET socket (TPACKET_V3), copied once each way.
//
// One for each socket, which owns it. Everything above the seam `kernel` works as it does with AF_XDP. Both rings that user
// space produces into always ask for a kick, and a kick does what the kernel would: kick_tx() copies packets into the
// kernel's sending ring and makes it send them, kick_rx() copies packets that have arrived and makes no system call.
//
// What differs from AF_XDP: the kernel's own stack receives the same packets, of all queues; a packet waits up to a
// millisecond until the kernel hands over the block that it lies in; packets wait in the kernel's ring while frames are
// short, and are lost when that is full.
// Threads: kick_rx(), prepare_wait() and wait_input() on the thread that uses the rx, kick_tx() on the thread that uses the
// tx, the others on either.
// Private: included by .cpp files only.
#pragma once

#include "fluxnet/xsk/detail/packet_receiver.hpp"
#include "fluxnet/xsk/detail/packet_sender.hpp"
#include "fluxnet/xsk/kernel.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace fluxnet::detail {

class packet_ring final : public kernel {
public:
    /// Without `receives` no packet arrives, as for a socket that no program directs packets to.
    explicit packet_ring(bool receives) noexcept : receives_(receives) {}
    packet_ring(const packet_ring&) = delete;
    packet_ring& operator=(const packet_ring&) = delete;
    ~packet_ring() override = default;

    [[nodiscard]] const char* socket_family() const noexcept override { return "AF_PACKET"; }
    int open_socket() override;
    int set_option(int fd, int name, const void* value, std::uint32_t size) override;
    int get_option(int fd, int name, void* value, std::uint32_t* size) override;
    int take_socket_error(int fd) override;
    void* map_ring(int fd, std::size_t length, off_t offset, int& failure) override;
    void unmap_ring(void* address, std::size_t length) override;
    int bind(int fd, const bind_request& where) override;
    int kick_tx(int fd) override;
    int kick_rx(int fd) override;
    int look(int fd) override;
    void prepare_wait(int fd) override;
    int wait_input(int fd, int wake_fd, std::int64_t timeout_ns) override;
    int close(int fd) override;
    int find_interface(const char* name, interface_info& found) override;
    void pause_ms(int milliseconds) override;

private:
    enum : std::size_t { fill_ring, completion_ring, rx_ring, tx_ring };

    const bool receives_;
    umem_registration memory_;
    std::array<std::uint32_t, 4> sizes_{};  // entries
    kernel_ring<frame_addr> fill_;
    kernel_ring<frame_addr> comp_;
    kernel_ring<xdp_desc> rx_;
    kernel_ring<xdp_desc> tx_;
    packet_receiver receiver_;
    packet_sender sender_;
};

}  // namespace fluxnet::detail
