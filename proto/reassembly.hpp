// SPDX-License-Identifier: BSD-3-Clause
// `reassembly`: makes datagrams of the fragments that IPv4 and IPv6 have cut them into.
//
//     reassembly whole({}, secret);
//     const auto got = whole.add({.source = ..., .destination = ..., .identification = ..., .offset = ..., .payload = ...},
//     now); if (!got) { count(got.error()); }                  // refused else if (*got) { deliver((*got)->payload); } //
//     complete: read before the next call while (const auto late = whole.next_expired(now)) { if (!late->beginning.empty())
//     { send(time_exceeded(*late)); } }
//
// It works on values: the caller parses headers. All memory is allocated when the engine is made; the payload of a fragment
// is copied into it once, and once more when the datagram is complete. Each step is O(1) but for the copying.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/address_hash.hpp"
#include "fluxnet/proto/detail/fragment_block.hpp"
#include "fluxnet/proto/detail/slots.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto {

/// A bounded store of datagrams of which some fragments are missing.
///
/// - Overlap: a fragment that overlaps another one ends the whole datagram, and what else comes of it until its time is up
///   is refused (RFC 5722 section 4, RFC 8200 section 4.5). IPv4 is treated likewise, although RFC 791 lets the later octets
///   win: no sender makes overlaps, and what they are made for is to show a filter other octets than the host (RFC 1858, RFC
///   3128). An exact copy of a fragment, with the same place, length and octets, is what a network may make; it is skipped.
/// - Time: 60 s for IPv6 (RFC 8200 section 4.5), counted from the fragment that came first. 30 s for IPv4: RFC 1122
///   section 3.3.2 asks for 60 s, but a fast sender uses the 16 bits of identification again within seconds, and then
///   fragments of different datagrams meet (RFC 4963); 30 s is the longest that is common today. More fragments do not
///   lengthen it.
/// - First fragments have the whole header chain up to the transport's (RFC 7112 section 5), in IPv4 the transport's header:
///   otherwise a filter in front could not have judged it.
/// - Atomic fragments (offset 0, no more) are datagrams of their own and meet no others (RFC 6946 section 4).
/// - Room: a datagram holds blocks of 1,024 octets, wherever its fragments lie. When blocks or entries are short, the oldest
///   datagram goes of those sources that hold most. Sources fall into 64 classes by a keyed hash, an IPv6 source by its
///   first 64 bits, so a flood of first fragments from one place displaces itself; one from forged sources everywhere
///   displaces what is older than the room lasts.
class FLUXNET_EXPORT reassembly {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::nanoseconds;

    /// How much memory fragments may take, and how long they wait for the rest of their datagram.
    struct options {
        std::size_t octets = std::size_t{4} << 20;  ///< Of blocks; at least 128 KiB.
        std::size_t datagrams = 1024;               ///< Incomplete ones, and those that were ended; at least 2.
        duration ipv4_time = std::chrono::seconds(30);
        duration ipv6_time = std::chrono::seconds(60);
    };

    /// A fragment, as its headers tell.
    struct fragment {
        ip_address source;
        ip_address destination;  ///< Of the same version.
        std::uint32_t identification = 0;
        std::uint8_t protocol = 0;      ///< IPv4: the protocol. IPv6: the next header field of the fragment header.
        std::uint8_t ecn = 0;           ///< The last two bits of the traffic class.
        bool more = false;              ///< More fragments follow this one.
        std::size_t offset = 0;         ///< In octets.
        std::size_t header_length = 0;  ///< What counts into the length field beside the payload: IPv4: the header's length;
                                        ///< IPv6: that of the extension headers before the fragment header.
        std::span<const std::byte> payload;
    };

    /// A complete one.
    struct datagram {
        ip_address source;
        ip_address destination;
        std::uint8_t protocol = 0;           ///< Of its first fragment.
        std::uint8_t ecn = 0;                ///< CE if any fragment has it (RFC 3168 section 5.3).
        std::span<const std::byte> payload;  ///< Until the next call; of an atomic fragment, the fragment's own.
    };

    /// One whose time is up.
    struct expired {
        ip_address source;
        ip_address destination;
        std::uint32_t identification = 0;
        std::uint8_t protocol = 0;
        /// What came from its first octet on, until the next call. Empty if the first fragment did not come: then nobody is
        /// told (RFC 792 "Time Exceeded Message", RFC 8200 section 4.5).
        std::span<const std::byte> beginning;
    };

    /// Makes an empty store. `secret`: random octets, so that strangers cannot choose fragments which share a chain of the
    /// hash. Allocates.
    reassembly(const options& chosen, std::span<const std::byte, 16> secret);

