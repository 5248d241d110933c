// SPDX-License-Identifier: BSD-3-Clause
// `simulated_machine`: the sockets of a simulated wire, whichever end they are bound to, with their options and their
// memory.
//
// Belongs to the wire; both ends use it, so that a socket on one can share the UMEM of a socket on the other, as on two
// interfaces of one machine. Its functions are called with the lock held, which a wire for one thread does not have.
#pragma once

#include "xsk/detail/simulated_socket.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include <sys/types.h>

namespace fluxnet::detail {

class simulated_machine {
public:
    /// `mutex` guards all sockets; null when only one thread uses the wire.
    explicit simulated_machine(std::mutex* mutex) noexcept : mutex_(mutex) {}
    simulated_machine(const simulated_machine&) = delete;
    simulated_machine& operator=(const simulated_machine&) = delete;
    ~simulated_machine();

    [[nodiscard]] std::unique_lock<std::mutex> lock() const {
        return mutex_ == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*mutex_);
    }
    [[nodiscard]] bool threaded() const noexcept { return mutex_ != nullptr; }

    /// Null when no socket has this descriptor.
    [[nodiscard]] simulated_socket* find(int fd) noexcept {
        const auto found = sockets_.find(fd);
        return found == sockets_.end() ? nullptr : &found->second;
    }

    // As the functions of `kernel`. close() is for sockets that are no longer bound.
    int open_socket();
    int set_option(int fd, int name, const void* value, std::uint32_t size);
    int get_option(int fd, int name, void* value, std::uint32_t* size);
    void* map_ring(int fd, std::size_t length, off_t offset, int& failure);
    void unmap_ring(void* address, std::size_t length);
    int close(int fd);

private:
    static int make_ring(simulated_socket& of, std::size_t which, std::uint32_t entries);

    std::mutex* mutex_;
    std::map<int, simulated_socket> sockets_;
};

}  // namespace fluxnet::detail
