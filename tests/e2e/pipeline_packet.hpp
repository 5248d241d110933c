// SPDX-License-Identifier: BSD-3-Clause
// The packets that cross the pipeline under test: numbered per flow, with a checksum, and a treatment that the dice of their
// number decide, so that both ends know it without a word between them.
//
// Layout: Ethernet header, packet_label, payload. Plain functions; any thread.
#pragma once

#include "fluxnet/xsk/memory/packet.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace fluxnet::test {

inline constexpr std::uint32_t flow_count = 64;

/// Stands behind the Ethernet header, in the byte order of this machine.
struct packet_label {
    std::uint64_t sequence = 0;  ///< Within the flow, from 1.
    std::uint64_t checksum = 0;  ///< Over the other fields and the payload.
    std::uint32_t flow = 0;
    std::uint32_t payload = 0;  ///< Bytes.
};

inline constexpr std::size_t ethernet_bytes = 14;
inline constexpr std::size_t payload_at = ethernet_bytes + sizeof(packet_label);

/// What a worker does with a packet. A kept one waits for `hold` later packets and holds its flow back.
enum class fate : std::uint8_t { forward, drop, keep, resize };

struct treatment {
    fate what = fate::forward;
    std::int32_t front = 0;  ///< Of a resize: bytes taken from the front of the payload; negative: added.
    std::int32_t back = 0;   ///< Of a resize: bytes added at its end; negative: cut.
    std::uint32_t hold = 0;
};

/// splitmix64's finalizer: every bit of the input changes half of the output's.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t word) noexcept {
    word += 0x9e3779b97f4a7c15ULL;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
    return word ^ (word >> 31);
}

[[nodiscard]] constexpr std::uint64_t dice_of(std::uint32_t flow, std::uint64_t sequence) noexcept {
    return mix(sequence * flow_count + flow);
}

/// 10 % are dropped, 3 % kept, 20 % resized in one of four ways.
[[nodiscard]] constexpr treatment treatment_of(std::uint32_t flow, std::uint64_t sequence) noexcept {
    const std::uint64_t dice = dice_of(flow, sequence);
    const std::uint64_t roll = dice % 100;
    const auto amount = static_cast<std::int32_t>(1 + (dice >> 40) % 16);
    if (roll < 10) { return {.what = fate::drop}; }
    if (roll < 13) { return {.what = fate::keep, .hold = static_cast<std::uint32_t>(1 + (dice >> 32) % 64)}; }
    if (roll >= 33) { return {}; }
    switch ((dice >> 56) % 4) {
        case 0: return {.what = fate::resize, .front = amount};
        case 1: return {.what = fate::resize, .front = -amount};
        case 2: return {.what = fate::resize, .back = -amount};
        default: return {.what = fate::resize, .back = 4 * amount};
    }
}

/// The payload that a packet sets out with: mostly 26 bytes, the shortest frame's; now and then up to an MTU's.
[[nodiscard]] constexpr std::uint32_t first_payload(std::uint32_t flow, std::uint64_t sequence) noexcept {
    const std::uint64_t dice = dice_of(flow, sequence) >> 8;
    if (dice % 256 == 0) { return static_cast<std::uint32_t>(200 + (dice >> 8) % 1200); }
    return static_cast<std::uint32_t>(dice % 4 == 0 ? 26 + (dice >> 8) % 64 : 26);
}

/// The payload that arrives after the treatment.
[[nodiscard]] constexpr std::uint32_t last_payload(std::uint32_t flow, std::uint64_t sequence) noexcept {
    const treatment how = treatment_of(flow, sequence);
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(first_payload(flow, sequence)) - how.front + how.back);
}

[[nodiscard]] inline std::uint64_t checksum_of(const packet_label& label, std::span<const std::byte> payload) noexcept {
    std::uint64_t sum = mix(label.sequence * flow_count + label.flow) + label.payload;
    const std::byte* at = payload.data();
    std::size_t left = payload.size();
    for (std::uint64_t word = 0; left != 0;) {
        const std::size_t step = left < sizeof word ? left : sizeof word;
        word = 0;
        std::memcpy(&word, at, step);
        sum = (sum ^ word) * 0x9fb21c651e98df25ULL;
        sum ^= sum >> 29;
        at += step;
        left -= step;
    }
    return sum;
}

/// Writes a label that fits the payload as it stands.
inline void seal(std::span<std::byte> frame, std::uint32_t flow, std::uint64_t sequence) noexcept {
    const auto payload = frame.subspan(payload_at);
    packet_label label{.sequence = sequence, .flow = flow, .payload = static_cast<std::uint32_t>(payload.size())};
    label.checksum = checksum_of(label, payload);
    std::memcpy(frame.data() + ethernet_bytes, &label, sizeof label);
}

/// Reads a packet's label; nothing when the packet is not as it was sealed.
[[nodiscard]] inline std::optional<packet_label> open_label(std::span<const std::byte> frame) noexcept {
    packet_label label;
    if (frame.size() < payload_at) { return std::nullopt; }
    std::memcpy(&label, frame.data() + ethernet_bytes, sizeof label);
    const auto payload = frame.subspan(payload_at);
    if (label.flow >= flow_count || label.payload != payload.size()) { return std::nullopt; }
    if (checksum_of(label, payload) != label.checksum) { return std::nullopt; }
    return label;
}

/// Makes an empty packet the given one of its flow. Returns false when it does not fit.
[[nodiscard]] inline bool write_packet(packet& into, std::uint32_t flow, std::uint64_t sequence) noexcept {
    static constexpr std::array<unsigned char, ethernet_bytes> ethernet{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
    if (!into.set_len(payload_at + first_payload(flow, sequence))) { return false; }
    const auto frame = into.data();
    std::memcpy(frame.data(), ethernet.data(), ethernet.size());
    const std::uint64_t word = dice_of(flow, sequence);
    for (std::size_t at = payload_at; at < frame.size(); at += sizeof word) {
        std::memcpy(frame.data() + at, &word, std::min(sizeof word, frame.size() - at));
    }
    seal(frame, flow, sequence);
    return true;
}

/// Changes the size of a packet as its treatment says, and seals it again. Returns false when the frame has no room.
[[nodiscard]] inline bool resize_packet(packet& one, const packet_label& label, const treatment& how) noexcept {
    std::array<std::byte, ethernet_bytes> ethernet;
    std::memcpy(ethernet.data(), one.data().data(), ethernet.size());
    if (how.front != 0 && !one.adjust_head(how.front)) { return false; }
    const auto size = static_cast<std::int64_t>(one.size()) + how.back;
    if (how.back != 0 && !one.set_len(static_cast<std::size_t>(size))) { return false; }
    std::memcpy(one.data().data(), ethernet.data(), ethernet.size());
    seal(one.data(), label.flow, label.sequence);
    return true;
}

}  // namespace fluxnet::test
