// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/neighbour/neighbour_table.hpp"

#include "fluxnet/proto/link_group.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace fluxnet::proto {
namespace {

/// Tells whether one station of the link may have the address.
bool may_be_neighbour(const ip_address& address) noexcept {
    if (address.is_multicast() || address.is_loopback() || address.is_unspecified()) { return false; }
    return address.is_v6() || (!address.v4().is_this_network() && !address.v4().is_broadcast());
}

bool may_be_station(mac_address hardware) noexcept {
    return !hardware.is_multicast() && !hardware.is_zero();
}

/// Where a question goes that every station with the address must hear.
mac_address all_that_may_have(const ip_address& address) noexcept {
    return address.is_v4() ? mac_address::broadcast() : hardware_of_group(address.v6().solicited_node());
}

}  // namespace

neighbour_table::neighbour_table(const options& chosen, std::span<const std::byte, 16> secret)
    : options_(chosen), key_(secret), index_(chosen.capacity), records_(chosen.capacity), order_links_(chosen.capacity),
      queue_links_(chosen.capacity),
      asked_(std::bit_ceil(std::max<std::size_t>(chosen.capacity * 4, 1024)), time_point::min()),
      bucket_(chosen.probes_per_second, chosen.probe_burst), reserve_(chosen.probe_burst / 4) {
    assert(chosen.unresolved != 0 && chosen.capacity != 0 && chosen.probe_burst >= 4);
    assert(chosen.multicast_probes != 0 && chosen.unicast_probes != 0 && chosen.contest_probes != 0);
}

bool neighbour_table::add_permanent(const ip_address& address, mac_address hardware, time_point now) noexcept {
    assert(may_be_neighbour(address) && may_be_station(hardware));
    slot at = find(address);
    if (at == detail::no_slot) {
        if (index_.full()) {
            const slot least = spare(now);
            if (least == detail::no_slot || records_[least].waits_in == queue::failures) { return false; }
            erase(least);
        }
        at = insert(address, now);
    }
    settle(at, neighbour_state::permanent, now);
    records_[at].hardware = hardware;
    ++version_;
    return true;
}

neighbour_table::hop neighbour_table::find_hop(const ip_address& address, time_point now) noexcept {
    hop told;
    slot at = find(address);
    if (at == detail::no_slot) {
        if (!may_be_neighbour(address)) { return {hop::unreachable, {}, {}}; }
        if (!make_room(now, told)) { return told; }
        at = insert(address, now);
        begin(at, now, told);
    }
    last_resolved_ = at;
    record& what = records_[at];
    what.used = now;
    switch (state_of(what, now)) {
        case neighbour_state::incomplete: told.what = hop::waiting; return told;
        case neighbour_state::failed:
            if (now - what.since < options_.failed_for) {
                told.what = hop::unreachable;
            } else {
                begin(at, now, told);
                told.what = hop::waiting;
            }
            return told;
        case neighbour_state::stale:
            set_state(at, neighbour_state::delay);
            enqueue(at, queue::delayed, now);
            break;
        case neighbour_state::permanent: return {hop::known, what.hardware, {}};
        default: break;
    }
    known_.erase(order_links_, at);  // to the end: used last
    known_.push_back(order_links_, at);
    return {hop::known, what.hardware, {}};
}

neighbour_table::entry neighbour_table::lookup(const ip_address& address, time_point now) const noexcept {
    const slot at = find(address);
    if (at == detail::no_slot) { return {}; }
    const record& what = records_[at];
    return {state_of(what, now), what.hardware, what.router};
}

void neighbour_table::confirm(const ip_address& address, time_point now) noexcept {
    const slot at = find(address);
    if (at == detail::no_slot) { return; }
    if (order_of(records_[at].state) == &known_) { settle(at, neighbour_state::reachable, now); }
}

neighbour_table::news neighbour_table::heard(const ip_address& address, mac_address hardware, bool reply,
                                             time_point now) noexcept {
    const slot at = find(address);
    if (at == detail::no_slot || !may_be_station(hardware)) { return {}; }
    record& what = records_[at];
    const bool answer = reply && has_asked(what);
    switch (what.state) {
        case neighbour_state::permanent: return {};
        case neighbour_state::incomplete:
        case neighbour_state::failed:
            what.hardware = hardware;
            settle(at, answer ? neighbour_state::reachable : neighbour_state::stale, now);
            return {news::resolved, false};
        default: break;
    }
    if (what.hardware != hardware) { return contest(at, hardware, now); }
    if (!answer) { return {}; }
    settle(at, neighbour_state::reachable, now);
    return {news::confirmed, false};
}

