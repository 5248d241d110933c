// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/packet_batch.hpp"

#include "xsk/rx.hpp"
#include "xsk/tx.hpp"

#include <algorithm>
#include <bit>

namespace fluxnet {

packet_batch::packet_batch(rx& from, std::uint8_t port) noexcept
    : rx_(&from), base_(from.core_->memory.base()), frame_mask_(from.home().frame_size() - 1), port_(port) {}

packet packet_batch::extract(std::uint32_t i) noexcept {
    if (i >= size_ || slots_[i].options == taken) { return {}; }
    slots_[i].options = taken;
    frame_home& home = *rx_->home_;
    home.keep(home.index_of(slots_[i].addr));
    return packet::from_raw(home, slots_[i]);
}

std::uint32_t packet_batch::receive(std::uint32_t limit) noexcept {
    assert(size_ == 0);
    rx& in = *rx_;
    if (in.failure_ || !in.home_->adopt()) [[unlikely]] { return 0; }
    ++generation_;
    auto claim = in.ring_.consume(std::min(limit, max_size));
    const std::uint32_t count = claim.size();
    std::uint32_t received = 0;
    for (; received < count; ++received) {
        const xdp_desc desc = claim.next();
        if (!in.plausible(desc) || !in.home_->borrowed(in.home_->index_of(desc.addr))) [[unlikely]] {
            in.fail(errc::ring_corruption);
            break;
        }
        slots_[received] = {desc.addr, desc.len, static_cast<std::uint32_t>(action::drop)};
    }
    in.home_->count_received(received);
    if (in.ring_.corrupt()) [[unlikely]] { in.fail(errc::ring_corruption); }
    size_ = received;
    return received;
}

packet_batch::outcome packet_batch::commit(std::span<tx* const> ports) noexcept {
    outcome done;
    if (size_ == 0) { return done; }
    frame_home& home = *rx_->home_;
    std::uint32_t marked = 0;  // packets to be sent, moved to the front
    std::uint32_t recycled = 0;
    {
        // Frames of ours never exceed the fill ring by as much as a batch just taken out of it, unless the ring is small.
        auto fill = rx_->fill_.reserve(size_);
        for (std::uint32_t i = 0; i < size_; ++i) {
            const xdp_desc slot = slots_[i];
            if (slot.options != 0) [[unlikely]] {
                if (slot.options != taken) { slots_[marked++] = slot; }
                continue;
            }
            ++recycled;
            if (fill.push({slot.addr.value & ~std::uint64_t{frame_mask_}})) [[likely]] {
                home.lend_again(home.index_of(slot.addr));
            } else {
                home.keep(home.index_of(slot.addr));
                home.give_back(home.index_of(slot.addr));
            }
        }
        home.count_lent_again(fill.written());
    }
    done.extracted = size_ - recycled - marked;
    done.recycled = recycled;
    if (marked != 0) { send_marked(marked, ports, done); }
    if (recycled != 0) { rx_->wake_fill(); }
    ++generation_;
    size_ = 0;
    return done;
}

void packet_batch::send_marked(std::uint32_t count, std::span<tx* const> ports, outcome& done) noexcept {
    frame_home& home = *rx_->home_;
    std::array<xdp_desc, max_size> group;  // of packets for one port
    while (count != 0) {
        const std::uint32_t wanted = slots_[0].options;
        const std::uint32_t port = wanted == static_cast<std::uint32_t>(action::send) ? port_ : wanted - 2;
        std::uint32_t same = 0;
        std::uint32_t others = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            const xdp_desc slot = slots_[i];
            if (slot.options == wanted) {
                home.keep(home.index_of(slot.addr));
                group[same++] = {slot.addr, slot.len, 0};
            } else {
                slots_[others++] = slot;
            }
        }
        count = others;
        send_by(port < ports.size() ? ports[port] : nullptr, std::span(group).first(same), done);
    }
}

void packet_batch::send_by(tx* out, std::span<xdp_desc> packets, outcome& done) noexcept {
    frame_home& home = *rx_->home_;
    const auto drop = [&](const xdp_desc& unsent, std::uint32_t& why) {
        home.give_back(home.index_of(unsent.addr));
        ++done.recycled;
        ++why;
    };
    const bool works = out != nullptr && !out->failure() && &out->pool() == &rx_->pool();
    std::uint32_t usable = 0;
    for (const xdp_desc& next : packets) {
        if (works && next.len >= tx::min_packet) {
            packets[usable++] = next;
        } else {
            drop(next, done.refused);
        }
    }
    std::uint32_t sent = 0;
    if (usable != 0) { sent = out->try_send(home, packets.first(usable)); }
    if (sent < usable) {
        out->flush();
        sent += out->try_send(home, packets.subspan(sent, usable - sent));
    }
    for (const xdp_desc& unsent : packets.subspan(sent, usable - sent)) { drop(unsent, done.no_room); }
    done.sent += sent;
}

}  // namespace fluxnet
