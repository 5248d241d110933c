// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/neighbour/own_addresses.hpp"

#include "fluxnet/proto/link_group.hpp"

#include <algorithm>
#include <cassert>

namespace fluxnet::proto {
namespace {

using std::chrono::seconds;

// RFC 5227 section 1.1.
constexpr own_addresses::duration probe_wait = seconds(1);
constexpr std::uint8_t probe_number = 3;
constexpr own_addresses::duration probe_least = seconds(1);
constexpr own_addresses::duration probe_spread = seconds(1);  // PROBE_MAX - PROBE_MIN
constexpr own_addresses::duration announce_wait = seconds(2);
constexpr std::uint8_t announce_number = 2;
constexpr own_addresses::duration announce_interval = seconds(2);
constexpr unsigned most_conflicts = 10;
constexpr own_addresses::duration conflict_rest = seconds(60);
constexpr own_addresses::duration defend_interval = seconds(10);

/// Takes a random part of a length of at most 2 s.
own_addresses::duration part_of(own_addresses::duration whole, std::uint32_t random) noexcept {
    return own_addresses::duration((whole.count() * random) >> 32);
}

/// Tells whether a host may ask from the address: a host's own, or 0.0.0.0, which probes.
bool may_ask_from(ipv4_address sender) noexcept {
    if (sender.is_unspecified()) { return true; }
    return !sender.is_this_network() && !sender.is_multicast() && !sender.is_broadcast() && !sender.is_loopback();
}

}  // namespace

own_addresses::own_addresses(mac_address hardware, const options& chosen) : hardware_(hardware), options_(chosen) {
    assert(!hardware.is_multicast() && !hardware.is_zero());
    records_.reserve(chosen.capacity);
}

bool own_addresses::may_add(const ip_address& address) const noexcept {
    if (find(address) != nullptr || records_.size() == options_.capacity) { return false; }
    if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) { return false; }
    return address.is_v6() || (!address.v4().is_this_network() && !address.v4().is_broadcast());
}

bool own_addresses::add(const ip_address& address, defence how, time_point now, std::uint32_t random) noexcept {
    if (!may_add(address)) { return false; }
    record& made = records_.emplace_back();
    made.address = address;
    made.how = how;
    begin(made, now, random);
    return true;
}

bool own_addresses::add_unprobed(const ip_address& address, defence how) noexcept {
    if (!may_add(address)) { return false; }
    record& made = records_.emplace_back();
    made.address = address;
    made.how = how;
    made.tentative = false;
    return true;
}

void own_addresses::remove(const ip_address& address) noexcept {
    record* const what = find(address);
    if (what == nullptr) { return; }
    *what = records_.back();
    records_.pop_back();
}

void own_addresses::probe_again(time_point now, std::uint32_t random) noexcept {
    for (record& what : records_) {
        begin(what, now, random);
        random = random * 0x9e3779b1U + 0x7f4a7c15U;  // so that they do not all go out at once
    }
}

void own_addresses::set_hardware(mac_address hardware, time_point now) noexcept {
    assert(!hardware.is_multicast() && !hardware.is_zero());
    hardware_ = hardware;
    for (record& what : records_) {
        if (what.tentative || follows_) { continue; }
        what.defends = true;  // which replaces what others know (RFC 4861 section 7.2.6)
        what.sent = announce_number - 1;
        what.due = now + announce_interval;
    }
}

void own_addresses::begin(record& what, time_point now, std::uint32_t random) noexcept {
    const bool rests = what.address.is_v4() && lost_in_a_row_ >= most_conflicts;
    what.tentative = true;
    what.defends = false;
    what.sent = 0;
    what.conflict.reset();
    what.due.reset();
    if (follows_) { return; }
    what.due = now + (rests ? conflict_rest : duration(0)) + part_of(probe_wait, random);
}

void own_addresses::follow() noexcept {
    follows_ = true;
    for (record& what : records_) {
        what.defends = false;
        what.due.reset();
    }
}

void own_addresses::lead(time_point now, std::uint32_t random) noexcept {
    follows_ = false;
    for (record& what : records_) {
        if (what.tentative) { begin(what, now, random); }
        random = random * 0x9e3779b1U + 0x7f4a7c15U;  // so that they do not all go out at once
    }
}

void own_addresses::confirm(const ip_address& address) noexcept {
    if (record* const what = find(address)) { what->tentative = false; }
}

std::optional<own_addresses::message> own_addresses::next_message(time_point now, std::uint32_t random) noexcept {
    for (record& what : records_) {
        if (what.defends) {
            what.defends = false;
            return message{message::defending, what.address};
        }
        if (what.due && *what.due <= now) { return send(what, now, random); }
    }
    return std::nullopt;
}

