// SPDX-License-Identifier: BSD-3-Clause
// `kernel`: every system call that an AF_XDP socket makes, behind one interface.
//
// Sockets use system_kernel() unless their builder names another one: a test that wants an errno at a given step, or a model
// of the kernel's side. Implementations must outlive the sockets built with them and, unless they say otherwise, allow calls
// from several threads. Each call returns what the system call returns, or the negated errno: errno itself is read here and
// nowhere else. Where packets flow only kick_tx() and kick_rx() are called, for batches, and prepare_wait() before a sleep.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/interface.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

#include <sys/types.h>

namespace fluxnet {

class packet_filter;

/// Where a socket is to be bound. Source: struct sockaddr_xdp.
struct bind_request {
    int interface_index = 0;
    std::uint32_t queue = 0;
    std::uint16_t flags = 0;  ///< XDP_*.
    int shared_umem_fd = -1;  ///< With XDP_SHARED_UMEM: a bound socket, whose UMEM and bind flags this one gets.
};

class FLUXNET_EXPORT kernel {
public:
    virtual ~kernel() = default;

    /// socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0).
    virtual int open_socket() = 0;
    /// setsockopt and getsockopt at level SOL_XDP.
    virtual int set_option(int fd, int name, const void* value, std::uint32_t size) = 0;
    virtual int get_option(int fd, int name, void* value, std::uint32_t* size) = 0;
    /// getsockopt(SO_ERROR): returns and clears the socket's pending error, as a positive errno.
    virtual int take_socket_error(int fd) = 0;
    /// mmap of a ring, shared, read-write and populated. Returns null and stores the negated errno on failure.
    virtual void* map_ring(int fd, std::size_t length, off_t offset, int& failure) = 0;
    virtual void unmap_ring(void* address, std::size_t length) = 0;
    /// bind to an interface's queue.
    virtual int bind(int fd, const bind_request& where) = 0;
    /// sendto(fd, NULL, 0, MSG_DONTWAIT): makes the kernel look at the TX ring.
    virtual int kick_tx(int fd) = 0;
    /// recvfrom(fd, NULL, 0, MSG_DONTWAIT): makes the driver look at the fill ring.
    virtual int kick_rx(int fd) = 0;
    /// Asks whether the socket still has its interface; answers as kick_rx(). Either half of a socket asks, on its own
    /// thread.
    virtual int look(int fd) { return kick_rx(fd); }
    /// Called before a thread waits for `fd` to become readable; for models whose descriptor does not know the RX ring, and
    /// for packet rings.
    virtual void prepare_wait(int fd) { static_cast<void>(fd); }
    enum : int { fd_ready = 1, fd_error = 2, wake_ready = 4 };
    /// ppoll of `fd` and `wake_fd` (negative: none) for input, for `timeout_ns` nanoseconds. Returns readiness bits; 0 when
    /// the time has passed.
    virtual int wait_input(int fd, int wake_fd, std::int64_t timeout_ns);
    /// close(2), of what open_socket() and the like have opened.
    virtual int close(int fd) = 0;
    /// For models of the kernel, which run no XDP program: whether set_filter() does what one does.
    [[nodiscard]] virtual bool filters() const noexcept { return false; }
    /// Has the interface of `fd`, or the one that it will be bound to, receive what a valid filter redirects, and nothing
    /// else. Returns 0 or a negated errno.
    virtual int set_filter(int fd, const packet_filter& filter);
    /// Tells whether the system knows the interfaces that find_interface() finds, and so tells of their end (rtnetlink).
    [[nodiscard]] virtual bool announces_links() const noexcept { return true; }
    /// Looks an interface up by its name, or by an alternative name of any length (ip link property add), in the caller's
    /// network namespace; fills in `found`.
    virtual int find_interface(const char* name, interface_info& found) = 0;
    /// Waits between two attempts to bind.
    virtual void pause_ms(int milliseconds) = 0;
    /// The address family of open_socket(), for messages.
    [[nodiscard]] virtual const char* socket_family() const noexcept { return "AF_XDP"; }
    /// Makes the calls of one socket in xdp_mode::packet_ring, which receives nothing unless `receives`. Null where packets
    /// can only be had by these calls themselves.
    [[nodiscard]] virtual std::unique_ptr<kernel> make_packet_ring(bool receives);
};

/// The running kernel.
[[nodiscard]] FLUXNET_EXPORT kernel& system_kernel() noexcept;

}  // namespace fluxnet
