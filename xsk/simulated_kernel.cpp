// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/detail/simulated_kernel.hpp"

#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::size_t fill_ring = 0;
constexpr std::size_t completion_ring = 1;
constexpr std::size_t rx_ring = 2;
constexpr std::size_t tx_ring = 3;
constexpr std::uint32_t xdp_packet_headroom = 256;

// How a ring is laid out: each index on cache lines of its own, then the flags, then the entries.
constexpr xdp_ring_offset layout{0, 128, 384, 256};

template <class T>
ring_memory<T> ring_at(void* address, std::uint32_t size) noexcept {
    auto* bytes = static_cast<std::byte*>(address);
    return {reinterpret_cast<std::uint32_t*>(bytes + layout.producer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.consumer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.flags), reinterpret_cast<T*>(bytes + layout.desc), size};
}

// In the checked build under the address sanitizer, frames that are not the user's are poisoned. This code stands for the
// kernel, which the sanitizer does not see; memcpy would be seen, so the bytes are copied by hand there.
__attribute__((no_sanitize("address"))) void copy_bytes(std::byte* to, const std::byte* from, std::size_t count) noexcept {
#if defined(FLUXNET_CHECKED)
    auto* target = static_cast<volatile std::byte*>(to);
    for (std::size_t i = 0; i < count; ++i) { target[i] = from[i]; }
#else
    std::memcpy(to, from, count);
#endif
}

}  // namespace

simulated_kernel::simulated_kernel(interface_info interface, simulated_machine& machine, sender send)
    : interface_(std::move(interface)), machine_(machine), send_(std::move(send)), by_queue_(interface_.queues, nullptr),
      staging_(4096) {}

simulated_kernel::~simulated_kernel() {
    assert(machine_.sockets.empty() && "a simulated wire ended before the sockets on it");
}

int simulated_kernel::open_socket() {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) { return -errno; }
    const auto lock = machine_.lock();
    machine_.sockets[fd].fd = fd;
    return fd;
}

int simulated_kernel::set_option(int fd, int name, const void* value, std::uint32_t size) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr) { return -EBADF; }
    std::uint32_t number = 0;
    if (size == sizeof number) { std::memcpy(&number, value, sizeof number); }
    switch (name) {
        case XDP_UMEM_REG:
            if (size != sizeof self->umem) { return -EINVAL; }
            std::memcpy(&self->umem, value, size);
            return 0;
        case XDP_UMEM_FILL_RING: return self->sizes[fill_ring] = number, 0;
        case XDP_UMEM_COMPLETION_RING: return self->sizes[completion_ring] = number, 0;
        case XDP_RX_RING: return self->sizes[rx_ring] = number, 0;
        case XDP_TX_RING: return self->sizes[tx_ring] = number, 0;
        case xdp_max_tx_skb_budget: return self->tx_budget = number, 0;
        default: return -ENOPROTOOPT;
    }
}

int simulated_kernel::get_option(int fd, int name, void* value, std::uint32_t* size) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
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
    return -ENOPROTOOPT;
}

int simulated_kernel::take_socket_error(int) {
    return 0;
}

void* simulated_kernel::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    void* address = MAP_FAILED;
    if (self != nullptr) {
        address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    }
    if (address == MAP_FAILED) {
        failure = self == nullptr ? -EBADF : -errno;
        return nullptr;
    }
    std::size_t which = tx_ring;
    switch (static_cast<std::uint64_t>(offset)) {
        case XDP_UMEM_PGOFF_FILL_RING:
            which = fill_ring;
            self->fill = kernel_ring(ring_at<frame_addr>(address, self->sizes[which]));
            break;
        case XDP_UMEM_PGOFF_COMPLETION_RING:
            which = completion_ring;
            self->comp = kernel_ring(ring_at<frame_addr>(address, self->sizes[which]));
            break;
        case XDP_PGOFF_RX_RING:
            which = rx_ring;
            self->rx = kernel_ring(ring_at<xdp_desc>(address, self->sizes[which]));
            break;
        default:
            self->tx = kernel_ring(ring_at<xdp_desc>(address, self->sizes[which]));
            self->tx.set_needs_wakeup(true);  // nothing leaves without a kick
            break;
    }
    self->mappings[which] = {address, length, false};
    return address;
}