neighbour_table::news neighbour_table::contest(slot at, mac_address hardware, time_point now) noexcept {
    record& what = records_[at];
    if (!what.rival.is_zero()) { return {}; }  // the first claim is looked into; a second one may not begin that anew
    what.rival = hardware;
    if (what.state == neighbour_state::probe) { return {news::contested, false}; }
    set_state(at, neighbour_state::probe);
    what.probes = 0;
    enqueue(at, queue::known_due, now);
    return {news::contested, false};
}

neighbour_table::news neighbour_table::heard_advertisement(const ip_address& address, std::optional<mac_address> hardware,
                                                           advertisement_flags flags, time_point now) noexcept {
    const slot at = find(address);
    if (at == detail::no_slot || (hardware && !may_be_station(*hardware))) { return {}; }
    record& what = records_[at];
    switch (what.state) {
        case neighbour_state::permanent: return {};
        case neighbour_state::incomplete:
        case neighbour_state::failed: {
            if (!hardware) { return {}; }
            const bool answer = flags.solicited && has_asked(what);
            what.hardware = *hardware;
            what.router = flags.router;
            settle(at, answer ? neighbour_state::reachable : neighbour_state::stale, now);
            return {news::resolved, false};
        }
        default: break;
    }
    const bool differs = hardware && *hardware != what.hardware;
    if (differs && !flags.overrides) {
        if (state_of(what, now) == neighbour_state::reachable) { settle(at, neighbour_state::stale, now); }
        return {};
    }
    news told;
    told.lost_router = change_router(what, flags.router);
    if (differs) {
        // Stale even if it says "solicited": the question that is open, if any, went to the other station.
        what.hardware = *hardware;
        settle(at, neighbour_state::stale, now);
        ++version_;
        told.what = news::changed;
    } else if (flags.solicited && has_asked(what)) {
        settle(at, neighbour_state::reachable, now);
        told.what = news::confirmed;
    }
    return told;
}

neighbour_table::news neighbour_table::learn(const ip_address& address, mac_address hardware, time_point now) noexcept {
    const slot at = find(address);
    if (at == detail::no_slot || !may_be_station(hardware)) { return {}; }
    record& what = records_[at];
    if (what.state == neighbour_state::permanent) { return {}; }
    const bool unknown = what.state == neighbour_state::incomplete || what.state == neighbour_state::failed;
    const bool changes = !unknown && what.hardware != hardware;
    what.hardware = hardware;
    settle(at, neighbour_state::reachable, now);
    if (changes) { ++version_; }
    return {unknown ? news::resolved : changes ? news::changed : news::confirmed, false};
}

neighbour_table::news neighbour_table::set_router(const ip_address& address, bool router) noexcept {
    const slot at = find(address);
    if (at == detail::no_slot) { return {}; }
    return {news::ignored, change_router(records_[at], router)};
}

bool neighbour_table::change_router(record& what, bool router) noexcept {
    const bool lost = what.router && !router;
    what.router = router;
    return lost;
}

std::optional<neighbour_table::probe> neighbour_table::next_probe(time_point now) noexcept {
    advance(now);
    const slot known = first_rested(queue::known_due, now);
    if (known != detail::no_slot) {
        if (!bucket_.take(now)) { return std::nullopt; }
        return ask(known, now);
    }
    const slot unknown = first_rested(queue::unknown_due, now);
    if (unknown == detail::no_slot || !bucket_.holds(now, 1 + reserve_) || !bucket_.take(now)) { return std::nullopt; }
    return ask(unknown, now);
}

/// Returns the first of a queue that may be asked for now. Those asked for less than a second ago wait once more, as if a
/// question had just gone out.
neighbour_table::slot neighbour_table::first_rested(queue which, time_point now) noexcept {
    for (slot at = list(which).front(); at != detail::no_slot; at = list(which).front()) {
        if (last_asked(at) <= now - options_.retransmit_time) { return at; }
        enqueue(at, queue::asked, now);
    }
    return detail::no_slot;
}

