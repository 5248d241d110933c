// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace fluxnet::proto::tcp {

std::uint64_t timer_wheel::tick_of(time_point deadline) const noexcept {
    const std::uint64_t since = since_start(deadline);
    const bool within_a_tick = since % (1U << tick_bits) != 0;
    return (since >> tick_bits) + (within_a_tick ? 1 : 0);
}

timer_wheel::time_point timer_wheel::time_of(std::uint64_t ticks) const noexcept {
    // A deadline in the last tick of the clock would be rounded up to a moment beyond its end.
    const auto start = static_cast<std::uint64_t>(start_.time_since_epoch().count());
    const auto end = static_cast<std::uint64_t>(time_point::max().time_since_epoch().count());
    if (ticks > (end - start) >> tick_bits) { return time_point::max(); }
    return time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(start + (ticks << tick_bits))));
}

unsigned timer_wheel::level_of(std::uint64_t ticks) const noexcept {
    const std::uint64_t differing = (ticks ^ current_) | 1U;  // the lowest bit is level 0's in any case
    return static_cast<unsigned>(std::bit_width(differing) - 1) / digit_bits;
}

unsigned timer_wheel::slot_of(std::uint64_t ticks, unsigned level) noexcept {
    return static_cast<unsigned>(ticks >> (level * digit_bits)) % slots;
}

std::uint64_t timer_wheel::start_of(unsigned level, unsigned slot) const noexcept {
    const unsigned shift = level * digit_bits;
    const std::uint64_t above = current_ >> shift >> digit_bits << digit_bits;
    return (above | slot) << shift;
}

void timer_wheel::place(timer_node& node) noexcept {
    const unsigned level = level_of(node.tick_);
    const unsigned slot = slot_of(node.tick_, level);
    timer_node*& head = heads_[level][slot];
    node.next_ = head;
    if (head != nullptr) { head->link_ = &node.next_; }
    head = &node;
    node.link_ = &head;
    slots_in_use_[level] |= std::uint64_t{1} << slot;
    levels_in_use_ |= 1U << level;
    next_slot_ = std::min(next_slot_, node.tick_ >> (level * digit_bits) << (level * digit_bits));
}

void timer_wheel::clear(unsigned level, unsigned slot) noexcept {
    slots_in_use_[level] &= ~(std::uint64_t{1} << slot);
    if (slots_in_use_[level] == 0) { levels_in_use_ &= ~(1U << level); }
}

void timer_wheel::insert(timer_node& node, time_point deadline) noexcept {
    assert(!node.is_linked());
    node.tick_ = std::max(tick_of(deadline), earliest_);
    place(node);
}

void timer_wheel::remove(timer_node& node) noexcept {
    if (!node.is_linked()) { return; }
    *node.link_ = node.next_;
    if (node.next_ != nullptr) { node.next_->link_ = node.link_; }
    node.link_ = nullptr;
    const unsigned level = level_of(node.tick_);  // no other than when the node was placed: lower() keeps this so
    const unsigned slot = slot_of(node.tick_, level);
    if (heads_[level][slot] == nullptr) { clear(level, slot); }
}

void timer_wheel::arm(timer_node& node, time_point deadline) noexcept {
    if (node.is_linked()) {
        if (node.tick_ <= tick_of(deadline)) { return; }
        remove(node);
    }
    insert(node, deadline);
}

timer_node* timer_wheel::take_due() noexcept {
    std::uint64_t next = ~std::uint64_t{0};
    while (levels_in_use_ != 0) {
        const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
        const auto slot = static_cast<unsigned>(std::countr_zero(slots_in_use_[level]));
        const std::uint64_t reached = start_of(level, slot);
        if (reached > target_) {
            next = reached;
            break;
        }
        current_ = reached;
        if (level == 0) {
            timer_node* const node = heads_[0][slot];
            remove(*node);
            return node;
        }
        lower(level, slot);
    }
    current_ = target_;
    earliest_ = target_;
    next_slot_ = next;
    return nullptr;
}

void timer_wheel::lower(unsigned level, unsigned slot) noexcept {
    clear(level, slot);
    for (timer_node* node = std::exchange(heads_[level][slot], nullptr); node != nullptr;) {
        timer_node* const next = node->next_;
        place(*node);
        node = next;
    }
}

std::optional<timer_wheel::time_point> timer_wheel::next_deadline() const noexcept {
    if (levels_in_use_ == 0) { return std::nullopt; }
    const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
    const auto slot = static_cast<unsigned>(std::countr_zero(slots_in_use_[level]));
    const std::uint64_t start = start_of(level, slot);
    if (level == 0) { return time_of(start); }
    // Few nodes are looked at, which spares an idle caller the wake-ups that would only move them down.
    std::uint64_t first = ~std::uint64_t{0};
    unsigned seen = 0;
    for (const timer_node* node = heads_[level][slot]; node != nullptr; node = node->next_) {
        if (++seen > exact_nodes) { return time_of(start); }
        first = std::min(first, node->tick_);
    }
    return time_of(first);
}

}  // namespace fluxnet::proto::tcp
