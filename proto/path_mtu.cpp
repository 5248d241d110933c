// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/path_mtu.hpp"

#include <algorithm>
#include <cassert>

namespace fluxnet::proto {
namespace {

/// MTUs that links commonly have (RFC 1191 section 7.1), for routers that do not tell theirs.
constexpr std::array<std::uint32_t, 11> plateaus{65'535, 32'000, 17'914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};

/// The largest plateau below a length; 0 when there is none.
std::uint32_t plateau_below(std::uint32_t length) noexcept {
    const auto found = std::ranges::find_if(plateaus, [&](std::uint32_t plateau) { return plateau < length; });
    return found == plateaus.end() ? 0 : *found;
}

/// The length of the packet that an old router quotes, or 0 for one that tells nothing new: it was sent before the estimate
/// was lowered to `known`. Some routers count the header twice (RFC 1191 section 5), which makes a packet of the size of the
/// estimate look larger by 20 to 60 octets.
std::uint32_t true_length(std::uint32_t quoted, std::uint32_t known) noexcept {
    if (quoted <= known) { return quoted; }
    const std::uint32_t more = quoted - known;
    return more >= 20 && more <= 60 && more % 4 == 0 ? known : 0;
}

}  // namespace

path_mtu::path_mtu(const options& chosen, std::span<const std::byte, 16> secret)
    : options_(chosen), key_(secret), index_(chosen.capacity), records_(chosen.capacity), links_(chosen.capacity) {
    assert(chosen.capacity != 0 && chosen.ipv4_least >= ipv4_any_link);
}

path_mtu::estimate path_mtu::lookup(const ip_address& destination, std::uint32_t link_mtu, time_point now) const noexcept {
    const slot at = find(destination, detail::address_hash(key_, destination));
    if (at == detail::no_slot || now - records_[at].lowered >= options_.lifetime) { return {link_mtu, false}; }
    const estimate& known = records_[at].known;
    return {std::min(known.octets, link_mtu), known.may_fragment};
}

bool path_mtu::lower(const too_big& message, std::uint32_t link_mtu, time_point now) noexcept {
    const estimate before = lookup(message.destination, link_mtu, now);
    const estimate after = reported_by(message, before);
    if (after == before) { return false; }
    const std::uint64_t hash = detail::address_hash(key_, message.destination);
    slot at = find(message.destination, hash);
    if (at == detail::no_slot) {
        if (index_.full()) { erase(by_age_.front()); }
        at = index_.insert(hash);
    } else {
        by_age_.erase(links_, at);
    }
    records_[at] = {message.destination, hash, now, after};
    by_age_.push_back(links_, at);
    return true;
}

/// What the estimate is after a message: the one before, if the message is not to be believed or tells nothing new.
path_mtu::estimate path_mtu::reported_by(const too_big& message, const estimate& before) const noexcept {
    std::uint32_t reported = message.reported;
    if (reported != 0 && reported >= message.packet_length) { return before; }
    if (message.destination.is_v6()) {
        return reported < ipv6_least || reported >= before.octets ? before : estimate{reported, false};
    }
    if (reported == 0) { reported = plateau_below(true_length(message.packet_length, before.octets)); }
    if (reported < ipv4_any_link || reported >= before.octets) { return before; }
    // On a link that is narrower than the least itself, packets are no larger than it carries.
    const std::uint32_t octets = std::min(std::max(reported, options_.ipv4_least), before.octets);
    return {octets, before.may_fragment || reported < options_.ipv4_least};
}

void path_mtu::forget(const ip_address& destination) noexcept {
    const slot at = find(destination, detail::address_hash(key_, destination));
    if (at != detail::no_slot) { erase(at); }
}

std::size_t path_mtu::memory_octets() const noexcept {
    return sizeof *this + index_.memory_octets() + records_.capacity() * sizeof(record) +
           links_.capacity() * sizeof(detail::slot_link);
}

path_mtu::slot path_mtu::find(const ip_address& destination, std::uint64_t hash) const noexcept {
    return index_.find(hash, [&](slot at) { return records_[at].destination == destination; });
}

void path_mtu::erase(slot at) noexcept {
    by_age_.erase(links_, at);
    index_.erase(records_[at].hash, at);
}

}  // namespace fluxnet::proto
