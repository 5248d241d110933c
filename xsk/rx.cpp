// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/rx.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace fluxnet {

struct rx::wake_event {
    wake_event() noexcept : fd(detail::above_streams(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {}
    wake_event(const wake_event&) = delete;
    wake_event& operator=(const wake_event&) = delete;
    ~wake_event() { ::close(fd); }

    static void signal(void* context) noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(static_cast<wake_event*>(context)->fd, &one, sizeof one);
    }
    void clear() noexcept {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto taken = ::read(fd, &count, sizeof count);
    }

    int fd;  // -1 when there was none to be had: then only packets end a wait
};

rx::rx(std::shared_ptr<detail::socket_core> core, frame_home& home) noexcept
    : core_(std::move(core)), home_(&home), ring_(core_->rx), fill_(core_->fill),
      low_water_(std::max(1U, std::min(home.frame_count(), fill_.size()) / 4)) {
    core_->receiving = home_;
}

rx& rx::operator=(rx&& other) noexcept {
    if (this != &other) {
        this->~rx();
        new (this) rx(std::move(other));
    }
    return *this;
}

rx::rx(rx&&) noexcept = default;

rx::~rx() {
    if (core_ == nullptr) { return; }
    home_->release();
    if (wake_ != nullptr) { home_->set_waker({}); }  // waits for a thread that is about to use it
}

std::uint32_t rx::try_recv(std::span<packet> into) noexcept {
    if (!home_->adopt()) { return 0; }
    home_->drain();
    if (home_->free_count() >= refill_batch) { refill(); }
    if (failure_) [[unlikely]] { return 0; }
    const auto next = ring_.readable(static_cast<std::uint32_t>(into.size()));
    std::uint32_t received = 0;
    if (next.size() >= recycle_batch && into.front().home_ == home_) {
        const auto slots = fill_.writable(static_cast<std::uint32_t>(next.size()));
        const auto descs = next.first(slots.size());
        frame_home& home = *home_;
        received = home.frames().begin == 0 ? exchange<true>(home, descs, into.data(), slots.data())
                                            : exchange<false>(home, descs, into.data(), slots.data());
        if (received != 0) {
            ring_.release(received);
            fill_.publish(received);
            home.count_received(received);
            home.count_lent_again(received);
            wake_fill();
        }
    }
    return received == into.size() ? received : received + accept_all(into.subspan(received));
}

template <bool from_zero>
[[gnu::always_inline]] inline bool rx::exchange_one(const home_frames& ours, const frame_home& home, const xdp_desc& desc,
                                                    packet& handle, frame_addr& slot) noexcept {
    if (handle.home_ != &home) [[unlikely]] {
        detail::probe<"rx: exchange meets a handle of others">();
        return false;
    }
    const frame_addr addr = desc.addr;
    const std::uint32_t length = desc.len;
    if (!ours.holds<from_zero>(addr, length)) [[unlikely]] { return false; }
    const std::uint64_t frame = ours.number_of(addr);
    if (!ours.received(frame)) [[unlikely]] { return false; }
    ours.lend(handle.frame_);
    slot = ours.addr_of(handle.frame_);
    handle.data_ = ours.base + addr.value;
    handle.size_ = length;
    handle.frame_ = {static_cast<std::uint32_t>(frame)};
    return true;
}

// Apart from its caller, so that what the loop needs has all registers.
template <bool from_zero>
[[gnu::noinline]] std::uint32_t rx::exchange(const frame_home& home, std::span<const xdp_desc> next, packet* handles,
                                             frame_addr* slots) noexcept {
    constexpr std::size_t group = 8;  // whose places are constants: no index is counted for each packet
    const home_frames ours = home.frames();
    const xdp_desc* desc = next.data();
    const xdp_desc* const end = desc + next.size();
    const xdp_desc* const last_group = end - next.size() % group;
    for (; desc != last_group; desc += group, handles += group, slots += group) {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < group; ++i) {
            if (!exchange_one<from_zero>(ours, home, desc[i], handles[i], slots[i])) [[unlikely]] {
                return static_cast<std::uint32_t>(desc - next.data()) + static_cast<std::uint32_t>(i);
            }
        }
    }
    while (desc != end && exchange_one<from_zero>(ours, home, *desc, *handles, *slots)) { ++desc, ++handles, ++slots; }
    return static_cast<std::uint32_t>(desc - next.data());
}

