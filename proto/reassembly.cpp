// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/reassembly.hpp"

#include "fluxnet/proto/detail/header_chain.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::proto {
namespace {

using detail::fragment_block;
using detail::fragment_unit;
using detail::unit_bits;

constexpr std::uint8_t not_ecn_capable = 0;
constexpr std::uint8_t congestion_met = 3;

/// Calls `look(block, from, to)` for the units of a stretch of octets, block by block, as long as it returns true; tells
/// whether it always did.
template <class Look>
bool all_blocks(std::size_t offset, std::size_t end, Look look) noexcept {
    std::size_t unit = offset / fragment_unit;
    const std::size_t last = (end + fragment_unit - 1) / fragment_unit;
    while (unit != last) {
        const std::size_t block = unit / unit_bits::size;
        const std::size_t to = std::min(last, (block + 1) * unit_bits::size);
        if (!look(block, unit % unit_bits::size, to - block * unit_bits::size)) { return false; }
        unit = to;
    }
    return true;
}

/// The part of a payload at `offset` that lies in a block, and where it lies there.
struct block_part {
    std::span<const std::byte> payload;
    std::size_t at;
};

block_part part_in_block(std::size_t block, std::size_t from, std::size_t offset,
                         std::span<const std::byte> payload) noexcept {
    const std::size_t at = from * fragment_unit;
    const std::size_t begin = block * fragment_block::octets + at - offset;
    return {payload.subspan(begin, std::min(payload.size() - begin, fragment_block::octets - at)), at};
}

}  // namespace

reassembly::reassembly(const options& chosen, std::span<const std::byte, 16> secret)
    : options_(chosen), key_(secret), index_(chosen.datagrams), records_(chosen.datagrams), age_links_(chosen.datagrams),
      class_links_(chosen.datagrams), octets_(chosen.octets / fragment_block::octets * fragment_block::octets),
      blocks_(chosen.octets / fragment_block::octets), next_free_(blocks_.size(), detail::no_slot), free_block_(0),
      assembled_(longest) {
    assert(blocks_.size() >= 2 * blocks_each && chosen.datagrams >= 2);
    for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) { next_free_[i] = static_cast<slot>(i + 1); }
}

result<std::optional<reassembly::datagram>> reassembly::add(const fragment& part, time_point now) noexcept {
    assert(part.source.is_v4() == part.destination.is_v4());
    if (part.offset == 0 && !part.more) {
        return std::optional(datagram{part.source, part.destination, part.protocol, part.ecn, part.payload});
    }
    const std::size_t size = part.payload.size();
    if (size == 0) { return reason::reassembly_empty; }
    if (part.offset % fragment_unit != 0 || (part.more && size % fragment_unit != 0)) { return reason::reassembly_ragged; }
    if (part.offset > longest || part.header_length > longest || part.header_length + part.offset + size > longest) {
        return reason::reassembly_too_long;
    }
    const std::uint64_t hash = hash_of(part);
    slot at = find(part, hash);
    if (at != detail::no_slot && is_late(records_[at], now)) {
        erase(at);
        at = detail::no_slot;
    }
    if (at != detail::no_slot && records_[at].ended) { return reason::reassembly_ended; }
    const bool judged =
        part.offset != 0 || (part.source.is_v4() ? detail::has_whole_transport_header(part.protocol, part.payload)
                                                 : detail::has_whole_header_chain(part.protocol, part.payload));
    if (!judged && at == detail::no_slot) { return reason::reassembly_header_chain; }
    if (!judged) { return end(at, reason::reassembly_header_chain); }
    if (at == detail::no_slot) { at = make(part, hash, now); }
    return put(at, part);
}

