// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/tx.hpp"

#include "fluxnet/xsk/base/detail/probe.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

namespace fluxnet {
namespace {

constexpr unsigned most_interruptions = 16;  // in a row; then the kick is put off, as one without progress

constexpr std::uint32_t most_put_off = 15;

}  // namespace

tx::tx(std::shared_ptr<detail::socket_core> core, frame_home& home)
    : core_(std::move(core)), home_(&home), ledger_(&core_->memory.pool().make_ledger()), ring_(core_->tx),
      comp_(core_->comp), chains_(std::make_unique<frame_chain[]>(frame_pool::max_homes)) {
    core_->sending = home_;
    core_->ledger = ledger_;
}

tx& tx::operator=(tx&& other) noexcept {
    if (this != &other) {
        this->~tx();
        new (this) tx(std::move(other));
    }
    return *this;
}

tx::~tx() {
    if (core_ != nullptr) { home_->release(); }
}

std::uint32_t tx::allocate(std::span<packet> into) noexcept {
    if (!home_->adopt()) { return 0; }
    std::uint32_t count = 0;
    for (packet& slot : into) {
        const auto frame = home_->take();
        if (!frame) { break; }
        slot = packet::from_raw(*home_, {home_->addr_of(home_->at(*frame) + home_->headroom()), 0, 0});
        ++count;
    }
    return count;
}

std::error_code tx::refusal(const packet& candidate) const noexcept {
    if (failure_) { return failure_; }
    if (candidate.home() == nullptr) { return errc::foreign_packet; }
    if (!core_->memory.owns(*candidate.home())) {
        if (!copy_foreign_ || home_->frame_count() == 0) { return errc::foreign_packet; }
        if (candidate.size() > home_->frame_size()) { return errc::packet_too_large; }
    }
    if (candidate.size() < min_packet) { return errc::packet_too_small; }
    return {};
}

std::uint32_t tx::credit() noexcept {
    return std::min(comp_.size() - in_flight_, ring_.available());
}

std::uint32_t tx::try_send(std::span<packet> packets) noexcept {
    if (!home_->adopt()) { return 0; }
    const std::uint32_t allowed = std::min(static_cast<std::uint32_t>(packets.size()), comp_.size() - in_flight_);
    if (in_flight_ == comp_.size()) { detail::probe<"tx: completion ring full">(); }
    auto slots = ring_.reserve(allowed);
    for (packet& next : packets.first(slots.capacity())) {
        if (refusal(next)) [[unlikely]] {
            detail::probe<"tx: packet refused">();
            break;
        }
        if (copy_foreign_ && !core_->memory.owns(*next.home()) && !bring_home(next)) { break; }
        frame_home& home = *next.home();
        const xdp_desc desc = std::move(next).into_raw();
        home.submitted(home.index_of(desc.addr));
        slots.push(desc);
    }
    return count_submitted(slots.written());
}

bool tx::bring_home(packet& foreign) noexcept {
    const auto frame = home_->take();
    if (!frame) {
        detail::probe<"tx: no frame to copy into">();
        return false;
    }
    detail::probe<"tx: packet of another UMEM copied">();
    // A long packet begins earlier in its frame: it needs no room for another header.
    const std::size_t start = std::min<std::size_t>(home_->headroom(), home_->frame_size() - foreign.size());
    packet copy = packet::from_raw(*home_, {home_->addr_of(home_->at(*frame) + start), 0, 0});
    [[maybe_unused]] const bool fits = copy.assign(foreign.data());
    assert(fits);
    foreign = std::move(copy);
    return true;
}

std::uint32_t tx::try_send(frame_home& home, std::span<const xdp_desc> packets) noexcept {
    if (!home_->adopt() || failure_) { return 0; }
    auto slots = ring_.reserve(std::min(static_cast<std::uint32_t>(packets.size()), comp_.size() - in_flight_));
    for (const xdp_desc& next : packets.first(slots.capacity())) {
        home.submitted(home.index_of(next.addr));
        slots.push(next);
    }
    return count_submitted(slots.written());
}

std::uint32_t tx::count_submitted(std::uint32_t packets) noexcept {
    in_flight_ += packets;
    ledger_->submitted.add(packets);
    return packets;
}

std::uint32_t tx::reap() noexcept {
    if (in_flight_ == 0) { return 0; }
    frame_pool& pool = core_->memory.pool();
    std::array<std::uint8_t, frame_pool::max_homes> touched;
    std::uint32_t homes = 0;
    std::uint32_t reaped = 0;
    std::uint32_t lost = 0;  // completions that are no frame of ours: as many of ours stay with the kernel
    {
        auto claim = comp_.consume();
        for (const std::uint32_t count = claim.size(); reaped < count; ++reaped) {
            const frame_addr addr = claim.next();
            if (!core_->memory.contains(addr, 0)) [[unlikely]] {
                detail::probe<"tx: completion outside the UMEM">();
                fail(errc::ring_corruption);
                ++lost;
                continue;
            }
            const frame_index frame = home_->index_of(addr);
            frame_home& home = pool.home_of(frame);
            if (!home.completed(frame)) [[unlikely]] {
                detail::probe<"tx: completion of a frame that was not sent">();
                fail(errc::ring_corruption);
                ++lost;
                continue;
            }
            frame_chain& chain = chains_[home.number()];
            if (chain.count == 0) {
                touched[homes++] = static_cast<std::uint8_t>(home.number());
                chain.last = frame.value;
            } else {
                home.links()[frame.value] = chain.first + 1;  // a link is a frame's number plus one; 0 ends the chain
            }
            chain.first = frame.value;
            ++chain.count;
        }
    }
    if (comp_.corrupt() || reaped > in_flight_) [[unlikely]] {
        detail::probe<"tx: index of the completion ring that cannot be">();
        fail(errc::ring_corruption);
        in_flight_ = std::max(in_flight_, reaped);
    }
    in_flight_ -= reaped;
    ledger_->reaped.add(reaped - lost);
    for (std::uint32_t i = 0; i < homes; ++i) { pool.home(touched[i]).give_back(std::exchange(chains_[touched[i]], {})); }
    return reaped;
}

std::error_code tx::flush() noexcept {
    unsigned interruptions = 0;  // in a row
    if (put_off_left_ != 0) [[unlikely]] {
        --put_off_left_;
        reap();
        return failure_;
    }
    for (;;) {
        reap();
        const std::uint32_t before = ring_.pending();
        if (ring_.corrupt()) [[unlikely]] {
            detail::probe<"tx: index that cannot be">();
            fail(errc::ring_corruption);
        }
        if (before == 0) { link_down_ = false; }
        if (failure_ || before == 0 || (core_->need_wakeup && !ring_.needs_wakeup())) { break; }
        const int answer = core_->calls.kick_tx(core_->fd);
        if (after_kick(answer, before) == kick_step::stop) { break; }
        interruptions = answer == -EINTR ? interruptions + 1 : 0;
        if (interruptions == most_interruptions) {
            detail::probe<"tx: kick interrupted for too long">();
            break;
        }
    }
    reap();
    return failure_;
}

std::error_code tx::check() noexcept {
    if (!failure_) { failure_ = detail::why_ended(*core_, false); }
    return failure_;
}

std::error_code tx::finish_within(std::chrono::milliseconds limit) noexcept {
    for (std::chrono::milliseconds waited{0};; ++waited) {
        flush();
        if (in_flight_ == 0) { return {}; }
        if (failure_) { return failure_; }
        if (waited >= limit) { return link_down_ ? errc::link_down : errc::completions_missing; }
        detail::probe<"tx: drain waits">();
        core_->calls.pause_ms(1);
    }
}

tx::kick_step tx::after_kick(int answer, std::uint32_t before) noexcept {
    // A kick that ends early may leave the kernel's index of the ring unpublished (EBUSY for its first packet; before Linux
    // 6.17 also EAGAIN at its budget). Completions tell of its progress then.
    bool progress = ring_.pending() < before;
    if (!progress && (answer == -EBUSY || answer == -EAGAIN)) {
        detail::probe<"tx: kick that may hide its progress">();
        progress = reap() != 0;
    }
    if (answer == -EAGAIN) { detail::probe<"tx: kick answered EAGAIN">(); }
    if (answer == -EBUSY) { detail::probe<"tx: kick answered EBUSY">(); }
    // EBUSY with progress: the packet at the head was dropped and completed; the rest still waits.
    if (answer == -EBUSY && progress) { ++dropped_by_kernel_; }
    const std::error_code refused = classify_kick(answer);
    link_down_ = refused == errc::link_down;
    if (link_down_) {
        detail::probe<"tx: link down">();
        return kick_step::stop;
    }
    if (refused == errc::interface_gone) {
        detail::probe<"tx: kick finds the interface gone">();
        fail(refused);
        return kick_step::stop;
    }
    if (refused) [[unlikely]] {
        // A driver in a reset answers what it likes; whether the device is gone is for ENXIO and ENODEV to say.
        ++failed_kicks_;
        last_kick_errno_ = -answer;
        put_off_left_ = put_off_;
        put_off_ = std::min(2 * put_off_ + 1, most_put_off);
        return kick_step::stop;
    }
    put_off_ = 0;
    return progress || answer == -EINTR ? kick_step::again : kick_step::stop;
}

}  // namespace fluxnet
