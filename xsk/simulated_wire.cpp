// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/simulated_wire.hpp"

#include "xsk/detail/simulated_kernel.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace fluxnet {
namespace {

using time = simulated_wire::time;

constexpr std::size_t ethernet_header = 14;

/// FNV-1a over 64 bits: the same everywhere, and quick enough to hash every byte of every packet.
class hash {
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
class dice {
public:
    explicit dice(std::uint64_t seed) : engine_(seed) {}

    [[nodiscard]] bool happens(double probability) noexcept {
        if (probability <= 0) { return false; }
        return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < probability;
    }
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : engine_() % bound; }

private:
    std::mt19937_64 engine_;
};

/// A packet under way: when it arrives, its place in the order of sending, and where its bytes are.
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

/// The queue of the flow that a packet belongs to: protocol, addresses and (unless there are options or it is a fragment)
/// ports of IPv4, else the Ethernet header.
std::uint32_t steer(std::span<const std::byte> bytes, std::uint32_t queues) noexcept {
    if (queues == 1) { return 0; }
    hash flow;
    const bool ipv4 = bytes.size() >= 38 && bytes[12] == std::byte{0x08} && bytes[13] == std::byte{0};
    if (ipv4) {
        const bool ports =
            bytes[14] == std::byte{0x45} && (bytes[20] & std::byte{0x3f}) == std::byte{0} && bytes[21] == std::byte{0};
        flow.add(bytes.subspan(23, 1));
        flow.add(bytes.subspan(26, ports ? 12 : 8));
    } else {
        flow.add(bytes.first(ethernet_header));
    }
    return static_cast<std::uint32_t>((flow.value() >> 32) % queues);
}

}  // namespace

/// Everything behind the wire: two kernels, two directions, one clock.
class simulated_wire::model {
public:
    explicit model(const wire_options& options)
        : options_(options),
          directions_{
              direction(options.to_right, options.seed * 2, options.transit_capacity, options.mtu + ethernet_header),
              direction(options.to_left, options.seed * 2 + 1, options.transit_capacity, options.mtu + ethernet_header)},
          ends_{detail::simulated_kernel(describe(end::left), [this](auto bytes) { offer(0, bytes); }),
                detail::simulated_kernel(describe(end::right), [this](auto bytes) { offer(1, bytes); })} {}

    [[nodiscard]] detail::simulated_kernel& side(end which) noexcept { return ends_[index(which)]; }
    [[nodiscard]] time now() const noexcept { return now_; }
    [[nodiscard]] std::uint64_t digest() const noexcept { return digest_.value(); }

    [[nodiscard]] wire_counts counts(end from) const noexcept {
        const direction& way = directions_[index(from)];
        wire_counts result = way.counts;
        result.in_transit = way.travellers.size();
        return result;
    }

    [[nodiscard]] std::optional<time> next_arrival() const noexcept {
        std::optional<time> next;
        for (const direction& way : directions_) {
            if (!way.travellers.empty() && (!next || way.travellers.front().due < *next)) {
                next = way.travellers.front().due;
            }
        }
        return next;
    }

    void advance_to(time when) noexcept {
        for (auto next = next_arrival(); next && *next <= when; next = next_arrival()) {
            now_ = std::max(now_, *next);
            // At equal times the packet for the right comes first.
            const std::size_t way =
                !directions_[0].travellers.empty() && directions_[0].travellers.front().due == *next ? 0 : 1;
            arrive(way);
        }
        now_ = std::max(now_, when);
    }

private:
    struct direction {
        direction(const wire_profile& profile_, std::uint64_t seed, std::uint32_t capacity, std::size_t largest_packet)
            : profile(profile_), chance(seed), slot_bytes((largest_packet + 63) & ~std::size_t{63}),
              bytes(std::make_unique_for_overwrite<std::byte[]>(capacity * slot_bytes)) {
            travellers.reserve(capacity);
            free_slots.reserve(capacity);
            for (std::uint32_t i = capacity; i != 0; --i) { free_slots.push_back(i - 1); }
        }

        wire_profile profile;
        dice chance;
        std::size_t slot_bytes;
        std::unique_ptr<std::byte[]> bytes;  // slot_bytes for each packet under way

        [[nodiscard]] std::byte* at(std::uint32_t slot) const noexcept { return bytes.get() + slot * slot_bytes; }

        std::vector<std::uint32_t> free_slots;
        std::vector<traveller> travellers;  // a heap
        std::uint64_t sequence = 0;
        time line_free{};  // when the rate lets the next packet start
        time last_due{};   // of packets in order
        wire_counts counts;
    };

    static std::size_t index(end which) noexcept { return which == end::left ? 0 : 1; }