result<std::optional<reassembly::datagram>> reassembly::put(slot at, const fragment& part) noexcept {
    record& what = records_[at];
    const std::size_t to = part.offset + part.payload.size();
    const bool past = part.more ? what.end != 0 && to >= what.end : what.highest > to || (what.end != 0 && what.end != to);
    if (past) { return end(at, reason::reassembly_past_end); }
    switch (meets(what, part)) {
        case meeting::none: break;
        case meeting::copy: return std::optional<datagram>();
        case meeting::overlap: return end(at, reason::reassembly_overlap);
    }
    if (!take_blocks(at, part.offset, to)) {
        if (what.octets == 0) { erase(at); }
        return reason::reassembly_full;
    }
    copy_in(what, part);
    what.octets += static_cast<std::uint32_t>(part.payload.size());
    what.highest = std::max(what.highest, static_cast<std::uint32_t>(to));
    what.ecn_seen = static_cast<std::uint8_t>(what.ecn_seen | (1U << (part.ecn & 3U)));
    if (!part.more) { what.end = static_cast<std::uint32_t>(to); }
    if (part.offset == 0) {
        what.protocol = part.protocol;
        what.ecn = part.ecn & 3U;
    }
    // No two fragments overlap, so what has arrived is whole when there is as much of it as there should be.
    return what.octets == what.end ? complete(at) : std::optional<datagram>();
}

result<std::optional<reassembly::datagram>> reassembly::complete(slot at) noexcept {
    const record& what = records_[at];
    const bool met = (what.ecn_seen & (1U << congestion_met)) != 0;
    const bool mixed = met && (what.ecn_seen & (1U << not_ecn_capable)) != 0;
    datagram whole{what.source, what.destination, what.protocol, met ? congestion_met : what.ecn, {}};
    if (!mixed) { whole.payload = assemble(what, what.end); }
    erase(at);
    if (mixed) { return reason::reassembly_ecn; }
    return std::optional(whole);
}

/// Gives up a datagram and remembers it, so that what else comes of it is refused.
result<std::optional<reassembly::datagram>> reassembly::end(slot at, reason why) noexcept {
    free_blocks(records_[at]);
    records_[at].ended = true;
    return why;
}

std::optional<reassembly::expired> reassembly::next_expired(time_point now) noexcept {
    for (const detail::slot_list& ages : by_age_) {
        for (slot at = ages.front(); at != detail::no_slot && is_late(records_[at], now); at = ages.front()) {
            const record& what = records_[at];
            const bool ended = what.ended;
            expired told{what.source, what.destination, what.identification, what.protocol, {}};
            if (!ended) { told.beginning = assemble(what, beginning_of(what)); }
            erase(at);
            if (!ended) { return told; }
        }
    }
    return std::nullopt;
}

std::optional<reassembly::time_point> reassembly::deadline() const noexcept {
    std::optional<time_point> first;
    for (std::size_t version = 0; version != by_age_.size(); ++version) {
        const slot at = by_age_[version].front();
        if (at == detail::no_slot) { continue; }
        const time_point due = records_[at].begun + (version == 0 ? options_.ipv4_time : options_.ipv6_time);
        if (!first || due < *first) { first = due; }
    }
    return first;
}

std::size_t reassembly::memory_octets() const noexcept {
    return sizeof *this + index_.memory_octets() + records_.capacity() * sizeof(record) +
           (age_links_.capacity() + class_links_.capacity()) * sizeof(detail::slot_link) + octets_.capacity() +
           blocks_.capacity() * sizeof(fragment_block) + next_free_.capacity() * sizeof(slot) + assembled_.capacity();
}

std::uint64_t reassembly::hash_of(const fragment& part) const noexcept {
    if (part.source.is_v4()) {
        return detail::table_hash(
            key_, {(std::uint64_t{part.source.v4().to_host_order()} << 32) | part.destination.v4().to_host_order(),
                   (std::uint64_t{part.identification} << 8) | part.protocol});
    }
    const auto& from = part.source.v6().octets();
    const auto& to = part.destination.v6().octets();
    return detail::table_hash(key_, {detail::number_of(from, 0, 8), detail::number_of(from, 8, 8),
                                     detail::number_of(to, 0, 8), detail::number_of(to, 8, 8), part.identification});
}

