// SPDX-License-Identifier: BSD-3-Clause
// `wire_direction`: the packets under way from one end of a simulated wire to the other, and what happens to them.
//
// Owned by the wire, which says what time it is. Decides by dice from the seed what becomes of a packet and when it arrives,
// and keeps its bytes until then. Allocates when it is made, never for a packet. No locks: the wire's lock, if it has one,
// is held.
#pragma once

#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace fluxnet::detail {

inline constexpr std::size_t ethernet_header = 14;

/// FNV-1a over 64 bits: the same everywhere, and quick enough to hash every byte of every packet.
class wire_hash {
public:
    void add(std::span<const std::byte> bytes) noexcept {
        for (const std::byte byte : bytes) { state_ = (state_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3ULL; }
    }
    void add(std::uint64_t number) noexcept {
        for (int shift = 0; shift < 64; shift += 8) { state_ = (state_ ^ ((number >> shift) & 0xff)) * 0x100000001b3ULL; }
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return state_; }

private:
    std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

/// Draws from the seed by means that give the same numbers with every standard library.
class wire_dice {
public:
    explicit wire_dice(std::uint64_t seed) : engine_(seed) {}

    [[nodiscard]] bool happens(double probability) noexcept {
        if (probability <= 0) { return false; }
        return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < probability;
    }
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : engine_() % bound; }

private:
    std::mt19937_64 engine_;
};

class wire_direction {
public:
    using time = simulated_wire::time;

    /// A packet that reaches its end. Its bytes are valid until settle().
    struct arriving {
        std::span<const std::byte> bytes;
        std::uint32_t slot = 0;
    };

    wire_direction(const wire_profile& profile, std::uint64_t seed, std::uint32_t capacity, std::uint32_t mtu);

    /// A packet leaves at `now`. `counts` says what became of it. Returns false when the interface does not send its size.
    bool offer(std::span<const std::byte> bytes, time now) noexcept;

    /// Tells whether packets are under way, and when the next of them arrives.
    [[nodiscard]] bool empty() const noexcept { return travellers_.empty(); }
    [[nodiscard]] time next_due() const noexcept { return travellers_.front().due; }
    [[nodiscard]] std::size_t size() const noexcept { return travellers_.size(); }

    /// Takes the next packet out; there must be one. settle() forgets its bytes.
    [[nodiscard]] arriving take() noexcept;
    void settle(const arriving& packet) noexcept { free_slots_.push_back(packet.slot); }

    wire_counts counts;  ///< in_transit is not kept here.

private:
    /// When a packet arrives, its place in the order of sending, and where its bytes are.
    struct traveller {
        time due{};
        std::uint64_t sequence = 0;
        std::uint32_t slot = 0;
        std::uint32_t size = 0;

        /// For a heap whose top is the next to arrive.
        friend bool operator<(const traveller& a, const traveller& b) noexcept {
            return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
        }
    };

    [[nodiscard]] std::byte* at(std::uint32_t slot) const noexcept { return bytes_.get() + slot * slot_bytes_; }
    void depart(std::span<const std::byte> bytes, time now) noexcept;
    [[nodiscard]] time due(std::size_t size, time now) noexcept;

    const wire_profile profile_;
    const std::size_t largest_packet_;
    wire_dice chance_;
    const std::size_t slot_bytes_;
    std::unique_ptr<std::byte[]> bytes_;  // slot_bytes_ for each packet under way
    std::vector<std::uint32_t> free_slots_;
    std::vector<traveller> travellers_;  // a heap
    std::uint64_t sequence_ = 0;
    time line_free_{};  // when the rate lets the next packet start
    time last_due_{};   // of packets in order
};

inline wire_direction::wire_direction(const wire_profile& profile, std::uint64_t seed, std::uint32_t capacity,
                                      std::uint32_t mtu)
    : profile_(profile), largest_packet_(mtu + ethernet_header), chance_(seed),
      slot_bytes_((largest_packet_ + 63) & ~std::size_t{63}),
      bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity * slot_bytes_)) {
    travellers_.reserve(capacity);
    free_slots_.reserve(capacity);
    for (std::uint32_t i = capacity; i != 0; --i) { free_slots_.push_back(i - 1); }
}

inline bool wire_direction::offer(std::span<const std::byte> bytes, time now) noexcept {
    ++counts.offered;
    if (bytes.size() < ethernet_header || bytes.size() > largest_packet_) {
        ++counts.oversized;
        return false;
    }
    if (chance_.happens(profile_.loss)) {
        ++counts.lost;
        return true;
    }
    const bool twice = chance_.happens(profile_.duplication);
    depart(bytes, now);
    if (twice) {
        ++counts.duplicated;
        depart(bytes, now);
    }
    return true;
}

inline void wire_direction::depart(std::span<const std::byte> bytes, time now) noexcept {
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

inline wire_direction::time wire_direction::due(std::size_t size, time now) noexcept {
    line_free_ = std::max(line_free_, now);
    if (profile_.bits_per_second != 0) {
        line_free_ += time(static_cast<std::int64_t>(size * 8 * 1'000'000'000ULL / profile_.bits_per_second));
    }
    time arrives = later(line_free_, profile_.delay);
    if (const time jitter = profile_.jitter; jitter.count() > 0) {
        const std::uint64_t drawn = chance_.below(static_cast<std::uint64_t>(jitter.count()) + 1);
        arrives = later(arrives, time(static_cast<std::int64_t>(drawn)));
    }
    if (chance_.happens(profile_.reordering)) {
        ++counts.reordered;
        return later(arrives, profile_.reordering_delay);
    }
    last_due_ = std::max(last_due_, arrives);
    return last_due_;
}

inline wire_direction::arriving wire_direction::take() noexcept {
    std::pop_heap(travellers_.begin(), travellers_.end());
    const traveller next = travellers_.back();
    travellers_.pop_back();
    return {{at(next.slot), next.size}, next.slot};
}

}  // namespace fluxnet::detail
