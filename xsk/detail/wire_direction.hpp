// SPDX-License-Identifier: BSD-3-Clause
// `wire_direction`: the packets under way from one end of a simulated wire to the other, and what happens to them.
//
// Owned by the wire, which says what time it is. Decides by dice from the seed what becomes of a packet and when it arrives,
// and keeps its bytes until then. Allocates when it is made, never for a packet. No locks: the wire's lock, if it has one,
// is held.
#pragma once

#include "xsk/simulated_wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
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

    /// A packet leaves at `now`. `counts` says what became of it.
    void offer(std::span<const std::byte> bytes, time now) noexcept;

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

}  // namespace fluxnet::detail
