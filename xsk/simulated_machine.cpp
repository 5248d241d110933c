// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/detail/simulated_machine.hpp"

#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

// How a ring is laid out: each index on cache lines of its own, then the flags, then the entries.
constexpr xdp_ring_offset layout{0, 128, 384, 256};

template <class T>
ring_memory<T> ring_at(void* address, std::uint32_t size) noexcept {
    auto* bytes = static_cast<std::byte*>(address);
    return {reinterpret_cast<std::uint32_t*>(bytes + layout.producer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.consumer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.flags), reinterpret_cast<T*>(bytes + layout.desc), size};
}

}  // namespace

simulated_machine::~simulated_machine() {
    assert(sockets_.empty() && "a simulated wire ended before the sockets on it");
}

int simulated_machine::open_socket() {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) { return -errno; }
    sockets_[fd].fd = fd;
    return fd;
}

int simulated_machine::make_ring(simulated_socket& of, std::size_t which, std::uint32_t entries) {
    if (of.bound()) { return -EBUSY; }
    if (!std::has_single_bit(entries) || of.has(which)) { return -EINVAL; }
    const bool described = which == simulated_socket::rx_ring || which == simulated_socket::tx_ring;
    const std::size_t length = layout.desc + entries * (described ? sizeof(xdp_desc) : sizeof(frame_addr));
    void* const address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) { return -ENOMEM; }
    of.rings[which] = {address, length, false};
    switch (which) {
        case simulated_socket::fill_ring: of.fill = kernel_ring(ring_at<frame_addr>(address, entries)); break;
        case simulated_socket::completion_ring: of.comp = kernel_ring(ring_at<frame_addr>(address, entries)); break;
        case simulated_socket::rx_ring: of.rx = kernel_ring(ring_at<xdp_desc>(address, entries)); break;
        default:
            of.tx = kernel_ring(ring_at<xdp_desc>(address, entries));
            of.tx.set_needs_wakeup(true);  // nothing leaves without a first kick, whatever bind() is told
            break;
    }
    return 0;
}

int simulated_machine::set_option(int fd, int name, const void* value, std::uint32_t size) {
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    std::uint32_t number = 0;
    if (size == sizeof number) { std::memcpy(&number, value, sizeof number); }
    switch (name) {
        case XDP_UMEM_REG:
            if (self->bound() || self->umem.len != 0) { return -EBUSY; }
            if (size != sizeof self->umem) { return -EINVAL; }
            std::memcpy(&self->umem, value, size);
            return 0;
        case XDP_UMEM_FILL_RING: return make_ring(*self, simulated_socket::fill_ring, number);
        case XDP_UMEM_COMPLETION_RING: return make_ring(*self, simulated_socket::completion_ring, number);
        case XDP_RX_RING: return make_ring(*self, simulated_socket::rx_ring, number);
        case XDP_TX_RING: return make_ring(*self, simulated_socket::tx_ring, number);
        case xdp_max_tx_skb_budget: return self->tx_budget = number, 0;
        default: return -ENOPROTOOPT;
    }
}

int simulated_machine::get_option(int fd, int name, void* value, std::uint32_t* size) {
    const simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    if (name == XDP_MMAP_OFFSETS && *size >= sizeof(xdp_mmap_offsets)) {
        const xdp_mmap_offsets offsets{layout, layout, layout, layout};
        std::memcpy(value, &offsets, sizeof offsets);
        return 0;
    }
    if (name == XDP_STATISTICS && *size >= sizeof self->statistics) {
        std::memcpy(value, &self->statistics, sizeof self->statistics);
        return 0;
    }
    if (name == XDP_OPTIONS && *size >= sizeof(xdp_options)) {
        const xdp_options options{self->zero_copy ? static_cast<std::uint32_t>(XDP_OPTIONS_ZEROCOPY) : 0U};
        std::memcpy(value, &options, sizeof options);
        return 0;
    }
    return -ENOPROTOOPT;
}

void* simulated_machine::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    simulated_socket* const self = find(fd);
    if (self == nullptr) {
        failure = -EBADF;
        return nullptr;
    }
    std::size_t which = simulated_socket::rx_ring;
    switch (static_cast<std::uint64_t>(offset)) {
        case XDP_UMEM_PGOFF_FILL_RING: which = simulated_socket::fill_ring; break;
        case XDP_UMEM_PGOFF_COMPLETION_RING: which = simulated_socket::completion_ring; break;
        case XDP_PGOFF_TX_RING: which = simulated_socket::tx_ring; break;
        default: break;
    }
    simulated_socket::ring_storage& ring = self->rings[which];
    if (ring.address == nullptr || length > ring.length) {
        failure = -EINVAL;
        return nullptr;
    }
    ring.mapped = true;
    return ring.address;
}

void simulated_machine::unmap_ring(void* address, std::size_t length) {
    for (auto& [fd, it] : sockets_) {
        for (simulated_socket::ring_storage& ring : it.rings) {
            if (ring.address == address) {
                ring.mapped = false;
                return;
            }
        }
    }
    ::munmap(address, length);  // of a socket that is closed
}

int simulated_machine::close(int fd) {
    const simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    for (const simulated_socket::ring_storage& ring : self->rings) {
        if (ring.address != nullptr && !ring.mapped) { ::munmap(ring.address, ring.length); }
    }
    sockets_.erase(fd);
    return ::close(fd) < 0 ? -errno : 0;
}

}  // namespace fluxnet::detail
