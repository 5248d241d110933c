// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/detail/simulated_device.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include "fluxnet/xsk/base/detail/probe.hpp"
#include "fluxnet/xsk/detail/copy_bytes.hpp"

namespace fluxnet::detail {
namespace {

constexpr std::uint32_t xdp_packet_headroom = 256;
constexpr std::uint32_t default_tx_budget = 32;
constexpr auto never = std::chrono::nanoseconds::max();

}  // namespace

simulated_device::simulated_device(const simulated_interface& interface, sender send, simulated_driver::waker awake)
    : interface_(interface.info), zero_copy_(interface.zero_copy), hides_progress_(interface.hides_progress),
      outgoing_(interface.outgoing), now_(interface.now), chance_(interface.seed), send_(std::move(send)), awake_(awake),
      driver_(
          interface.temper, [this](simulated_socket& from, const xdp_desc& desc) { send_one(from, desc); },
          [this](simulated_socket& from, frame_addr sent) { complete(from, sent); }, std::move(awake)),
      by_queue_(interface_.queues, nullptr), staging_(4096) {}

int simulated_device::bind(simulated_socket& self, const bind_request& where) {
    if (self.umem.len == 0 || self.spoilt || !self.has_umem_rings()) { return -EINVAL; }
    if (const int r = judge_bind(self, where); r < 0) {
        self.spoilt = true;
        return r;
    }
    self.zero_copy = (where.flags & XDP_COPY) == 0 && zero_copy_possible(self, where) == 0;
    self.need_wakeup = (where.flags & XDP_USE_NEED_WAKEUP) != 0;
    take(self, where.queue);
    return 0;
}

int simulated_device::judge_bind(const simulated_socket& self, const bind_request& where) const noexcept {
    const bool forced = (where.flags & XDP_ZEROCOPY) != 0;
    if (forced && (where.flags & XDP_COPY) != 0) { return -EINVAL; }
    if (const int r = vacant(where.queue); r < 0) { return r; }
    return forced ? zero_copy_possible(self, where) : 0;
}

int simulated_device::bind_shared(simulated_socket& self, std::uint32_t queue, const simulated_socket& other) {
    // On the other's own queue the kernel lets a socket without fill and completion ring use the other's. Not here.
    if (other.bound_to == this && other.queue == queue) {
        return self.has(simulated_socket::fill_ring) || self.has(simulated_socket::completion_ring) ? -EINVAL : -EBUSY;
    }
    if (!self.has_umem_rings()) { return -EINVAL; }
    if (const int r = vacant(queue); r < 0) { return r; }
    self.umem = other.umem;
    self.zero_copy = other.zero_copy;
    self.need_wakeup = other.need_wakeup;
    take(self, queue);
    return 0;
}

void simulated_device::take(simulated_socket& self, std::uint32_t queue) {
    self.bound_to = this;
    self.queue = queue;
    by_queue_[queue] = &self;
    if (self.filter) { filter_ = std::exchange(self.filter, std::nullopt); }
    self.late.reserve(self.comp.writable());
    if (self.zero_copy) { driver_.start(self); }
}

void simulated_device::unbind(simulated_socket& self) noexcept {
    by_queue_[self.queue] = nullptr;
    self.bound_to = nullptr;
    if (std::ranges::count(by_queue_, nullptr) == std::ssize(by_queue_)) { filter_.reset(); }
}

/// Tells whether a queue can be had, as 0 or a negated errno.
int simulated_device::vacant(std::uint32_t queue) const noexcept {
    if (queue >= by_queue_.size()) { return -EINVAL; }
    return by_queue_[queue] != nullptr ? -EBUSY : 0;
}

/// Tells whether the driver takes the socket in zero-copy mode, as 0 or a negated errno.
int simulated_device::zero_copy_possible(const simulated_socket& self, const bind_request& where) const noexcept {
    if (!zero_copy_ || (where.flags & xdp_use_sg) != 0) { return -EOPNOTSUPP; }
    constexpr std::uint32_t framing = 26;  // Ethernet header, two VLAN tags and the checksum
    const std::uint32_t room = (self.umem.chunk_size - xdp_packet_headroom - self.umem.headroom) & ~127U;
    return interface_.mtu + framing > room ? -EINVAL : 0;
}

void simulated_device::set_link(wire_link state) noexcept {
    link_ = state;
    interface_.up = state == wire_link::up;
}

int simulated_device::link_failure() const noexcept {
    switch (link_) {
        case wire_link::up: return 0;
        case wire_link::down: return -ENETDOWN;
        case wire_link::gone: break;
    }
    return -ENXIO;
}

int simulated_device::kick_tx(simulated_socket& self) {
    if (const int failure = link_failure(); failure < 0) { return failure; }
    if (!self.zero_copy) { return transmit(self); }
    driver_.kick_tx(self);
    return 0;
}

/// One pass of copy mode over the TX ring. It ends at an invalid descriptor and at a packet that the interface does not
/// send; both are completed. User space sees in the TX ring how far the pass has come when it has sent something or has
/// found the ring empty.
int simulated_device::transmit(simulated_socket& self) {
    if (!self.has(simulated_socket::tx_ring)) { return -ENOBUFS; }
    bool sent = false;
    int answer = 0;
    for (std::uint32_t budget = self.tx_budget != 0 ? self.tx_budget : default_tx_budget;; --budget) {
        if (self.tx.readable() == 0) {
            if (!sent) { ++self.statistics.tx_ring_empty_descs; }
            self.tx.show_taken();
            return 0;
        }
        if (budget == 0 || self.completion_room() == 0) {
            answer = -EAGAIN;
            break;
        }
        const xdp_desc desc = self.tx.take_unseen();
        if (!self.valid(desc)) {
            ++self.statistics.tx_invalid_descs;
            self.comp.put(desc.addr);
            break;
        }
        if (!send_one(self, desc)) {
            self.comp.put(desc.addr);
            answer = -EBUSY;
            break;
        }
        complete(self, desc.addr);
        sent = true;
    }
    if (sent && !hides_progress_) { self.tx.show_taken(); }
    return answer;
}

bool simulated_device::send_one(simulated_socket& from, const xdp_desc& desc) {
    if (link_ != wire_link::up) { return false; }
    copy_bytes(staging_.data(), from.at(desc.addr.value), desc.len);
    return send_(std::span<const std::byte>(staging_).first(desc.len));
}

int simulated_device::kick_rx(simulated_socket& self) {
    if (const int failure = link_failure(); failure < 0) { return failure; }
    if (self.zero_copy) { driver_.kick_rx(self); }
    return 0;
}

arrival simulated_device::receive(std::uint32_t queue, std::span<const std::byte> bytes, xdp_desc& placed) noexcept {
    simulated_socket* const self = queue < by_queue_.size() ? by_queue_[queue] : nullptr;
    if (self == nullptr || link_ != wire_link::up) { return arrival::no_socket; }
    if (filter_ && filter_->judge(bytes).verdict != filter_verdict::redirect) { return arrival::filtered; }
    const std::uint32_t start = xdp_packet_headroom + self->umem.headroom;
    if (bytes.size() > self->umem.chunk_size - start) {
        ++self->statistics.rx_dropped;
        return arrival::too_large;
    }
    if (self->starved) {
        probe<"device: packet for a starved driver">();
        return arrival::fill_ring_empty;
    }
    const std::optional<frame_addr> frame = next_frame(*self);
    if (!frame) {
        find_no_frame(*self);
        return arrival::fill_ring_empty;
    }
    if (self->rx.writable() == 0) {
        ++self->statistics.rx_ring_full;
        self->spare = frame;
        return arrival::rx_ring_full;
    }
    self->spare.reset();
    placed = {{frame->value + start}, static_cast<std::uint32_t>(bytes.size()), 0};
    copy_bytes(self->at(placed.addr.value), bytes.data(), bytes.size());
    self->rx.put(placed);
    if (self->wait_announced) {
        self->wait_announced = false;
        self->signal();
    }
    return arrival::delivered;
}

/// The beginning of the frame for the next packet.
std::optional<frame_addr> simulated_device::next_frame(simulated_socket& of) noexcept {
    if (of.spare) { return of.spare; }
    while (of.fill.readable() != 0) {
        const frame_addr frame = of.fill.take();
        if (frame.value < of.umem.len) { return frame_addr{frame.value & ~std::uint64_t{of.umem.chunk_size - 1}}; }
        ++of.statistics.rx_invalid_descs;
    }
    return std::nullopt;
}

void simulated_device::find_no_frame(simulated_socket& of) noexcept {
    ++of.statistics.rx_fill_ring_empty_descs;
    if (of.zero_copy) {
        driver_.starve(of);  // the device drops the packet before anybody counts it
        return;
    }
    ++of.statistics.rx_dropped;
}

/// Gives the frame of a packet that was sent back, now or later.
void simulated_device::complete(simulated_socket& of, frame_addr sent) noexcept {
    const auto now = *now_;
    auto due = chance_.happens(outgoing_.withheld) ? later(now, outgoing_.withheld_for) : now;
    if (!of.late.empty()) { due = std::max(due, of.late.back().due); }
    if (holds_ || due >= outgoing_.completions_end) { due = never; }
    if (due <= now) {
        of.comp.put(sent);
    } else {
        probe<"device: completion withheld">();
        of.late.push_back({sent, due});
        if (due != never) { awake_(); }
    }
}

std::uint32_t simulated_device::release_completions(simulated_socket& of, std::uint32_t count) noexcept {
    const auto end = of.late.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(count, of.late.size()));
    const auto released = static_cast<std::uint32_t>(end - of.late.begin());
    std::for_each(of.late.begin(), end, [&](const auto& each) { of.comp.put(each.addr); });
    of.late.erase(of.late.begin(), end);
    return released;
}