void simulated_kernel::unmap_ring(void* address, std::size_t length) {
    const auto lock = machine_.lock();
    for (auto& [fd, it] : machine_.sockets) {
        for (simulated_socket::mapping& ring : it.mappings) {
            if (ring.address == address) {
                ring.unmapped = true;
                return;
            }
        }
    }
    ::munmap(address, length);
}

int simulated_kernel::bind(int fd, const bind_request& where) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr) { return -EBADF; }
    if ((where.flags & XDP_ZEROCOPY) != 0) { return -EOPNOTSUPP; }
    if (where.interface_index != interface_.index) { return -ENODEV; }
    if (where.queue >= by_queue_.size()) { return -EINVAL; }
    if (by_queue_[where.queue] != nullptr) { return -EBUSY; }
    self->bound_to = this;
    self->queue = where.queue;
    by_queue_[where.queue] = self;
    return 0;
}

int simulated_kernel::kick_tx(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr || !self->bound()) { return -ENXIO; }
    if (self->tx.readable() == 0) {
        ++self->statistics.tx_ring_empty_descs;
        return 0;
    }
    for (std::uint32_t sent = 0; self->tx.readable() != 0; ++sent) {
        if (sent == self->tx_budget || self->comp.writable() == 0) { return -EAGAIN; }
        const xdp_desc desc = self->tx.take();
        send_one(*self, desc);
        self->comp.put(desc.addr);  // invalid descriptors are completed too
    }
    return 0;
}

void simulated_kernel::send_one(simulated_socket& from, const xdp_desc& desc) {
    if (!from.valid(desc)) {
        ++from.statistics.tx_invalid_descs;
        return;
    }
    copy_bytes(staging_.data(), from.at(desc.addr.value), desc.len);
    send_(std::span<const std::byte>(staging_).first(desc.len));
}

int simulated_kernel::kick_rx(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr || !self->bound()) { return -ENXIO; }
    self->fill.set_needs_wakeup(false);
    return 0;
}

void simulated_kernel::prepare_wait(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr) { return; }
    std::uint64_t count = 0;
    [[maybe_unused]] const auto cleared = ::read(fd, &count, sizeof count);
    self->wait_announced = true;
    if (self->bound() && self->rx.unread() != 0) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
    }
}

arrival simulated_kernel::receive(std::uint32_t queue, std::span<const std::byte> bytes, xdp_desc& placed) noexcept {
    simulated_socket* const self = queue < by_queue_.size() ? by_queue_[queue] : nullptr;
    if (self == nullptr) { return arrival::no_socket; }
    const std::uint32_t start = xdp_packet_headroom + self->umem.headroom;
    if (bytes.size() > self->umem.chunk_size - start) {
        ++self->statistics.rx_dropped;
        return arrival::too_large;
    }
    for (;;) {
        if (self->fill.readable() == 0) {
            ++self->statistics.rx_fill_ring_empty_descs;
            ++self->statistics.rx_dropped;
            self->fill.set_needs_wakeup(true);
            return arrival::fill_ring_empty;
        }
        if (self->rx.writable() == 0) {
            ++self->statistics.rx_ring_full;
            return arrival::rx_ring_full;
        }
        const frame_addr frame = self->fill.take();
        if (frame.value < self->umem.len) {
            placed = {{(frame.value & ~std::uint64_t{self->umem.chunk_size - 1}) + start},
                      static_cast<std::uint32_t>(bytes.size()),
                      0};
            break;
        }
        ++self->statistics.rx_invalid_descs;
    }
    copy_bytes(self->at(placed.addr.value), bytes.data(), bytes.size());
    self->rx.put(placed);
    if (self->wait_announced) {
        self->wait_announced = false;
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(self->fd, &one, sizeof one);
    }
    return arrival::delivered;
}

int simulated_kernel::close(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr) { return -EBADF; }
    if (self->bound()) { self->bound_to->by_queue_[self->queue] = nullptr; }
    for (const simulated_socket::mapping& ring : self->mappings) {
        if (ring.unmapped) { ::munmap(ring.address, ring.length); }
    }
    machine_.sockets.erase(fd);
    return ::close(fd) < 0 ? -errno : 0;
}

int simulated_kernel::find_interface(const char* name, interface_info& found) {
    if (std::string_view(name) != interface_.name) { return -ENODEV; }
    found = interface_;
    return 0;
}

void simulated_kernel::pause_ms(int milliseconds) {
    // Where only one thread uses the wire nothing happens meanwhile.
    if (machine_.mutex != nullptr) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
}

}  // namespace fluxnet::detail
