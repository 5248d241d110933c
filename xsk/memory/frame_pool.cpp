// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/frame_pool.hpp"

#include <algorithm>
#include <atomic>

namespace fluxnet {
namespace {

template <class T>
std::int64_t entries_in(const ring_memory<T>& ring) noexcept {
    if (ring.producer == nullptr) { return 0; }
    // In this order the difference cannot turn negative while both sides move.
    const std::uint32_t tail = std::atomic_ref(*ring.consumer).load(std::memory_order_acquire);
    const std::uint32_t head = std::atomic_ref(*ring.producer).load(std::memory_order_acquire);
    return std::int64_t{head - tail};
}

}  // namespace

frame_pool::frame_pool(detail::umem_area& area, std::byte* base, std::uint32_t frames, std::uint32_t chunk_shift,
                       std::uint32_t headroom)
    : area_(area), base_(base), frames_(frames), chunk_shift_(chunk_shift), headroom_(headroom),
      checker_(base, chunk_shift, frames), links_(std::make_unique<std::uint32_t[]>(frames)),
      slots_(std::make_unique<std::uint32_t[]>(frames)), numbers_(std::make_unique<std::uint8_t[]>(frames)),
      lent_(std::make_unique<bool[]>(frames)), by_number_(std::make_unique<frame_home*[]>(max_homes)) {}

frame_home* frame_pool::make_home(std::uint32_t frames) {
    const std::lock_guard lock(mutex_);
    const bool none_left = frames > frames_ - assigned_ || homes_.size() == max_homes;
    for (auto home = retired_.begin(); home != retired_.end(); ++home) {
        const std::uint32_t has = (*home)->frame_count();
        if (has != frames && (has < frames || !none_left)) { continue; }
        frame_home* const found = *home;
        retired_.erase(home);
        return found;
    }
    if (none_left) { return nullptr; }
    const auto number = static_cast<std::uint32_t>(homes_.size());
    frame_home::place where;
    where.area = &area_;
    where.checker = &checker_;
    where.base = base_;
    where.links = links_.get();
    where.lent = lent_.get();
    where.free_slots = {slots_.get() + assigned_, frames};
    where.chunk_shift = chunk_shift_;
    where.headroom = headroom_;
    where.first_frame = assigned_;
    where.number = number;
    by_number_[number] = &homes_.emplace_back(where);
    retired_.reserve(homes_.size());
    std::fill_n(numbers_.get() + assigned_, frames, static_cast<std::uint8_t>(number));
    assigned_ += frames;
    return by_number_[number];
}

std::uint32_t frame_pool::largest_share() {
    const std::lock_guard lock(mutex_);
    std::uint32_t most = homes_.size() == max_homes ? 0 : frames_ - assigned_;
    for (const frame_home* home : retired_) { most = std::max(most, home->frame_count()); }
    return most;
}

void frame_pool::count_missing(std::uint32_t frames) noexcept {
    const std::lock_guard lock(mutex_);
    missing_.add(frames);
}

tx_ledger& frame_pool::make_ledger() {
    const std::lock_guard lock(mutex_);
    return ledgers_.emplace_back();
}

void frame_pool::retire(frame_home& home) noexcept {
    const std::lock_guard lock(mutex_);
    retired_.push_back(&home);
}

void frame_pool::watch(const bound_socket& bound) {
    const std::lock_guard lock(mutex_);
    bound_.push_back(bound);
}

void frame_pool::unwatch(int fd) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(bound_, [&](const bound_socket& entry) { return entry.fd == fd; });
}

frame_census frame_pool::census() {
    const std::lock_guard lock(mutex_);
    frame_census result;
    result.frames = frames_;
    result.exact = true;
    result.free = frames_ - assigned_;
    std::int64_t in_rx = 0;
    std::int64_t in_completion = 0;
    for (const bound_socket& socket : bound_) {
        in_rx += entries_in(socket.rx);
        in_completion += entries_in(socket.comp);
    }
    std::int64_t given = 0;
    std::int64_t received = 0;
    std::int64_t handed_out = 0;
    std::int64_t came_back = 0;
    for (frame_home& home : homes_) {
        const bool counting = home.begin_count();
        if (counting || home.owned_here()) {
            home.drain();
        } else {
            result.exact = false;
        }
        result.free += home.free_count();
        given += static_cast<std::int64_t>(home.given());
        received += static_cast<std::int64_t>(home.received());
        handed_out += static_cast<std::int64_t>(home.taken() + home.received());
        came_back += static_cast<std::int64_t>(home.returned());
        if (counting) { home.end_count(); }
    }
    std::int64_t submitted = 0;
    std::int64_t reaped = 0;
    for (const tx_ledger& ledger : ledgers_) {
        submitted += static_cast<std::int64_t>(ledger.submitted.get());
        reaped += static_cast<std::int64_t>(ledger.reaped.get());
    }
    result.rx = in_rx;
    result.completion = in_completion;
    result.fill = given - received - in_rx;
    result.tx = submitted - reaped - in_completion;
    result.user = handed_out - came_back - (submitted - reaped);
    return result;
}

std::int64_t frame_pool::close() noexcept {
    std::int64_t held = 0;
    for (frame_home& home : homes_) {
        held -= home.close();
        held += static_cast<std::int64_t>(home.taken() + home.received()) - static_cast<std::int64_t>(home.returned());
    }
    for (const tx_ledger& ledger : ledgers_) {
        held -= static_cast<std::int64_t>(ledger.submitted.get()) - static_cast<std::int64_t>(ledger.reaped.get());
    }
    return held;
}

}  // namespace fluxnet
