// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/detail/simulated_kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::uint32_t xdp_packet_headroom = 256;

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

simulated_kernel::simulated_kernel(const simulated_interface& interface, simulated_machine& machine, sender send,
                                   simulated_driver::waker awake)
    : interface_(interface.info), zero_copy_(interface.zero_copy), machine_(machine), send_(std::move(send)),
      driver_([this](simulated_socket& from, const xdp_desc& desc) { send_one(from, desc); }, std::move(awake)),
      by_queue_(interface_.queues, nullptr), staging_(4096) {}

int simulated_kernel::open_socket() {
    const auto lock = machine_.lock();
    return machine_.open_socket();
}

int simulated_kernel::set_option(int fd, int name, const void* value, std::uint32_t size) {
    const auto lock = machine_.lock();
    return machine_.set_option(fd, name, value, size);
}

int simulated_kernel::get_option(int fd, int name, void* value, std::uint32_t* size) {
    const auto lock = machine_.lock();
    return machine_.get_option(fd, name, value, size);
}

int simulated_kernel::take_socket_error(int) {
    return 0;
}

void* simulated_kernel::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    const auto lock = machine_.lock();
    return machine_.map_ring(fd, length, offset, failure);
}

void simulated_kernel::unmap_ring(void* address, std::size_t length) {
    const auto lock = machine_.lock();
    machine_.unmap_ring(address, length);
}

int simulated_kernel::bind(int fd, const bind_request& where) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr) { return -EBADF; }
    constexpr int known = XDP_SHARED_UMEM | XDP_COPY | XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP | xdp_use_sg;
    if ((where.flags & ~known) != 0) { return -EINVAL; }
    if (self->bound()) { return -EBUSY; }
    if (where.interface_index != interface_.index) { return -ENODEV; }
    if (!self->has(simulated_socket::rx_ring) && !self->has(simulated_socket::tx_ring)) { return -EINVAL; }
    const bool shared = (where.flags & XDP_SHARED_UMEM) != 0;
    if (const int r = shared ? bind_shared(*self, where) : bind_alone(*self, where); r < 0) { return r; }
    self->bound_to = this;
    self->queue = where.queue;
    by_queue_[where.queue] = self;
    if (self->zero_copy) { driver_.start(*self); }
    return 0;
}

/// Tells whether a queue can be had, as 0 or a negated errno.
int simulated_kernel::vacant(std::uint32_t queue) const noexcept {
    if (queue >= by_queue_.size()) { return -EINVAL; }
    return by_queue_[queue] != nullptr ? -EBUSY : 0;
}

/// A socket with a UMEM of its own.
int simulated_kernel::bind_alone(simulated_socket& self, const bind_request& where) const noexcept {
    if (self.umem.len == 0 || !self.has_umem_rings()) { return -EINVAL; }
    const bool forced = (where.flags & XDP_ZEROCOPY) != 0;
    if (forced && (where.flags & XDP_COPY) != 0) { return -EINVAL; }
    if (const int r = vacant(where.queue); r < 0) { return r; }
    int zero_copy = (where.flags & XDP_COPY) != 0 ? -EOPNOTSUPP : zero_copy_possible(self, where);
    if (forced && zero_copy < 0) { return zero_copy; }
    self.zero_copy = zero_copy == 0;
    self.need_wakeup = (where.flags & XDP_USE_NEED_WAKEUP) != 0;
    return 0;
}

/// Whether the interface's driver takes the socket in zero-copy mode, as 0 or a negated errno.
int simulated_kernel::zero_copy_possible(const simulated_socket& self, const bind_request& where) const noexcept {
    if (!zero_copy_ || (where.flags & xdp_use_sg) != 0) { return -EOPNOTSUPP; }
    constexpr std::uint32_t framing = 26;  // Ethernet header, two VLAN tags and the checksum
    const std::uint32_t room = (self.umem.chunk_size - xdp_packet_headroom - self.umem.headroom) & ~127U;
    return interface_.mtu + framing > room ? -EINVAL : 0;
}

/// A socket on the UMEM of another one, with the other's bind flags.
int simulated_kernel::bind_shared(simulated_socket& self, const bind_request& where) noexcept {
    if ((where.flags & ~XDP_SHARED_UMEM) != 0 || self.umem.len != 0) { return -EINVAL; }
    const simulated_socket* const other = machine_.find(where.shared_umem_fd);
    if (other == nullptr) { return -ENOTSOCK; }
    if (!other->bound()) { return -EBADF; }
    // On the other's own queue the kernel lets a socket without fill and completion ring use the other's. Not here.
    if (other->bound_to == this && other->queue == where.queue) { return self.has_umem_rings() ? -EINVAL : -EBUSY; }
    if (!self.has_umem_rings()) { return -EINVAL; }
    if (const int r = vacant(where.queue); r < 0) { return r; }
    self.umem = other->umem;
    self.zero_copy = other->zero_copy;
    self.need_wakeup = other->need_wakeup;
    return 0;
}

int simulated_kernel::kick_tx(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self == nullptr || !self->bound()) { return -ENXIO; }
    if (self->zero_copy) { return driver_.kick_tx(*self), 0; }
    if (self->tx.readable() == 0) {
        if (!self->has(simulated_socket::tx_ring)) { return -ENOBUFS; }
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
    if (self->zero_copy) {
        driver_.kick_rx(*self);
    } else {
        self->fill.set_needs_wakeup(false);
    }
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
    if (self->starved) { return arrival::fill_ring_empty; }
    for (;;) {
        if (self->fill.readable() == 0) {
            find_no_frame(*self);
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

void simulated_kernel::find_no_frame(simulated_socket& of) noexcept {
    ++of.statistics.rx_fill_ring_empty_descs;
    if (of.zero_copy) {
        simulated_driver::starve(of);  // the device drops the packet before anybody counts it
        return;
    }
    ++of.statistics.rx_dropped;
    if (of.need_wakeup) { of.fill.set_needs_wakeup(true); }
}

bool simulated_kernel::poll_drivers() {
    for (simulated_socket* const self : by_queue_) {
        if (self != nullptr && self->driver_awake) { driver_.poll(*self); }
    }
    return awake();
}

bool simulated_kernel::awake() const noexcept {
    return std::ranges::any_of(by_queue_, [](const auto* socket) { return socket != nullptr && socket->driver_awake; });
}

int simulated_kernel::close(int fd) {
    const auto lock = machine_.lock();
    simulated_socket* const self = machine_.find(fd);
    if (self != nullptr && self->bound()) { self->bound_to->by_queue_[self->queue] = nullptr; }
    return machine_.close(fd);
}

int simulated_kernel::find_interface(const char* name, interface_info& found) {
    if (std::string_view(name) != interface_.name) { return -ENODEV; }
    found = interface_;
    return 0;
}

void simulated_kernel::pause_ms(int milliseconds) {
    if (machine_.threaded()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    } else {
        poll_drivers();  // all that can happen meanwhile where only one thread uses the wire
    }
}

}  // namespace fluxnet::detail
