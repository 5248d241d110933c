// SPDX-License-Identifier: BSD-3-Clause
// `simulated_kernel`: what the kernel does for the AF_XDP sockets of one end of a simulated wire.
//
// Owned by the wire. Keeps the registered UMEM, the rings and the counters of every socket, takes packets out of TX rings
// when it is kicked, and puts packets that arrive into RX rings. Checks descriptors and counts drops as Linux does in copy
// mode. A descriptor is an eventfd: it becomes readable when packets arrive after prepare_wait().
#pragma once

#include "xsk/descriptor.hpp"
#include "xsk/detail/if_xdp.hpp"
#include "xsk/interface.hpp"
#include "xsk/kernel.hpp"
#include "xsk/ring.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

namespace fluxnet::detail {

/// The kernel's end of a ring: it consumes what user space produces, and the other way round.
template <class T>
class kernel_ring {
public:
    kernel_ring() = default;
    explicit kernel_ring(const ring_memory<T>& memory) noexcept : memory_(memory) {}

    [[nodiscard]] std::uint32_t readable() const noexcept { return load(memory_.producer) - own_; }
    [[nodiscard]] std::uint32_t writable() const noexcept { return memory_.size - (own_ - load(memory_.consumer)); }
    [[nodiscard]] std::uint32_t unread() const noexcept { return own_ - load(memory_.consumer); }

    T take() noexcept {
        const T value = memory_.entries[own_ & (memory_.size - 1)];
        std::atomic_ref(*memory_.consumer).store(++own_, std::memory_order_release);
        return value;
    }
    void put(const T& value) noexcept {
        memory_.entries[own_ & (memory_.size - 1)] = value;
        std::atomic_ref(*memory_.producer).store(++own_, std::memory_order_release);
    }
    void set_needs_wakeup(bool needed) noexcept {
        std::atomic_ref(*memory_.flags).store(needed ? XDP_RING_NEED_WAKEUP : 0U, std::memory_order_relaxed);
    }

private:
    static std::uint32_t load(std::uint32_t* index) noexcept {
        return std::atomic_ref(*index).load(std::memory_order_acquire);
    }

    ring_memory<T> memory_;
    std::uint32_t own_ = 0;  // the index on our side
};

/// What became of a packet that arrived.
enum class arrival { delivered, no_socket, rx_ring_full, fill_ring_empty, too_large };

class simulated_kernel final : public kernel {
public:
    /// Called for each packet that leaves; its bytes are valid during the call.
    using sender = std::function<void(std::span<const std::byte>)>;

    simulated_kernel(interface_info interface, sender send);
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
    struct socket {
        umem_registration umem;
        std::array<std::uint32_t, 4> sizes{};  // fill, completion, rx, tx
        kernel_ring<frame_addr> fill;
        kernel_ring<frame_addr> comp;
        kernel_ring<xdp_desc> rx;
        kernel_ring<xdp_desc> tx;
        xdp_statistics statistics{};
        std::uint32_t tx_budget = 32;
        bool bound = false;
        bool wait_announced = false;  // the next arrival signals the descriptor
        std::uint32_t queue = 0;

        [[nodiscard]] std::byte* at(std::uint64_t offset) const noexcept;
        [[nodiscard]] bool valid(const xdp_desc& desc) const noexcept;
    };

    [[nodiscard]] socket* find(int fd) noexcept;
    void send_one(socket& from, const xdp_desc& desc);

    interface_info interface_;
    sender send_;
    std::map<int, socket> sockets_;
    std::vector<socket*> by_queue_;  // null where nobody is bound
    std::vector<int> fd_by_queue_;
    std::vector<std::byte> staging_;  // one packet on its way out
};

}  // namespace fluxnet::detail