    /// Adds a fragment; returns the datagram if it is complete with it. Reasons, of which the first three leave other
    /// fragments alone: reassembly_empty: no octet; reassembly_ragged: not the last, and no multiple of eight octets (in
    /// IPv6 a parameter problem at the payload length); reassembly_too_long: it ends beyond 65,535 octets (in IPv6 a
    /// parameter problem at the fragment offset); reassembly_header_chain: see the class (in IPv6 a parameter problem of
    /// code 3, RFC 7112 section 5); reassembly_overlap, reassembly_past_end: it contradicts what came before; all of the
    /// datagram is ended; reassembly_ended: of a datagram that was ended; reassembly_ecn: some fragments say that the sender
    /// knows no ECN, others that they met congestion; reassembly_full: no room but for what this datagram holds itself.
    [[nodiscard]] result<std::optional<datagram>> add(const fragment& part, time_point now) noexcept;

    /// Takes out the next datagram whose time is up.
    [[nodiscard]] std::optional<expired> next_expired(time_point now) noexcept;

    /// When next_expired() has something to do, or never.
    [[nodiscard]] std::optional<time_point> deadline() const noexcept;

    /// Datagrams in the store, with those that were ended and not forgotten.
    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    /// Octets of blocks that are held.
    [[nodiscard]] std::size_t held_octets() const noexcept { return held_blocks_ * detail::fragment_block::octets; }
    /// How many datagrams went for want of room.
    [[nodiscard]] std::uint64_t displaced() const noexcept { return displaced_; }
    [[nodiscard]] std::size_t memory_octets() const noexcept;

private:
    using slot = detail::slot_number;
    static constexpr std::size_t longest = 65'535;
    static constexpr std::size_t blocks_each = 64;  // hold the longest datagram
    static constexpr std::size_t classes = 64;

    struct record {
        ip_address source;
        ip_address destination;
        std::uint64_t hash = 0;
        time_point begun;
        std::uint32_t identification = 0;
        std::uint32_t octets = 0;   // received
        std::uint32_t highest = 0;  // the end of the fragment that reaches farthest
        std::uint32_t end = 0;      // of the datagram; 0: not known
        std::uint8_t protocol = 0;  // IPv4: of all; IPv6: of the first fragment
        std::uint8_t ecn = 0;       // of the first fragment
        std::uint8_t ecn_seen = 0;  // a bit for each of the four values
        std::uint8_t source_class = 0;
        bool ended = false;  // holds no blocks, and refuses what comes
        std::uint32_t held = 0;
        std::array<slot, blocks_each> blocks{};  // by their place; no_slot: none
    };

    enum class meeting : std::uint8_t { none, copy, overlap };

    [[nodiscard]] std::uint64_t hash_of(const fragment& part) const noexcept;
    [[nodiscard]] slot find(const fragment& part, std::uint64_t hash) const noexcept;
    [[nodiscard]] slot make(const fragment& part, std::uint64_t hash, time_point now) noexcept;
    [[nodiscard]] result<std::optional<datagram>> put(slot at, const fragment& part) noexcept;
    [[nodiscard]] result<std::optional<datagram>> end(slot at, reason why) noexcept;
    [[nodiscard]] result<std::optional<datagram>> complete(slot at) noexcept;
    [[nodiscard]] meeting meets(const record& what, const fragment& part) const noexcept;
    [[nodiscard]] bool same_octets(const record& what, const fragment& part) const noexcept;
    [[nodiscard]] bool take_blocks(slot at, std::size_t from, std::size_t to) noexcept;
    void copy_in(record& what, const fragment& part) noexcept;
    [[nodiscard]] std::span<const std::byte> assemble(const record& what, std::size_t octets) noexcept;
    [[nodiscard]] std::size_t beginning_of(const record& what) const noexcept;
    [[nodiscard]] slot largest() const noexcept;
    void free_blocks(record& what) noexcept;
    void erase(slot at) noexcept;
    [[nodiscard]] bool is_received(const record& what, std::size_t unit) const noexcept;
    [[nodiscard]] bool is_start(const record& what, std::size_t unit) const noexcept;
    [[nodiscard]] bool is_late(const record& what, time_point now) const noexcept;
    [[nodiscard]] std::span<std::byte> octets_of(slot block) noexcept;
    [[nodiscard]] std::span<const std::byte> octets_of(slot block) const noexcept;

    options options_;
    detail::hash_key key_;
    detail::slot_index index_;
    std::vector<record> records_;
    std::vector<detail::slot_link> age_links_;
    std::vector<detail::slot_link> class_links_;
    std::array<detail::slot_list, 2> by_age_;             // IPv4, IPv6
    std::array<detail::slot_list, classes> by_class_;     // each by age
    std::array<std::uint32_t, classes> held_by_class_{};  // blocks and datagrams
    std::vector<std::byte> octets_;                       // of all blocks
    std::vector<detail::fragment_block> blocks_;
    std::vector<slot> next_free_;  // by block
    slot free_block_ = detail::no_slot;
    std::size_t held_blocks_ = 0;
    std::vector<std::byte> assembled_;  // the datagram that was completed, or the beginning of one that expired
    std::uint64_t displaced_ = 0;
};

}  // namespace fluxnet::proto
