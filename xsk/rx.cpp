// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/rx.hpp"

#include <algorithm>
#include <utility>

namespace fluxnet {

rx::rx(std::shared_ptr<detail::socket_core> core, frame_home& home) noexcept
    : core_(std::move(core)), home_(&home), ring_(core_->rx), fill_(core_->fill),
      low_water_(std::max(1U, std::min(home.frame_count(), fill_.size()) / 4)) {}

rx& rx::operator=(rx&& other) noexcept {
    if (this != &other) {
        this->~rx();
        new (this) rx(std::move(other));
    }
    return *this;
}

rx::~rx() {
    if (core_ != nullptr) { home_->release(); }
}

std::uint32_t rx::try_recv(std::span<packet> into) noexcept {
    if (!home_->adopt()) { return 0; }
    home_->drain();
    if (home_->free_count() >= refill_batch) { refill(); }
    if (failure_) [[unlikely]] { return 0; }
    auto claim = ring_.consume(static_cast<std::uint32_t>(into.size()));
    const std::uint32_t count = claim.size();
    std::uint32_t received = 0;
    for (; received < count; ++received) {
        const xdp_desc desc = claim.next();
        const frame_index frame = home_->index_of(desc.addr);
        if (!core_->memory.contains(desc.addr, desc.len) || !home_->owns(frame) || !home_->received(frame)) [[unlikely]] {
            fail(errc::ring_corruption);
            break;
        }
        into[received] = packet::from_raw(*home_, desc);
    }
    home_->count_received(received);
    // With the ring dry every free frame counts: a loop that only receives must not run the kernel out of them.
    if (count == 0 && home_->free_count() != 0) { refill(); }
    if (ring_.corrupt()) [[unlikely]] { fail(errc::ring_corruption); }
    return received;
}

void rx::refill() noexcept {
    if (!home_->adopt()) { return; }
    home_->drain();
    if (home_->refill(fill_) != 0 && fill_.needs_wakeup()) {
        if (const std::error_code refused = classify_kick(core_->calls.kick_rx(core_->fd));
            refused == errc::interface_gone) {
            fail(refused);
        }
    }
    if (fill_.corrupt()) [[unlikely]] { fail(errc::ring_corruption); }
}

std::error_code rx::take_socket_error() noexcept {
    return classify_kick(-core_->calls.take_socket_error(core_->fd));
}

}  // namespace fluxnet
