// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/detail/wire_direction.hpp"

#include <algorithm>
#include <cstring>

namespace fluxnet::detail {

wire_direction::wire_direction(const wire_profile& profile, std::uint64_t seed, std::uint32_t capacity, std::uint32_t mtu)
    : profile_(profile), largest_packet_(mtu + ethernet_header), chance_(seed),
      slot_bytes_((largest_packet_ + 63) & ~std::size_t{63}),
      bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity * slot_bytes_)) {
    travellers_.reserve(capacity);
    free_slots_.reserve(capacity);
    for (std::uint32_t i = capacity; i != 0; --i) { free_slots_.push_back(i - 1); }
}

void wire_direction::offer(std::span<const std::byte> bytes, time now) noexcept {
    ++counts.offered;
    if (bytes.size() < ethernet_header || bytes.size() > largest_packet_) {
        ++counts.oversized;
        return;
    }
    if (chance_.happens(profile_.loss)) {
        ++counts.lost;
        return;
    }
    const bool twice = chance_.happens(profile_.duplication);
    depart(bytes, now);
    if (twice) {
        ++counts.duplicated;
        depart(bytes, now);
    }
}

void wire_direction::depart(std::span<const std::byte> bytes, time now) noexcept {
    if (free_slots_.empty()) {
        ++counts.transit_full;
        return;
    }
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    std::byte* const place = at(slot);
    std::memcpy(place, bytes.data(), bytes.size());
    if (chance_.happens(profile_.corruption)) {
        const std::uint64_t bit = chance_.below(bytes.size() * 8);
        place[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        ++counts.corrupted;
    }
    travellers_.push_back({due(bytes.size(), now), sequence_++, slot, static_cast<std::uint32_t>(bytes.size())});
    std::push_heap(travellers_.begin(), travellers_.end());
}

wire_direction::time wire_direction::due(std::size_t size, time now) noexcept {
    line_free_ = std::max(line_free_, now);
    if (profile_.bits_per_second != 0) {
        line_free_ += time(static_cast<std::int64_t>(size * 8 * 1'000'000'000ULL / profile_.bits_per_second));
    }
    time arrives = line_free_ + profile_.delay;
    if (profile_.jitter.count() > 0) {
        arrives += time(static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(profile_.jitter.count()) + 1)));
    }
    if (chance_.happens(profile_.reordering)) {
        ++counts.reordered;
        return arrives + profile_.reordering_delay;
    }
    last_due_ = std::max(last_due_, arrives);
    return last_due_;
}

wire_direction::arriving wire_direction::take() noexcept {
    std::pop_heap(travellers_.begin(), travellers_.end());
    const traveller next = travellers_.back();
    travellers_.pop_back();
    return {{at(next.slot), next.size}, next.slot};
}

}  // namespace fluxnet::detail
