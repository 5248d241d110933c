// SPDX-License-Identifier: BSD-3-Clause
// What the hosts on several queues of one interface hand on to one another, and how they agree on their addresses.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace fluxnet::host::detail {

// What is handed on

std::optional<host_core::outcome> host_core::hand_on(const ip_payload& got, port_use use, std::uint16_t port) noexcept {
    if (!place_) { return std::nullopt; }
    const sibling_set seen_by = taken_ == nullptr ? sibling_set{0} : taken_->seen_by;
    const auto to = place_.server_of(use, port, seen_by);
    if (!to) { return std::nullopt; }
    handed_on next;
    if (taken_ != nullptr) {
        next = std::move(*taken_);
    } else if (got.frame != nullptr) {
        next.frame = std::move(*got.frame);
    } else {
        next.whole.reset(new (std::nothrow) std::byte[got.bytes.size() + 1]);
        if (next.whole == nullptr) { return outcome::queue_full; }
        if (!got.bytes.empty()) { std::memcpy(next.whole.get(), got.bytes.data(), got.bytes.size()); }
        next.whole_size = got.bytes.size();
        next.source = got.source;
        next.destination = got.destination;
        next.protocol = got.protocol;
        next.station = got.station;
        next.link_group = got.link_group;
        next.broadcast = got.broadcast;
    }
    next.seen_by = static_cast<sibling_set>(seen_by | only_sibling(place_.number()));
    return place_.all()->hand_on(place_.number(), *to, std::move(next)) ? outcome::handed_on : outcome::queue_full;
}

void host_core::tell_siblings(const packet& frame, std::size_t octets) noexcept {
    if (!place_ || taken_ != nullptr) { return; }
    const std::span<const std::byte> all = frame.data();
    counters_.not_told += place_.all()->tell_others(place_.number(), all.first(std::min(octets, all.size())));
}

void host_core::take(handed_on& what) noexcept {
    dirty_ = true;  // the end of the turn looks at what is published, too
    if (what.copied == 0 && !what.holds_packet()) { return; }
    ++counters_.frames;
    taken_ = &what;
    count(take_one(what));
    taken_ = nullptr;
}

host_core::received host_core::take_one(handed_on& what) noexcept {
    if (what.frame) { return sink_ == nullptr ? receive_frame(what.frame) : receive_captured(what.frame); }
    if (what.whole != nullptr) {
        return deliver({.source = what.source,
                        .destination = what.destination,
                        .protocol = what.protocol,
                        .bytes = {what.whole.get(), what.whole_size},
                        .from_ip_on = {},
                        .station = what.station,
                        .link_group = what.link_group,
                        .broadcast = what.broadcast});
    }
    // Looked at in a frame, which is not sent and so stays one of the spare ones.
    if (!has_frame()) { return outcome::queue_full; }
    packet own = take_spare();
    overheard_ = true;
    received heard = outcome::queue_full;
    if (own.assign(std::span(what.copy).first(what.copied))) {
        heard = sink_ == nullptr ? receive_frame(own) : receive_captured(own);
    }
    overheard_ = false;
    if (spares_ != spare_.size()) { spare_[spares_++] = std::move(own); }
    return heard;
}

/// The task that takes ends when it finds that the host has.
void host_core::leave_siblings() noexcept {
    if (!place_) { return; }
    static_cast<void>(place_.all()->hand_on(place_.number(), place_.number(), handed_on()));
    place_.leave();
}

// Addresses

void host_core::follow_leader() noexcept {
    if (!own_.follows()) { return; }
    const bool leads = place_.leads();  // from now on, with what the last one has said
    if (const shared_addresses said = place_.all()->addresses(); said != agreed_) { agree(said); }
    if (!leads) { return; }
    own_.lead(now(), random_.next32());
    dirty_ = true;
}

void host_core::agree(const shared_addresses& said) noexcept {
    agreed_ = said;
    for (std::size_t i = 0; i != addresses_.size(); ++i) {
        const auto state = own_.state_of(addresses_[i]);
        if ((said.lost >> i & 1U) != 0 && state != proto::own_addresses::state::none) {
            own_.remove(addresses_[i]);
            ++counters_.addresses_lost;
            news_ = dirty_ = true;
        } else if ((said.in_use >> i & 1U) != 0 && state == proto::own_addresses::state::tentative) {
            own_.confirm(addresses_[i]);
            news_ = dirty_ = true;
        }
    }
}

void host_core::lead_others() noexcept {
    if (own_.follows()) { return; }
    shared_addresses stand{.lost = agreed_.lost};
    for (std::size_t i = 0; i != addresses_.size(); ++i) {
        const auto state = own_.state_of(addresses_[i]);
        const auto bit = static_cast<std::uint16_t>(1U << i);
        if (state == proto::own_addresses::state::none) { stand.lost = static_cast<std::uint16_t>(stand.lost | bit); }
        if (state == proto::own_addresses::state::in_use) { stand.in_use = static_cast<std::uint16_t>(stand.in_use | bit); }
    }
    if (stand == agreed_) { return; }
    agreed_ = stand;
    place_.all()->publish(place_.number(), stand);
}

}  // namespace fluxnet::host::detail
