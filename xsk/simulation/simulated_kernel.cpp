// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/detail/simulated_kernel.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

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

simulated_kernel::~simulated_kernel() {
    assert(sockets_.empty() && "a simulated wire ended before the sockets on it");
}

simulated_socket* simulated_kernel::find(int fd) noexcept {
    const auto found = sockets_.find(fd);
    return found == sockets_.end() ? nullptr : &found->second;
}

int simulated_kernel::open_socket() {
    const auto guard = lock();
    const int fd = above_streams(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0) { return -errno; }
    sockets_[fd].fd = fd;
    return fd;
}

int simulated_kernel::make_ring(simulated_socket& of, std::size_t which, std::uint32_t entries) {
    if (of.bound()) { return -EBUSY; }
    if (!std::has_single_bit(entries) || of.has(which)) { return -EINVAL; }
    const bool described = which == simulated_socket::rx_ring || which == simulated_socket::tx_ring;
    const std::size_t length = layout.desc + entries * (described ? sizeof(xdp_desc) : sizeof(frame_addr));
    void* const address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) { return -ENOMEM; }
    of.rings[which] = {address, length, false};
    *ring_at<frame_addr>(address, entries).producer = first_index_;
    *ring_at<frame_addr>(address, entries).consumer = first_index_;
    switch (which) {
        case simulated_socket::fill_ring: of.fill = kernel_ring(ring_at<frame_addr>(address, entries), first_index_); break;
        case simulated_socket::completion_ring:
            of.comp = kernel_ring(ring_at<frame_addr>(address, entries), first_index_);
            break;
        case simulated_socket::rx_ring: of.rx = kernel_ring(ring_at<xdp_desc>(address, entries), first_index_); break;
        default:
            of.tx = kernel_ring(ring_at<xdp_desc>(address, entries), first_index_);
            of.tx.set_needs_wakeup(true);  // nothing leaves without a first kick, whatever bind() is told
            break;
    }
    return 0;
}

int simulated_kernel::register_umem(simulated_socket& of, const void* value, std::uint32_t size) {
    umem_registration request;
    if (of.bound() || of.umem.len != 0) { return -EBUSY; }
    if (size != sizeof request) { return -EINVAL; }
    std::memcpy(&request, value, sizeof request);
    constexpr std::uint32_t page = 4096;
    constexpr std::uint32_t xdp_packet_headroom = 256;
    const bool sized = request.chunk_size >= 2048 && request.chunk_size <= page && std::has_single_bit(request.chunk_size);
    if (!sized || request.headroom >= request.chunk_size - xdp_packet_headroom || request.addr % page != 0 ||
        request.flags != 0 || request.len < request.chunk_size) {
        return -EINVAL;
    }
    of.umem = request;
    return 0;
}

int simulated_kernel::set_tx_budget(simulated_socket& of, std::uint32_t budget) {
    if (budget < 32 || budget > of.tx.memory().size) { return -EACCES; }
    of.tx_budget = budget;
    return 0;
}

int simulated_kernel::set_option(int fd, int name, const void* value, std::uint32_t size) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    std::uint32_t number = 0;
    if (size == sizeof number) { std::memcpy(&number, value, sizeof number); }
    switch (name) {
        case XDP_UMEM_REG: return register_umem(*self, value, size);
        case XDP_UMEM_FILL_RING: return make_ring(*self, simulated_socket::fill_ring, number);
        case XDP_UMEM_COMPLETION_RING: return make_ring(*self, simulated_socket::completion_ring, number);
        case XDP_RX_RING: return make_ring(*self, simulated_socket::rx_ring, number);
        case XDP_TX_RING: return make_ring(*self, simulated_socket::tx_ring, number);
        case xdp_max_tx_skb_budget: return set_tx_budget(*self, number);
        default: return -ENOPROTOOPT;
    }
}

int simulated_kernel::get_option(int fd, int name, void* value, std::uint32_t* size) {
    const auto guard = lock();
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

int simulated_kernel::take_socket_error(int) {
    return 0;
}

void* simulated_kernel::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    const auto guard = lock();
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

void simulated_kernel::unmap_ring(void* address, std::size_t length) {
    const auto guard = lock();
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

int simulated_kernel::bind(int fd, const bind_request& where) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    constexpr int known = XDP_SHARED_UMEM | XDP_COPY | XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP | xdp_use_sg;
    if ((where.flags & ~known) != 0) { return -EINVAL; }
    if (self->bound()) { return -EBUSY; }
    const auto device =
        std::ranges::find(devices_, where.interface_index, [](const auto* each) { return each->info().index; });
    if (device == devices_.end()) { return -ENODEV; }
    if (const int failure = (*device)->link_failure(); failure < 0) { return failure == -ENXIO ? -ENODEV : failure; }
    if (!self->has(simulated_socket::rx_ring) && !self->has(simulated_socket::tx_ring)) { return -EINVAL; }
    const bool shared = (where.flags & XDP_SHARED_UMEM) != 0;
    return shared ? bind_shared(*self, where, **device) : (*device)->bind(*self, where);
}

int simulated_kernel::bind_shared(simulated_socket& self, const bind_request& where, simulated_device& device) {
    if ((where.flags & ~XDP_SHARED_UMEM) != 0 || self.umem.len != 0) { return -EINVAL; }
    const simulated_socket* const other = find(where.shared_umem_fd);
    if (other == nullptr) { return -ENOTSOCK; }
    return other->bound() ? device.bind_shared(self, where.queue, *other) : -EBADF;
}

int simulated_kernel::kick_tx(int fd) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    return self == nullptr || !self->bound() ? -ENXIO : self->bound_to->kick_tx(*self);
}

int simulated_kernel::kick_rx(int fd) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    return self == nullptr || !self->bound() ? -ENXIO : self->bound_to->kick_rx(*self);
}

void simulated_kernel::prepare_wait(int fd) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return; }
    std::uint64_t count = 0;
    [[maybe_unused]] const auto cleared = ::read(fd, &count, sizeof count);
    self->wait_announced = true;
    if (self->bound() && self->rx.unread() != 0) { self->signal(); }
}

int simulated_kernel::close(int fd) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    if (self->bound()) { self->bound_to->unbind(*self); }
    for (const simulated_socket::ring_storage& ring : self->rings) {
        if (ring.address != nullptr && !ring.mapped) { ::munmap(ring.address, ring.length); }
    }
    sockets_.erase(fd);
    return ::close(fd) < 0 ? -errno : 0;
}

int simulated_kernel::set_filter(int fd, const packet_filter& filter) {
    const auto guard = lock();
    simulated_socket* const self = find(fd);
    if (self == nullptr) { return -EBADF; }
    if (self->bound()) {
        self->bound_to->set_filter(filter);
    } else {
        self->filter = filter;
    }
    return 0;
}

int simulated_kernel::find_interface(const char* name, interface_info& found) {
    const auto guard = lock();
    for (const simulated_device* device : devices_) {
        if (device->info().name == name && device->link_failure() != -ENXIO) {
            found = device->info();
            return 0;
        }
    }
    return -ENODEV;
}

void simulated_kernel::pause_ms(int milliseconds) {
    if (mutex_ != nullptr) {
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        return;
    }
    // All that can happen meanwhile where only one thread uses the wire.
    for (simulated_device* device : devices_) { device->raise_flags(); }
    for (simulated_device* device : devices_) { device->poll_drivers(); }
}

}  // namespace fluxnet::detail
