// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/packet_batch.hpp"

#include "fluxnet/xsk/rx.hpp"
#include "fluxnet/xsk/tx.hpp"

#include <algorithm>
#include <bit>

namespace fluxnet {

packet_batch::packet_batch(rx& from, std::uint8_t port) noexcept
    : rx_(&from), base_(from.core_->memory.base()), frame_mask_(from.home().frame_size() - 1), port_(port) {}

packet packet_batch::extract(std::uint32_t i) noexcept {
    if (i >= size_ || taken_out(slots_[i])) { return {}; }
    mark(slots_[i], taken);
    frame_home& home = *rx_->home_;
    home.frames().keep(home.index_of(slots_[i].addr));
    return packet::from_raw(home, slots_[i]);
}

std::uint32_t packet_batch::receive(std::uint32_t limit) noexcept {
    assert(size_ == 0);
    rx& in = *rx_;
    if (in.failure_ || !in.home_->adopt()) [[unlikely]] { return 0; }
    const std::uint32_t wanted = std::min(limit, max_size);
    std::uint32_t received = 0;
    while (received != wanted) {
        const std::span<const xdp_desc> next = in.ring_.readable(wanted - received);
        if (next.empty()) { break; }
        const std::uint32_t good = take(*in.home_, next, slots_.data() + received);
        in.ring_.release(good);
        received += good;
        if (good != next.size()) [[unlikely]] {
            in.ring_.release(1);
            in.fail(errc::ring_corruption);
            break;
        }
    }
    if (in.ring_.corrupt()) [[unlikely]] { in.fail(errc::ring_corruption); }
    if (received == 0) {
        in.look_at_fill();
        return 0;
    }
    in.home_->count_received(received);
    ++generation_;
    size_ = received;
    return received;
}

// Apart from its caller, so that what the loop needs has all registers.
[[gnu::noinline]] std::uint32_t packet_batch::take(const frame_home& home, std::span<const xdp_desc> next,
                                                   xdp_desc* to) noexcept {
    const home_frames ours = home.frames();
    home_frames::bounds seen;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < next.size(); ++i) {
        const frame_addr addr = next[i].addr;
        const std::uint32_t length = next[i].len;
        to[i].addr = addr;
        to[i].len = length;
        ours.extend(seen, addr, length);
    }
    if (!detail::checked_build && ours.hold(seen)) [[likely]] { return static_cast<std::uint32_t>(next.size()); }
    std::uint32_t good = 0;
    for (const xdp_desc& desc : std::span(to, next.size())) {
        if (!ours.holds(desc.addr, desc.len) || !ours.borrowed(ours.index_of(desc.addr))) { break; }
        ++good;
    }
    return good;
}

packet_batch::outcome packet_batch::commit_marked(std::span<tx* const> ports) noexcept {
    outcome done;
    std::array<xdp_desc, max_size> dropped;
    std::uint32_t to_send = 0;  // moved to the front
    for (const xdp_desc& slot : std::span(slots_).first(size_)) {
        const std::uint32_t what = marked(slot) ? slot.options : static_cast<std::uint32_t>(action::drop);
        if (what == taken) {
            ++done.extracted;
        } else if (what == static_cast<std::uint32_t>(action::drop)) {
            dropped[done.recycled++] = slot;
        } else {
            slots_[to_send++] = slot;
        }
    }
    if (done.recycled != 0) { recycle(std::span(dropped).first(done.recycled)); }
    if (to_send != 0) { send_marked(to_send, ports, done); }
    return done;
}

void packet_batch::recycle(std::span<const xdp_desc> packets) noexcept {
    frame_home& home = *rx_->home_;
    // Frames of ours never exceed the fill ring by as much as a batch just taken out of it, unless the ring is small.
    const auto slots = rx_->fill_.writable(static_cast<std::uint32_t>(packets.size()));
    const auto lent = static_cast<std::uint32_t>(slots.size());
    lend(packets.data(), slots);
    rx_->fill_.publish(lent);
    home.count_lent_again(lent);
    if (lent != packets.size()) [[unlikely]] {
        packets = packets.subspan(lent);
        if (lent != 0) {
            recycle(packets);  // at the other end of the ring's memory, perhaps
            return;
        }
        for (const xdp_desc& rest : packets) {
            const frame_index frame = home.index_of(rest.addr);
            home.frames().keep(frame);
            home.give_back(frame);
        }
    }
    rx_->wake_fill();
}

void packet_batch::lend(const xdp_desc* from, std::span<frame_addr> slots) const noexcept {
    const std::uint64_t start = ~std::uint64_t{frame_mask_};
#pragma GCC unroll 8
    for (std::size_t i = 0; i < slots.size(); ++i) { slots[i] = {from[i].addr.value & start}; }
    if constexpr (detail::checked_build) {
        const home_frames ours = rx_->home_->frames();
        for (const frame_addr& slot : slots) { ours.lend_again(ours.index_of(slot)); }
    }
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
                home.frames().keep(home.index_of(slot.addr));
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