reassembly::slot reassembly::find(const fragment& part, std::uint64_t hash) const noexcept {
    return index_.find(hash, [&](slot at) {
        const record& what = records_[at];
        return what.identification == part.identification && what.source == part.source &&
               what.destination == part.destination && (part.source.is_v6() || what.protocol == part.protocol);
    });
}

reassembly::slot reassembly::make(const fragment& part, std::uint64_t hash, time_point now) noexcept {
    if (index_.full()) {
        erase(largest());
        ++displaced_;
    }
    const slot at = index_.insert(hash);
    record& made = records_[at];
    made = record();
    made.source = part.source;
    made.destination = part.destination;
    made.hash = hash;
    made.begun = now;
    made.identification = part.identification;
    made.protocol = part.protocol;
    made.blocks.fill(detail::no_slot);
    const std::uint64_t network =
        part.source.is_v4() ? part.source.v4().to_host_order() : detail::number_of(part.source.v6().octets(), 0, 8);
    made.source_class = static_cast<std::uint8_t>(detail::table_hash(key_, {network}) % classes);
    by_age_[part.source.is_v4() ? 0 : 1].push_back(age_links_, at);
    by_class_[made.source_class].push_back(class_links_, at);
    ++held_by_class_[made.source_class];
    return at;
}

reassembly::meeting reassembly::meets(const record& what, const fragment& part) const noexcept {
    const std::size_t to = part.offset + part.payload.size();
    const bool none = all_blocks(part.offset, to, [&](std::size_t block, std::size_t from, std::size_t bound) {
        const slot held = what.blocks[block];
        return held == detail::no_slot || !blocks_[held].received.any(from, bound);
    });
    if (none) { return meeting::none; }
    // A copy covers one fragment exactly: it begins where one begins, and the next unit is another's or nobody's.
    const std::size_t first = part.offset / fragment_unit;
    const std::size_t next = (to + fragment_unit - 1) / fragment_unit;
    if (!is_start(what, first) || (is_received(what, next) && !is_start(what, next))) { return meeting::overlap; }
    const bool one = all_blocks(part.offset, to, [&](std::size_t block, std::size_t from, std::size_t bound) {
        const slot held = what.blocks[block];
        if (held == detail::no_slot || !blocks_[held].received.all(from, bound)) { return false; }
        const bool leads = block == first / unit_bits::size && from == first % unit_bits::size;
        return !blocks_[held].starts.any(leads ? from + 1 : from, bound);
    });
    return one && same_octets(what, part) ? meeting::copy : meeting::overlap;
}

bool reassembly::same_octets(const record& what, const fragment& part) const noexcept {
    const std::size_t to = part.offset + part.payload.size();
    return all_blocks(part.offset, to, [&](std::size_t block, std::size_t from, std::size_t) {
        const block_part in = part_in_block(block, from, part.offset, part.payload);
        return std::memcmp(octets_of(what.blocks[block]).data() + in.at, in.payload.data(), in.payload.size()) == 0;
    });
}

/// Has the datagram hold the blocks of a stretch, at the cost of others. Returns false if it is itself the one that should
/// go.
bool reassembly::take_blocks(slot at, std::size_t from, std::size_t to) noexcept {
    record& what = records_[at];
    const std::size_t first = from / fragment_block::octets;
    const std::size_t last = (to + fragment_block::octets - 1) / fragment_block::octets;
    const auto missing =
        static_cast<std::size_t>(std::count(what.blocks.begin() + static_cast<std::ptrdiff_t>(first),
                                            what.blocks.begin() + static_cast<std::ptrdiff_t>(last), detail::no_slot));
    while (blocks_.size() - held_blocks_ < missing) {
        const slot victim = largest();
        if (victim == at) { return false; }
        erase(victim);
        ++displaced_;
    }
    for (std::size_t block = first; block != last; ++block) {
        if (what.blocks[block] != detail::no_slot) { continue; }
        const slot taken = free_block_;
        free_block_ = next_free_[taken];
        blocks_[taken] = fragment_block();
        what.blocks[block] = taken;
    }
    what.held += static_cast<std::uint32_t>(missing);
    held_by_class_[what.source_class] += static_cast<std::uint32_t>(missing);
    held_blocks_ += missing;
    return true;
}

