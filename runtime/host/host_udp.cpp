// SPDX-License-Identifier: BSD-3-Clause
// UDP: which endpoint a datagram is for, and how one of an endpoint leaves.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/link_group.hpp"
#include "fluxnet/proto/udp.hpp"

#include <cstring>
#include <new>
#include <utility>

namespace fluxnet::host::detail {
namespace {

using proto::ethertype;
using proto::ip_address;
using proto::reason;

constexpr std::size_t longest_over_ipv4 = 65'507;
constexpr std::size_t longest_over_ipv6 = 65'527;

std::error_code failure(std::errc what) noexcept {
    return std::make_error_code(what);
}

/// A copy in memory of its own, for octets that do not stay. Without bytes when there is no memory.
received_datagram copy_of(std::span<const std::byte> bytes, const proto::ip_endpoint& from) noexcept {
    std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes.size() + 1]);
    if (memory == nullptr) { return {}; }
    if (!bytes.empty()) { std::memcpy(memory.get(), bytes.data(), bytes.size()); }
    const std::span<const std::byte> copy(memory.get(), bytes.size());
    return {std::move(memory), copy, from};
}

bool share_versions(const ip_address& one, const ip_address& other) noexcept {
    const auto both = [](const ip_address& address) { return address.is_v6() && address.is_unspecified(); };
    return one.is_v4() == other.is_v4() || both(one) || both(other);
}

}  // namespace

// Endpoints

std::error_code host_core::bind(proto::ip_endpoint& local) noexcept {
    if (ended_) { return ended_; }
    if (!local.address.is_unspecified() && own_.state_of(local.address) == proto::own_addresses::state::none) {
        return failure(std::errc::address_not_available);
    }
    if (!given_.has_udp(local.port)) { return failure(std::errc::address_not_available); }
    local.scope = scope_of(local.address);
    const auto is_taken = [&](std::uint16_t number) {
        for (const udp_port* one = ports_[number % ports_.size()]; one != nullptr; one = one->next_with_port) {
            const ip_address& theirs = one->local().address;
            if (one->local().port != number || !share_versions(theirs, local.address)) { continue; }
            if (theirs == local.address || theirs.is_unspecified() || local.address.is_unspecified()) { return true; }
        }
        return false;
    };
    if (local.port != 0) { return is_taken(local.port) ? failure(std::errc::address_in_use) : std::error_code(); }
    const bool found = choose_port(port_use::udp, [&](std::uint16_t number) {
        local.port = number;
        return !is_taken(number);
    });
    return found ? std::error_code() : failure(std::errc::address_in_use);
}

void host_core::add(udp_port& port) noexcept {
    udp_port*& chain = ports_[port.local().port % ports_.size()];
    port.next_with_port = chain;
    chain = &port;
    place_.serve(port_use::udp, port.local().port);
}

void host_core::remove(udp_port& port) noexcept {
    udp_port** at = &ports_[port.local().port % ports_.size()];
    while (*at != &port) { at = &(*at)->next_with_port; }
    *at = port.next_with_port;
    const std::uint16_t number = port.local().port;
    const udp_port* other = ports_[number % ports_.size()];
    while (other != nullptr && other->local().port != number) { other = other->next_with_port; }
    if (other == nullptr) { place_.cease(port_use::udp, number); }
    for (line* const waiting : {&searching_, &starved_}) {
        for (auto next = waiting->begin(); next != waiting->end();) {
            udp_send& one = *next++;
            if (one.port_ != &port) { continue; }
            waiting->erase(line::s_iterator_to(one));
            one.port_ = nullptr;
            one.failure_ = errc::closed;
            one.complete(no_error);
        }
    }
}

udp_port* host_core::find_port(const ip_address& to, std::uint16_t number, const proto::ip_endpoint& from) noexcept {
    udp_port* best = nullptr;
    int best_rank = -1;
    for (udp_port* one = ports_[number % ports_.size()]; one != nullptr; one = one->next_with_port) {
        if (one->local().port != number) { continue; }
        const int rank = one->rank_for(to, from);
        if (rank > best_rank) {
            best_rank = rank;
            best = one;
        }
    }
    return best;
}

// Arrivals