std::uint32_t rx::accept_all(std::span<packet> into) noexcept {
    std::uint32_t received = 0;
    while (received < into.size() && !failure_) {
        const auto next = ring_.readable(static_cast<std::uint32_t>(into.size() - received));
        if (next.empty()) { break; }
        received += accept(next, into.data() + received);
    }
    // With the ring dry every free frame counts: a loop that only receives must not run the kernel out of them.
    if (received == 0) {
        if (home_->free_count() != 0) { refill(); }
        look_at_fill();
    }
    if (ring_.corrupt()) [[unlikely]] { fail(errc::ring_corruption); }
    return received;
}

std::uint32_t rx::accept(std::span<const xdp_desc> next, packet* handle) noexcept {
    const home_frames ours = home_->frames();
    std::uint32_t count = 0;
    for (const xdp_desc& desc : next) {
        if (!ours.holds(desc.addr, desc.len) || !ours.received(ours.number_of(desc.addr))) [[unlikely]] {
            detail::probe<"rx: descriptor that cannot be">();
            fail(errc::ring_corruption);
            ring_.release(1);
            break;
        }
        if (handle->home_ != nullptr) [[unlikely]] { handle->drop(); }
        handle->data_ = ours.base + desc.addr.value;
        handle->home_ = home_;
        handle->size_ = desc.len;
        handle->frame_ = ours.index_of(desc.addr);
        ++handle;
        ++count;
    }
    ring_.release(count);
    home_->count_received(count);
    return count;
}

void rx::recycle(std::span<packet> packets) noexcept {
    if (packets.size() >= recycle_batch && home_->adopt()) {
        const home_frames ours = home_->frames();
        const auto slots = fill_.writable(static_cast<std::uint32_t>(packets.size()));
        std::uint32_t lent = 0;
        for (packet& one : packets.first(slots.size())) {
            if (one.home_ != home_) {
                one.reset();
                continue;
            }
            ours.lend(one.frame_);
            slots[lent++] = ours.addr_of(one.frame_);
            one.home_ = nullptr;
            one.size_ = 0;
        }
        if (lent != 0) {
            fill_.publish(lent);
            home_->count_lent_again(lent);
            wake_fill();
        }
        packets = packets.subspan(slots.size());
    }
    reset(packets);
}

void rx::refill_slowly() noexcept {
    if (!home_->adopt()) { return; }
    home_->drain();
    if (home_->refill(fill_) != 0) { wake_fill(); }
    if (fill_.corrupt()) [[unlikely]] {
        detail::probe<"rx: index of the fill ring that cannot be">();
        fail(errc::ring_corruption);
    }
}

void rx::kick_fill() noexcept {
    const std::error_code refused = classify_kick(core_->calls.kick_rx(core_->fd));
    detail::probe<"rx: fill ring kicked">();
    if (refused == errc::interface_gone) { fail(refused); }
}

bool rx::wait_for(std::chrono::nanoseconds timeout) {
    if (!home_->adopt()) { return false; }
    if (wake_ == nullptr) {
        wake_ = std::make_unique<wake_event>();
        home_->set_waker({&wake_event::signal, wake_.get()});
    }
    using clock = std::chrono::steady_clock;
    const clock::time_point start = clock::now();
    const clock::time_point deadline = detail::time_after(start, timeout);
    for (;;) {
        refill();
        if (failure_ || available() != 0) { return true; }
        const auto left = std::chrono::nanoseconds(deadline - clock::now());
        if (left.count() <= 0) {
            return static_cast<bool>(check());  // no ppoll tells
        }
        while (low_on_frames() && !home_->publish_hungry()) { refill(); }
        wake_if_needed();
        if (failure_) {
            home_->withdraw_hungry();
            return true;
        }
        prepare_wait();
        const int ready = core_->calls.wait_input(core_->fd, wake_->fd, left.count());
        home_->withdraw_hungry();
        if (ready < 0 && ready != -EINTR) { fail(errc::system_failure); }
        if (ready > 0 && (ready & kernel::wake_ready) != 0) { wake_->clear(); }
        if (ready > 0 && (ready & kernel::fd_error) != 0) { take_socket_error(); }
    }
}

std::error_code rx::check() noexcept {
    if (!failure_) { failure_ = detail::why_ended(*core_, true); }
    return failure_;
}

std::error_code rx::take_socket_error() noexcept {
    return classify_kick(-core_->calls.take_socket_error(core_->fd));
}

}  // namespace fluxnet