void simulated_device::complete_late() noexcept {
    for (simulated_socket* const self : by_queue_) {
        if (self == nullptr || self->late.empty()) { continue; }
        const auto rest = std::ranges::find_if(self->late, [&](const auto& each) { return each.due > *now_; });
        std::for_each(self->late.begin(), rest, [&](const auto& each) { self->comp.put(each.addr); });
        self->late.erase(self->late.begin(), rest);
    }
}

std::optional<std::chrono::nanoseconds> simulated_device::next_completion() const noexcept {
    auto next = never;
    for (const simulated_socket* const self : by_queue_) {
        if (self != nullptr && !self->late.empty()) { next = std::min(next, self->late.front().due); }
    }
    return next == never ? std::nullopt : std::optional(next);
}

bool simulated_device::poll_drivers() {
    for (simulated_socket* const self : by_queue_) {
        if (self != nullptr && self->driver_awake) { driver_.poll(*self); }
    }
    return awake();
}

void simulated_device::raise_flags() noexcept {
    for (simulated_socket* const self : by_queue_) {
        if (self != nullptr) { simulated_driver::raise_owed_flag(*self); }
    }
}

bool simulated_device::awake() const noexcept {
    return std::ranges::any_of(
        by_queue_, [](const auto* socket) { return socket != nullptr && (socket->driver_awake || socket->owes_flag); });
}

}  // namespace fluxnet::detail