void reassembly::copy_in(record& what, const fragment& part) noexcept {
    const std::size_t first = part.offset / fragment_unit;
    all_blocks(part.offset, part.offset + part.payload.size(), [&](std::size_t block, std::size_t from, std::size_t bound) {
        const block_part in = part_in_block(block, from, part.offset, part.payload);
        std::memcpy(octets_of(what.blocks[block]).data() + in.at, in.payload.data(), in.payload.size());
        blocks_[what.blocks[block]].received.set(from, bound);
        return true;
    });
    blocks_[what.blocks[first / unit_bits::size]].starts.set(first % unit_bits::size);
}

std::span<const std::byte> reassembly::assemble(const record& what, std::size_t octets) noexcept {
    for (std::size_t at = 0; at < octets; at += fragment_block::octets) {
        const auto from = octets_of(what.blocks[at / fragment_block::octets]);
        std::memcpy(assembled_.data() + at, from.data(), std::min(from.size(), octets - at));
    }
    return std::span<const std::byte>(assembled_).first(octets);
}

/// How many octets have arrived from the first one on without a gap.
std::size_t reassembly::beginning_of(const record& what) const noexcept {
    std::size_t unit = 0;
    all_blocks(0, what.highest, [&](std::size_t block, std::size_t from, std::size_t bound) {
        const slot held = what.blocks[block];
        if (held == detail::no_slot) { return false; }
        while (from != bound && blocks_[held].received.test(from)) { ++from; }
        unit = block * unit_bits::size + from;
        return from == bound;
    });
    return std::min<std::size_t>(unit * fragment_unit, what.highest);
}

/// The oldest datagram of the class that holds most.
reassembly::slot reassembly::largest() const noexcept {
    const auto most = std::max_element(held_by_class_.begin(), held_by_class_.end());
    return by_class_[static_cast<std::size_t>(most - held_by_class_.begin())].front();
}

void reassembly::free_blocks(record& what) noexcept {
    for (slot& held : what.blocks) {
        if (held == detail::no_slot) { continue; }
        next_free_[held] = free_block_;
        free_block_ = held;
        held = detail::no_slot;
    }
    held_by_class_[what.source_class] -= what.held;
    held_blocks_ -= what.held;
    what.held = 0;
}

void reassembly::erase(slot at) noexcept {
    record& what = records_[at];
    free_blocks(what);
    --held_by_class_[what.source_class];
    by_age_[what.source.is_v4() ? 0 : 1].erase(age_links_, at);
    by_class_[what.source_class].erase(class_links_, at);
    index_.erase(what.hash, at);
}

bool reassembly::is_received(const record& what, std::size_t unit) const noexcept {
    const std::size_t block = unit / unit_bits::size;
    if (block >= blocks_each || what.blocks[block] == detail::no_slot) { return false; }
    return blocks_[what.blocks[block]].received.test(unit % unit_bits::size);
}

bool reassembly::is_start(const record& what, std::size_t unit) const noexcept {
    return is_received(what, unit) && blocks_[what.blocks[unit / unit_bits::size]].starts.test(unit % unit_bits::size);
}

bool reassembly::is_late(const record& what, time_point now) const noexcept {
    return now - what.begun >= (what.source.is_v4() ? options_.ipv4_time : options_.ipv6_time);
}

std::span<std::byte> reassembly::octets_of(slot block) noexcept {
    return std::span(octets_).subspan(block * fragment_block::octets, fragment_block::octets);
}

std::span<const std::byte> reassembly::octets_of(slot block) const noexcept {
    return std::span(octets_).subspan(block * fragment_block::octets, fragment_block::octets);
}

}  // namespace fluxnet::proto