host_core::received host_core::receive_udp(const ip_payload& got) noexcept {
    const auto datagram = trust_checksums_ ? proto::udp_view::parse_unsummed(got.bytes)
                                           : proto::udp_view::parse(got.bytes, got.source, got.destination);
    if (!datagram) { return datagram.error(); }
    const proto::ip_endpoint from{got.source, datagram->source_port(), scope_of(got.source)};
    udp_port* const port = find_port(got.destination, datagram->destination_port(), from);
    if (port == nullptr) {
        if (const auto handed = hand_on(got, port_use::udp, datagram->destination_port())) { return *handed; }
    }
    if (got.broadcast || got.destination.is_multicast()) {
        const bool wanted = port != nullptr && port->options().broadcast && got.broadcast;
        if (!wanted) { return reason::udp_broadcast; }
    }
    if (port == nullptr) {
        const bool v4 = got.source.is_v4();
        refuse(got, {.type = v4 ? static_cast<std::uint8_t>(proto::icmp_type::destination_unreachable)
                                : static_cast<std::uint8_t>(proto::icmpv6_type::destination_unreachable),
                     .code = v4 ? proto::icmp_code::port_unreachable : proto::icmpv6_code::port_unreachable});
        return reason::udp_port_not_served;
    }
    if (!port->has_room() || !may_queue()) { return outcome::queue_full; }
    if (got.frame != nullptr) {
        port->push({std::move(*got.frame), datagram->payload(), from});
        return outcome::datagram;
    }
    if (!may_copy(datagram->payload().size())) { return outcome::queue_full; }
    received_datagram copy = copy_of(datagram->payload(), from);
    if (copy.bytes().data() == nullptr) { return outcome::queue_full; }
    port->push(std::move(copy));
    return outcome::datagram;
}

// Departures

void host_core::wait(udp_send& send) noexcept {
    if (ended_) {
        send.failure_ = ended_;
        send.complete(no_error);
        return;
    }
    const bool searches = send.waits_for_ == udp_send::wait_for::address || send.waits_for_ == udp_send::wait_for::neighbour;
    (searches ? searching_ : starved_).push_back(send);
    dirty_ = true;
}

bool host_core::advance(udp_send& send) noexcept {
    if (!send.failure_) { send.failure_ = ended_; }
    if (send.failure_) { return true; }
    if (!send.prepared_) {
        send.failure_ = send.port_->take_error();
        if (!send.failure_) { send.failure_ = prepare(send); }
        if (send.failure_) { return true; }
        send.prepared_ = true;
    }
    using own_state = proto::own_addresses::state;
    for (const ip_address* const own : {&send.message_.source, &send.message_.destination}) {
        if (own == &send.message_.destination && !send.to_self_) { break; }
        const auto state = own_.state_of(*own);
        if (state == own_state::in_use) { continue; }
        send.waits_for_ = udp_send::wait_for::address;
        if (state == own_state::tentative) { return false; }
        send.failure_ = failure(std::errc::address_not_available);
        return true;
    }
    if (send.to_self_) {
        deliver_to_self(send);
        return true;
    }
    if (send.to_group_) { return send_pieces(send, send.group_); }
    const auto hop = neighbours_.resolve(send.hop_, now());
    dirty_ = true;
    if (hop.given_up) { fail_waiting(*hop.given_up); }
    using verdict = proto::neighbour_table::hop;
    switch (hop.what) {
        case verdict::known: return send_pieces(send, hop.hardware);
        case verdict::waiting:
            asks_ = true;
            send.waits_for_ = udp_send::wait_for::neighbour;
            return false;
        case verdict::unreachable: send.failure_ = failure(std::errc::host_unreachable); return true;
        case verdict::full: break;
    }
    send.failure_ = failure(std::errc::no_buffer_space);
    return true;
}

