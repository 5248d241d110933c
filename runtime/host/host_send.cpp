// SPDX-License-Identifier: BSD-3-Clause
// What a host's core sends of its own: answers, questions, claims.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/link_group.hpp"

#include <cassert>
#include <utility>

namespace fluxnet::host::detail {

using proto::ethertype;
using proto::mac_address;

bool host_core::has_spare() noexcept {
    if (!has_frame()) { ++counters_.no_room; }
    return spares_ != 0;
}

packet host_core::take_spare() noexcept {
    assert(spares_ != 0);
    return std::move(spare_[--spares_]);
}

bool host_core::transmit(packet& frame, mac_address to, ethertype type) noexcept {
    proto::ethernet_repr{to, own_.hardware(), type}.emit(frame.data());
    return sink_ == nullptr ? tx_->socket().try_send(frame) : transmit_captured(frame);
}

bool host_core::transmit_captured(packet& frame) noexcept {
    tx& socket = tx_->socket();
    // Once it is in the ring the frame is the kernel's: the sink is told before that, of what will be taken.
    if (socket.credit() != 0 && !socket.refusal(frame)) { sink_->on_sent(frame.data(), now()); }
    return socket.try_send(frame);
}

void host_core::answer(packet& frame, mac_address to, ethertype type, std::uint64_t& counter) noexcept {
    if (overheard_) { return; }
    ++(transmit(frame, to, type) ? counter : counters_.no_room);
}

void host_core::transmit_to(const proto::ip_address& hop, packet frame, ethertype type, std::uint64_t& counter) noexcept {
    using verdict = proto::neighbour_table::hop;
    const auto found = neighbours_.resolve(hop, now());
    dirty_ = true;
    if (found.given_up) { fail_waiting(*found.given_up); }
    if (found.what == verdict::known) {
        answer(frame, found.hardware, type, counter);
        return;
    }
    asks_ = true;
    if (found.what == verdict::unreachable) {
        give_up(frame);
    } else if (found.what == verdict::full) {
        ++counters_.undeliverable;  // another time there may be room to ask
    } else if (!held_.hold(std::move(frame), hop, type)) {
        ++counters_.undeliverable;
    }
}

/// Does without a packet whose neighbour does not answer.
void host_core::give_up(const packet& frame) noexcept {
    ++counters_.undeliverable;
    tcp_.undeliverable(frame.data().subspan(proto::ethernet_header_length));
}

void host_core::release_held() noexcept {
    held_.look_at_each([this](held_packets::held& one) {
        // Without effect on the table: an address that was given up is not asked for again.
        const auto found = neighbours_.lookup(one.hop, now());
        switch (found.state) {
            case proto::neighbour_state::incomplete: return held_packets::fate::waits;
            case proto::neighbour_state::none: ++counters_.undeliverable; return held_packets::fate::over;  // made room
            case proto::neighbour_state::failed: give_up(one.frame); return held_packets::fate::over;
            default: break;
        }
        answer(one.frame, found.hardware, one.type, counters_.held_sent);
        return held_packets::fate::over;
    });
}

void host_core::answer(const ip_message& message, mac_address to) noexcept {
    const ethertype type = message.destination.is_v4() ? ethertype::ipv4 : ethertype::ipv6;
    for (std::size_t at = 0; at < message.size();) {
        packet frame;
        const auto piece = message.piece_at(at, mtu_);
        if (take_frames(std::span(&frame, 1)) == 0 ||
            !frame.set_len(proto::ethernet_header_length + piece.packet_length)) {
            ++counters_.no_room;
            return;
        }
        message.emit(frame.data().subspan(proto::ethernet_header_length), piece);
        if (!transmit(frame, to, type)) {
            ++counters_.no_room;
            return;
        }
        if (piece.is_fragment()) { ++counters_.pieces_sent; }
        at += piece.length;
    }
    ++counters_.answers_sent;
}

void host_core::send_arp(packet& frame, mac_address to, proto::ipv4_address sender, proto::ipv4_address target,
                         std::uint64_t& counter) noexcept {
    if (!frame.set_len(proto::ethernet_header_length + proto::arp_packet_length)) { return; }
    proto::arp_repr{proto::arp_operation::request, own_.hardware(), sender, mac_address(), target}.emit(
        frame.data().subspan(proto::ethernet_header_length));
    answer(frame, to, ethertype::arp, counter);
}

void host_core::send_ndp(packet& frame, mac_address to, const proto::ipv6_address& source,
                         const proto::ipv6_address& destination, const proto::ndp_neighbour_repr& message,
                         std::uint64_t& counter) noexcept {
    if (!frame.set_len(proto::ethernet_header_length + proto::ipv6_header_length + message.length())) { return; }
    proto::ipv6_repr head{source, destination, proto::ip_protocol::icmpv6, message.length(), proto::ndp_hop_limit};
    const auto view = head.emit(frame.data().subspan(proto::ethernet_header_length));
    message.emit(view.payload(), source, destination);
    answer(frame, to, ethertype::ipv6, counter);
}

void host_core::send_question(const proto::neighbour_table::probe& question) noexcept {
    if (kernel_.neighbours != nullptr) {
        ++counters_.questions_sent;
        return kernel_.neighbours->ask(question.address);
    }
    // An address that is still being probed does not ask.
    const auto source = routes_.source_for(question.address, own_);
    if (!source || !own_.owns(*source)) { return; }
    packet frame = take_spare();
    if (question.address.is_v4()) {
        send_arp(frame, question.to, source->v4(), question.address.v4(), counters_.questions_sent);
        return;
    }
    const proto::ipv6_address& target = question.address.v6();
    proto::ndp_neighbour_repr message;
    message.target = target;
    message.link_address = own_.hardware();
    send_ndp(frame, question.to, source->v6(), question.unicast ? target : target.solicited_node(), message,
             counters_.questions_sent);
}

void host_core::send_claim(const proto::own_addresses::message& claim) noexcept {
    using kind = proto::own_addresses::message;
    packet frame = take_spare();
    if (claim.address.is_v4()) {
        const proto::ipv4_address own = claim.address.v4();
        send_arp(frame, mac_address::broadcast(), claim.what == kind::probe ? proto::ipv4_address() : own, own,
                 counters_.claims_sent);
        return;
    }
    const proto::ipv6_address& own = claim.address.v6();
    proto::ndp_neighbour_repr message;
    message.target = own;
    if (claim.what == kind::probe) {
        const proto::ipv6_address group = own.solicited_node();
        send_ndp(frame, proto::hardware_of_group(group), proto::ipv6_address(), group, message, counters_.claims_sent);
        return;
    }
    message.type = proto::icmpv6_type::neighbour_advertisement;
    message.link_address = own_.hardware();
    message.override_known = claim.what == kind::defending;
    const proto::ipv6_address group = proto::ipv6_address::all_nodes();
    send_ndp(frame, proto::hardware_of_group(group), own, group, message, counters_.claims_sent);
}

}  // namespace fluxnet::host::detail
