// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/packet_ring.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <bit>
#include <cerrno>
#include <cstring>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

// How a ring is laid out: each index on cache lines of its own, then the flags, then the entries.
constexpr xdp_ring_offset layout{0, 128, 384, 256};

template <class T>
kernel_ring<T> ring_at(void* address, std::uint32_t size) noexcept {
    auto* bytes = static_cast<std::byte*>(address);
    kernel_ring<T> ring(ring_memory<T>{
        reinterpret_cast<std::uint32_t*>(bytes + layout.producer), reinterpret_cast<std::uint32_t*>(bytes + layout.consumer),
        reinterpret_cast<std::uint32_t*>(bytes + layout.flags), reinterpret_cast<T*>(bytes + layout.desc), size});
    ring.set_needs_wakeup(true);  // nobody but a kick looks at it
    return ring;
}

}  // namespace

/// The descriptor is an epoll set: it has the receiving socket while that can be read.
int packet_ring::open_socket() {
    if (const int r = receiver_.open(); r < 0) { return r; }
    if (const int r = sender_.open(); r < 0) { return r; }
    const int fd = above_streams(::epoll_create1(EPOLL_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

int packet_ring::set_option(int, int name, const void* value, std::uint32_t size) {
    if (name == XDP_UMEM_REG) {
        if (size != sizeof memory_) { return -EINVAL; }
        std::memcpy(&memory_, value, sizeof memory_);
        return 0;
    }
    std::uint32_t entries = 0;
    if (size != sizeof entries) { return -EINVAL; }
    std::memcpy(&entries, value, sizeof entries);
    std::size_t which = fill_ring;
    switch (name) {
        case XDP_UMEM_FILL_RING: which = fill_ring; break;
        case XDP_UMEM_COMPLETION_RING: which = completion_ring; break;
        case XDP_RX_RING: which = rx_ring; break;
        case XDP_TX_RING: which = tx_ring; break;
        default: return -ENOPROTOOPT;
    }
    if (!std::has_single_bit(entries)) { return -EINVAL; }
    sizes_[which] = entries;
    return 0;
}

int packet_ring::get_option(int, int name, void* value, std::uint32_t* size) {
    if (name == XDP_MMAP_OFFSETS && *size >= sizeof(xdp_mmap_offsets)) {
        const xdp_mmap_offsets offsets{layout, layout, layout, layout};
        std::memcpy(value, &offsets, sizeof offsets);
        return 0;
    }
    if (name == XDP_STATISTICS && *size >= sizeof(xdp_statistics)) {
        xdp_statistics counts{};
        counts.rx_dropped = receiver_.too_large();
        counts.rx_invalid_descs = receiver_.bad_addresses();
        counts.rx_ring_full = receiver_.overflowed();
        counts.tx_invalid_descs = sender_.invalid();
        std::memcpy(value, &counts, sizeof counts);
        return 0;
    }
    return -ENOPROTOOPT;
}

int packet_ring::take_socket_error(int) {
    return receiver_.take_error();
}

void* packet_ring::map_ring(int, std::size_t length, off_t offset, int& failure) {
    // Shared, so that a child of fork() sees the same rings.
    void* const address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) {
        failure = -errno;
        return nullptr;
    }
    switch (static_cast<std::uint64_t>(offset)) {
        case XDP_UMEM_PGOFF_FILL_RING: fill_ = ring_at<frame_addr>(address, sizes_[fill_ring]); break;
        case XDP_UMEM_PGOFF_COMPLETION_RING: comp_ = ring_at<frame_addr>(address, sizes_[completion_ring]); break;
        case XDP_PGOFF_TX_RING: tx_ = ring_at<xdp_desc>(address, sizes_[tx_ring]); break;
        default: rx_ = ring_at<xdp_desc>(address, sizes_[rx_ring]); break;
    }
    return address;
}

void packet_ring::unmap_ring(void* address, std::size_t length) {
    ::munmap(address, length);
}

int packet_ring::bind(int fd, const bind_request& where) {
    receiver_.use(memory_, fill_, rx_);
    sender_.use(memory_, tx_, comp_);
    if (const int r = sender_.start(where.interface_index, sizes_[tx_ring]); r < 0) { return r; }
    return receiver_.start(where.interface_index, sizes_[rx_ring], fd, receives_);
}

int packet_ring::kick_tx(int) {
    return sender_.kick();
}

int packet_ring::kick_rx(int) {
    return receiver_.pull();
}

int packet_ring::look(int) {
    return receiver_.look();
}

void packet_ring::prepare_wait(int) {
    receiver_.prepare_wait();
}

int packet_ring::wait_input(int fd, int wake_fd, std::int64_t timeout_ns) {
    return receiver_.gone() ? int{fd_error} : kernel::wait_input(fd, wake_fd, timeout_ns);
}

int packet_ring::close(int fd) {
    receiver_.close();
    sender_.close();
    return ::close(fd) < 0 ? -errno : 0;
}

int packet_ring::find_interface(const char* name, interface_info& found) {
    return system_kernel().find_interface(name, found);
}

void packet_ring::pause_ms(int milliseconds) {
    system_kernel().pause_ms(milliseconds);
}

}  // namespace fluxnet::detail