neighbour_table::time_point& neighbour_table::last_asked(slot at) noexcept {
    return asked_[static_cast<std::size_t>(records_[at].hash >> 32) & (asked_.size() - 1)];
}

neighbour_table::probe neighbour_table::ask(slot at, time_point now) noexcept {
    record& what = records_[at];
    ++what.probes;
    last_asked(at) = now;
    enqueue(at, queue::asked, now);
    if (what.state == neighbour_state::probe) { return {what.address, what.hardware, true}; }
    return {what.address, all_that_may_have(what.address), false};
}

std::optional<ip_address> neighbour_table::next_failure() noexcept {
    const slot at = list(queue::failures).front();
    if (at == detail::no_slot) { return std::nullopt; }
    enqueue(at, queue::none, {});
    return records_[at].address;
}

std::optional<neighbour_table::time_point> neighbour_table::deadline() const noexcept {
    if (!list(queue::failures).empty()) { return time_point::min(); }
    std::optional<time_point> first;
    const auto consider = [&](time_point when) { first = first ? std::min(*first, when) : when; };
    if (!list(queue::known_due).empty()) { consider(bucket_.when()); }
    if (!list(queue::unknown_due).empty()) { consider(bucket_.when(1 + reserve_)); }
    if (const slot at = list(queue::asked).front(); at != detail::no_slot) {
        consider(records_[at].since + options_.retransmit_time);
    }
    if (const slot at = list(queue::delayed).front(); at != detail::no_slot) {
        consider(records_[at].since + options_.delay_before_probe);
    }
    return first;
}

void neighbour_table::advance(time_point now) noexcept {
    for (slot at = list(queue::delayed).front(); at != detail::no_slot; at = list(queue::delayed).front()) {
        if (now - records_[at].since < options_.delay_before_probe) { break; }
        set_state(at, neighbour_state::probe);
        records_[at].probes = 0;
        enqueue(at, queue::known_due, now);
    }
    for (slot at = list(queue::asked).front(); at != detail::no_slot; at = list(queue::asked).front()) {
        if (now - records_[at].since < options_.retransmit_time) { break; }
        unanswered(at, now);
    }
}

/// Goes on after a second without an answer: asks once more, asks the station that claims the address, asks all, or gives
/// up.
void neighbour_table::unanswered(slot at, time_point now) noexcept {
    record& what = records_[at];
    if (what.state == neighbour_state::incomplete) {
        if (what.probes < options_.multicast_probes) { return enqueue(at, queue::unknown_due, now); }
        set_state(at, neighbour_state::failed);
        return enqueue(at, queue::failures, now);
    }
    if (!what.rival.is_zero() && what.probes >= options_.contest_probes) {
        what.hardware = what.rival;
        what.rival = mac_address();
        what.probes = 0;
        ++version_;
        return enqueue(at, queue::known_due, now);
    }
    if (what.probes < options_.unicast_probes || !what.rival.is_zero()) { return enqueue(at, queue::known_due, now); }
    if (now - what.used >= options_.in_use_for) { return erase(at); }
    // It may have a new card that it did not announce: all are asked before what waits fails (RFC 7048 section 3).
    const slot oldest = unresolved_.front();
    if (unresolved_.size() >= options_.unresolved) {
        set_state(oldest, neighbour_state::failed);
        enqueue(oldest, queue::failures, now);
    }
    set_state(at, neighbour_state::incomplete);
    what.hardware = mac_address();
    what.probes = 0;
    ++version_;
    enqueue(at, queue::unknown_due, now);
}

void neighbour_table::forget(const ip_address& address) noexcept {
    const slot at = find(address);
    if (at != detail::no_slot) { erase(at); }
}

std::size_t neighbour_table::memory_octets() const noexcept {
    return sizeof *this + index_.memory_octets() + records_.capacity() * sizeof(record) +
           asked_.capacity() * sizeof(time_point) +
           (order_links_.capacity() + queue_links_.capacity()) * sizeof(detail::slot_link);
}