/// Finds out where it goes, and makes the message. Returns why it cannot be sent, if so.
std::error_code host_core::prepare(udp_send& send) noexcept {
    udp_port& port = *send.port_;
    if (!send.to_) { send.to_ = port.peer(); }
    if (!send.to_) { return failure(std::errc::destination_address_required); }
    const proto::ip_endpoint& to = *send.to_;
    const ip_address& local = port.local().address;
    if (to.port == 0 || to.address.is_unspecified()) { return failure(std::errc::invalid_argument); }
    const bool any = local.is_unspecified();
    if (local.is_v4() != to.address.is_v4() && !(any && local.is_v6())) {
        return failure(std::errc::address_family_not_supported);
    }
    if (!is_on_scope(to)) { return failure(std::errc::invalid_argument); }
    const auto source = any ? routes_.source_for(to.address, own_) : std::optional(local);
    if (!source) { return failure(std::errc::network_unreachable); }
    const bool v4 = to.address.is_v4();
    if (send.from_.size() > (v4 ? longest_over_ipv4 : longest_over_ipv6)) { return failure(std::errc::message_size); }

    ip_message& message = send.message_;
    message.source = *source;
    message.destination = to.address;
    if (const std::error_code why = find_way(send)) { return why; }
    const auto path = paths_.lookup(to.address, mtu_, now());
    send.piece_limit_ = path.octets;
    message.dont_fragment = !path.may_fragment;
    message.payload = send.from_;
    const bool in_pieces = message.piece_at(0, send.piece_limit_).is_fragment();
    if (in_pieces && !send.to_self_ && !port.options().fragment) { return failure(std::errc::message_size); }
    if (in_pieces || path.may_fragment) { message.identification = random_.next32(); }
    auto head = proto::mutable_udp_view::unchecked(message.header);
    head.set_source_port(port.local().port);
    head.set_destination_port(to.port);
    head.set_length(static_cast<std::uint16_t>(message.size()));
    message.sum_udp();
    return {};
}

/// Finds the neighbour that it goes to first, or the group of the link.
std::error_code host_core::find_way(udp_send& send) noexcept {
    const ip_address& to = send.message_.destination;
    send.to_self_ = own_.state_of(to) != proto::own_addresses::state::none;
    if (send.to_self_) { return {}; }
    if (to.is_multicast()) {
        send.to_group_ = true;
        send.group_ = to.is_v4() ? proto::hardware_of_group(to.v4()) : proto::hardware_of_group(to.v6());
        send.message_.hops = 1;  // RFC 1112 section 6.1
        return {};
    }
    if (routes_.is_broadcast(to)) {
        if (!send.port_->options().broadcast) { return failure(std::errc::permission_denied); }
        send.to_group_ = true;
        send.group_ = proto::mac_address::broadcast();
        return {};
    }
    const auto hop = to.is_loopback() ? std::nullopt : routes_.next_hop(to);
    if (!hop) { return failure(std::errc::network_unreachable); }
    send.hop_ = *hop;
    return {};
}

/// Sends what is left of it. Returns false when there was no frame for a piece, or no room in the ring.
bool host_core::send_pieces(udp_send& send, proto::mac_address to) noexcept {
    ip_message& message = send.message_;
    const ethertype type = message.destination.is_v4() ? ethertype::ipv4 : ethertype::ipv6;
    while (send.done_ < message.size()) {
        packet frame;
        const auto piece = message.piece_at(send.done_, send.piece_limit_);
        if (!has_credit() || take_frames(std::span(&frame, 1)) == 0) {
            send.failure_ = tx_->socket().failure();
            send.waits_for_ = udp_send::wait_for::frame;
            return static_cast<bool>(send.failure_);
        }
        if (!frame.set_len(proto::ethernet_header_length + piece.packet_length)) {
            send.failure_ = failure(std::errc::message_size);
            return true;
        }
        message.emit(frame.data().subspan(proto::ethernet_header_length), piece);
        if (!transmit(frame, to, type)) {
            send.failure_ = tx_->socket().refusal(frame);
            send.waits_for_ = udp_send::wait_for::frame;
            return static_cast<bool>(send.failure_);
        }
        if (piece.is_fragment()) { ++counters_.pieces_sent; }
        send.done_ += piece.length;
    }
    send.port_->note_sent(*send.to_);
    ++counters_.sent;
    return true;
}

/// The host speaks to itself: the datagram goes into the queue of the other endpoint, if there is one and it has room.
void host_core::deliver_to_self(udp_send& send) noexcept {
    const ip_message& message = send.message_;
    const proto::ip_endpoint from{message.source, send.port_->local().port, scope_of(message.source)};
    udp_port* const port = find_port(message.destination, send.to_->port, from);
    ++counters_.sent;
    if (port == nullptr) {
        send.port_->tell(*send.to_, failure(std::errc::connection_refused));
        return;
    }
    if (!port->has_room() || !may_queue() || !may_copy(send.from_.size())) { return; }
    received_datagram copy = copy_of(send.from_, from);
    if (copy.bytes().data() != nullptr) { port->push(std::move(copy)); }
}

}  // namespace fluxnet::host::detail