    [[nodiscard]] interface_info describe(end which) const {
        interface_info info;
        info.name = name(which);
        info.index = which == end::left ? 1 : 2;
        info.mtu = options_.mtu;
        info.queues = options_.queues;
        info.mac_address = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(info.index)};
        info.up = true;
        info.simulated = true;
        return info;
    }

    /// A packet leaves end `from`.
    void offer(std::size_t from, std::span<const std::byte> bytes) noexcept {
        direction& way = directions_[from];
        ++way.counts.offered;
        if (bytes.size() < ethernet_header || bytes.size() > options_.mtu + ethernet_header) {
            ++way.counts.oversized;
            return;
        }
        if (way.chance.happens(way.profile.loss)) {
            ++way.counts.lost;
            return;
        }
        const bool twice = way.chance.happens(way.profile.duplication);
        depart(way, bytes);
        if (twice) {
            ++way.counts.duplicated;
            depart(way, bytes);
        }
        advance_to(now_);
    }

    void depart(direction& way, std::span<const std::byte> bytes) noexcept {
        if (way.free_slots.empty()) {
            ++way.counts.transit_full;
            return;
        }
        const std::uint32_t slot = way.free_slots.back();
        way.free_slots.pop_back();
        std::byte* const place = way.at(slot);
        std::memcpy(place, bytes.data(), bytes.size());
        if (way.chance.happens(way.profile.corruption)) {
            const std::uint64_t bit = way.chance.below(bytes.size() * 8);
            place[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
            ++way.counts.corrupted;
        }
        way.travellers.push_back({due(way, bytes.size()), way.sequence++, slot, static_cast<std::uint32_t>(bytes.size())});
        std::push_heap(way.travellers.begin(), way.travellers.end());
    }

    [[nodiscard]] time due(direction& way, std::size_t size) noexcept {
        const wire_profile& profile = way.profile;
        way.line_free = std::max(way.line_free, now_);
        if (profile.bits_per_second != 0) {
            way.line_free += time(static_cast<std::int64_t>(size * 8 * 1'000'000'000ULL / profile.bits_per_second));
        }
        time arrives = way.line_free + profile.delay;
        if (profile.jitter.count() > 0) {
            arrives +=
                time(static_cast<std::int64_t>(way.chance.below(static_cast<std::uint64_t>(profile.jitter.count()) + 1)));
        }
        if (way.chance.happens(profile.reordering)) {
            ++way.counts.reordered;
            return arrives + profile.reordering_delay;
        }
        way.last_due = std::max(way.last_due, arrives);
        return way.last_due;
    }

    /// The next packet of a direction reaches the other end.
    void arrive(std::size_t from) noexcept {
        direction& way = directions_[from];
        std::pop_heap(way.travellers.begin(), way.travellers.end());
        const traveller next = way.travellers.back();
        way.travellers.pop_back();
        const std::span<const std::byte> bytes(way.at(next.slot), next.size);
        xdp_desc placed;
        const auto outcome = ends_[1 - from].receive(steer(bytes, options_.queues), bytes, placed);
        way.free_slots.push_back(next.slot);
        if (options_.hash_traffic) {
            digest_.add(static_cast<std::uint64_t>(now_.count()));
            digest_.add(from * 16 + static_cast<std::uint64_t>(outcome));
            digest_.add(placed.addr.value);
            digest_.add(bytes);
        }
        switch (outcome) {
            case detail::arrival::delivered: ++way.counts.delivered; break;
            case detail::arrival::no_socket: ++way.counts.no_socket; break;
            case detail::arrival::rx_ring_full: ++way.counts.rx_ring_full; break;
            case detail::arrival::fill_ring_empty: ++way.counts.fill_ring_empty; break;
            case detail::arrival::too_large: ++way.counts.too_large; break;
        }
    }

    const wire_options options_;
    std::array<direction, 2> directions_;  // by the end that sends
    std::array<detail::simulated_kernel, 2> ends_;
    time now_{};
    hash digest_;
};

simulated_wire::simulated_wire(const wire_options& options) : model_(std::make_unique<model>(options)) {}
simulated_wire::~simulated_wire() = default;

kernel& simulated_wire::side(end which) noexcept {
    return model_->side(which);
}

simulated_wire::time simulated_wire::now() const noexcept {
    return model_->now();
}

std::optional<simulated_wire::time> simulated_wire::next_arrival() const noexcept {
    return model_->next_arrival();
}

void simulated_wire::advance_to(time when) noexcept {
    model_->advance_to(when);
}

wire_counts simulated_wire::counts(end from) const noexcept {
    return model_->counts(from);
}

std::uint64_t simulated_wire::digest() const noexcept {
    return model_->digest();
}

}  // namespace fluxnet