neighbour_table::slot neighbour_table::find(const ip_address& address) const noexcept {
    return index_.find(detail::address_hash(key_, address), [&](slot at) { return records_[at].address == address; });
}

/// Makes an entry that is in no state yet; there is room.
neighbour_table::slot neighbour_table::insert(const ip_address& address, time_point now) noexcept {
    const std::uint64_t hash = detail::address_hash(key_, address);
    const slot at = index_.insert(hash);
    records_[at] = record();
    records_[at].address = address;
    records_[at].hash = hash;
    records_[at].used = now;
    return at;
}

/// The entry that is of least use: one that failed, or a known one that was not used for long. None: no_slot.
neighbour_table::slot neighbour_table::spare(time_point now) const noexcept {
    if (!failed_.empty()) { return failed_.front(); }
    const slot unused = known_.front();
    return unused != detail::no_slot && now - records_[unused].used >= options_.in_use_for ? unused : detail::no_slot;
}

/// Makes room for an entry that is to be asked for. Returns false when all are in use.
bool neighbour_table::make_room(time_point now, hop& told) noexcept {
    const bool too_many = unresolved_.size() >= options_.unresolved;
    if (!too_many && !index_.full()) { return true; }
    slot least = too_many ? detail::no_slot : spare(now);
    if (least == detail::no_slot) { least = unresolved_.front(); }
    if (least == detail::no_slot) { return false; }
    const record& what = records_[least];
    if (what.state == neighbour_state::incomplete || what.waits_in == queue::failures) { told.given_up = what.address; }
    erase(least);
    return true;
}

/// Begins to ask all for an address that is not known.
void neighbour_table::begin(slot at, time_point now, hop& told) noexcept {
    if (unresolved_.size() >= options_.unresolved) {
        told.given_up = records_[unresolved_.front()].address;
        erase(unresolved_.front());
    }
    set_state(at, neighbour_state::incomplete);
    records_[at].hardware = mac_address();
    records_[at].probes = 0;
    enqueue(at, queue::unknown_due, now);
}

void neighbour_table::erase(slot at) noexcept {
    if (order_of(records_[at].state) == &known_ || records_[at].state == neighbour_state::permanent) { ++version_; }
    if (last_resolved_ == at) { last_resolved_ = detail::no_slot; }
    set_state(at, neighbour_state::none);
    enqueue(at, queue::none, {});
    index_.erase(records_[at].hash, at);
}

/// Has an entry be in a state in which nothing is asked.
void neighbour_table::settle(slot at, neighbour_state state, time_point now) noexcept {
    record& what = records_[at];
    what.rival = mac_address();
    what.probes = 0;
    what.confirmed = now;
    set_state(at, state);
    enqueue(at, queue::none, {});
}

void neighbour_table::set_state(slot at, neighbour_state state) noexcept {
    detail::slot_list* const before = order_of(records_[at].state);
    detail::slot_list* const after = order_of(state);
    records_[at].state = state;
    if (before == after) { return; }
    if (before != nullptr) { before->erase(order_links_, at); }
    if (after != nullptr) { after->push_back(order_links_, at); }
}

void neighbour_table::enqueue(slot at, queue where, time_point now) noexcept {
    record& what = records_[at];
    if (what.waits_in != queue::none) { list(what.waits_in).erase(queue_links_, at); }
    what.waits_in = where;
    if (where == queue::none) { return; }
    what.since = now;
    list(where).push_back(queue_links_, at);
}

detail::slot_list* neighbour_table::order_of(neighbour_state state) noexcept {
    switch (state) {
        case neighbour_state::incomplete: return &unresolved_;
        case neighbour_state::failed: return &failed_;
        case neighbour_state::none:
        case neighbour_state::permanent: return nullptr;
        default: return &known_;
    }
}

neighbour_state neighbour_table::state_of(const record& what, time_point now) const noexcept {
    const bool old = what.state == neighbour_state::reachable && now - what.confirmed >= options_.reachable_time;
    return old ? neighbour_state::stale : what.state;
}

/// Tells whether a question is open that an answer may end.
bool neighbour_table::has_asked(const record& what) const noexcept {
    return what.probes != 0 && (what.state == neighbour_state::incomplete || what.state == neighbour_state::probe);
}

}  // namespace fluxnet::proto