/// Sends the next probe or announcement of an address whose time has come.
own_addresses::message own_addresses::send(record& what, time_point now, std::uint32_t random) noexcept {
    const bool v4 = what.address.is_v4();
    const std::uint8_t probes = v4 ? probe_number : options_.ipv6_probes;
    if (what.tentative && what.sent < probes) {
        ++what.sent;
        const duration next = what.sent == probes ? announce_wait : probe_least + part_of(probe_spread, random);
        what.due = now + (v4 ? next : options_.ipv6_retransmit);
        return {message::probe, what.address};
    }
    if (what.tentative) {
        what.tentative = false;
        what.sent = 0;
        if (v4) { lost_in_a_row_ = 0; }
    }
    ++what.sent;
    what.due.reset();
    if (what.sent < announce_number) { what.due = now + announce_interval; }
    return {message::announcement, what.address};
}

std::optional<own_addresses::time_point> own_addresses::deadline() const noexcept {
    std::optional<time_point> first;
    for (const record& what : records_) {
        if (what.defends) { return time_point::min(); }
        if (what.due && (!first || *what.due < *first)) { first = what.due; }
    }
    return first;
}

own_addresses::verdict own_addresses::heard_arp(const arp_repr& packet, mac_address from, time_point now) noexcept {
    const mac_address station = packet.sender_hardware;
    // A packet of its own comes back on a link with a loop, and would be a conflict with itself.
    if (station != from || station.is_multicast() || station.is_zero() || station == hardware_) { return {}; }
    if (record* const same = find(packet.sender_protocol)) { return claimed(*same, station, now); }
    if (packet.operation != arp_operation::request) { return {}; }
    record* const asked = find(packet.target_protocol);
    if (asked == nullptr || !may_ask_from(packet.sender_protocol)) { return {}; }
    const bool probe = packet.sender_protocol.is_unspecified();
    // A probe for an address that is probed here means that two want it: neither may have it (RFC 5227 section 2.1.1).
    if (asked->tentative) { return probe ? lose(*asked, station) : verdict(); }
    return {verdict::answer, asked->address, station, false};
}

own_addresses::verdict own_addresses::heard_solicitation(const ipv6_address& target, const ipv6_address& source,
                                                         mac_address from, time_point now) noexcept {
    if (from.is_multicast() || from.is_zero() || from == hardware_) { return {}; }
    if (record* const same = find(source)) { return claimed(*same, from, now); }
    record* const asked = find(target);
    if (asked == nullptr || source.is_multicast() || source.is_loopback()) { return {}; }
    const bool probe = source.is_unspecified();
    if (asked->tentative) { return probe ? lose(*asked, from) : verdict(); }
    return {verdict::answer, asked->address, from, probe};
}

own_addresses::verdict own_addresses::heard_advertisement(const ipv6_address& target, mac_address from,
                                                          time_point now) noexcept {
    if (from.is_multicast() || from.is_zero() || from == hardware_) { return {}; }
    record* const same = find(target);
    return same == nullptr ? verdict() : claimed(*same, from, now);
}

/// Another station has an address of this host's.
own_addresses::verdict own_addresses::claimed(record& what, mac_address station, time_point now) noexcept {
    if (follows_) { return {verdict::conflict, what.address, station, false}; }
    if (what.tentative || what.how == defence::never) { return lose(what, station); }
    if (what.conflict && now - *what.conflict < defend_interval) {
        if (what.how == defence::once) { return lose(what, station); }
        return {verdict::conflict, what.address, station, false};
    }
    what.conflict = now;
    what.defends = true;
    return {verdict::defended, what.address, station, false};
}

own_addresses::verdict own_addresses::lose(record& what, mac_address station) noexcept {
    if (follows_) { return {verdict::conflict, what.address, station, false}; }
    const verdict told{verdict::lost, what.address, station, false};
    if (what.address.is_v4()) { ++lost_in_a_row_; }
    what = records_.back();
    records_.pop_back();
    return told;
}

own_addresses::state own_addresses::state_of(const ip_address& address) const noexcept {
    const record* const what = find(address);
    if (what == nullptr) { return state::none; }
    return what->tentative ? state::tentative : state::in_use;
}

bool own_addresses::listens_to(const ipv6_address& group) const noexcept {
    if (group == ipv6_address::all_nodes()) { return true; }
    return std::ranges::any_of(
        records_, [&](const record& what) { return what.address.is_v6() && what.address.v6().solicited_node() == group; });
}

const own_addresses::record* own_addresses::find(const ip_address& address) const noexcept {
    const auto found = std::ranges::find(records_, address, &record::address);
    return found == records_.end() ? nullptr : &*found;
}

own_addresses::record* own_addresses::find(const ip_address& address) noexcept {
    const auto found = std::ranges::find(records_, address, &record::address);
    return found == records_.end() ? nullptr : &*found;
}

}  // namespace fluxnet::proto
