// SPDX-License-Identifier: BSD-3-Clause
// `simulated_kernel`: the kernel of a machine whose two interfaces are the ends of a simulated wire.
//
// Owned by the wire. Keeps the sockets with their options and their memory, whichever interface they are bound to, so that
// they can share a UMEM; what happens on an interface is up to its simulated_device. The calls of `kernel` take the lock,
// which a wire for one thread does not have; the devices are called with it held.
#pragma once

#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_device.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_socket.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace fluxnet::detail {

class simulated_kernel final : public kernel {
public:
    /// `mutex` guards all sockets and devices; null when only one thread uses the wire. The indices of new rings start at
    /// `first_index`.
    explicit simulated_kernel(std::mutex* mutex, std::uint32_t first_index = 0) noexcept
        : mutex_(mutex), first_index_(first_index) {}
    simulated_kernel(const simulated_kernel&) = delete;
    simulated_kernel& operator=(const simulated_kernel&) = delete;
    ~simulated_kernel() override;

    /// Plugs a device in. Before there are sockets.
    void add(simulated_device& device) { devices_.push_back(&device); }

    [[nodiscard]] std::unique_lock<std::mutex> lock() const {
        return mutex_ == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*mutex_);
    }

    /// The socket of a descriptor, or null. For callers that hold the lock.
    [[nodiscard]] simulated_socket* find(int fd) noexcept;

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
    [[nodiscard]] bool announces_links() const noexcept override { return false; }
    [[nodiscard]] bool filters() const noexcept override { return true; }
    int set_filter(int fd, const packet_filter& filter) override;
    int find_interface(const char* name, interface_info& found) override;
    void pause_ms(int milliseconds) override;

private:
    static int register_umem(simulated_socket& of, const void* value, std::uint32_t size);
    static int set_tx_budget(simulated_socket& of, std::uint32_t budget);
    int make_ring(simulated_socket& of, std::size_t which, std::uint32_t entries);
    int bind_shared(simulated_socket& self, const bind_request& where, simulated_device& device);

    std::mutex* mutex_;
    const std::uint32_t first_index_;
    std::vector<simulated_device*> devices_;
    std::map<int, simulated_socket> sockets_;
};

}  // namespace fluxnet::detail
