// SPDX-License-Identifier: BSD-3-Clause
// `held_packets`: packets whose neighbour's address on the link is being asked for.
//
// Bounded: when there is no room, the packet that has waited longest goes (RFC 1122 section 2.3.2.2 wants the latest one
// kept). Each keeps a frame. Allocates when it is made. Threads: one at a time.
#pragma once

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

class held_packets {
public:
    /// What becomes of a packet that is looked at.
    enum class fate : std::uint8_t { waits, over };

    struct held {
        packet frame;  ///< Whole, but for the Ethernet header.
        proto::ip_address hop;
        proto::ethertype type = proto::ethertype::ipv4;
    };

    /// Has room for so many, at least 1.
    explicit held_packets(std::size_t room) : room_(std::max<std::size_t>(room, 1)) { packets_.reserve(room_); }

    /// Holds a packet. False: another one had to go for it.
    [[nodiscard]] bool hold(packet frame, const proto::ip_address& hop, proto::ethertype type) noexcept {
        const bool full = packets_.size() == room_;
        if (full) { packets_.erase(packets_.begin()); }
        packets_.push_back({std::move(frame), hop, type});
        return !full;
    }

    /// Calls `look(held&)` for each, the one that has waited longest first, and lets go of those that are over.
    template <class F>
    void look_at_each(F look) noexcept {
        std::erase_if(packets_, [&](held& one) { return look(one) == fate::over; });
    }

    void clear() noexcept { packets_.clear(); }
    [[nodiscard]] bool empty() const noexcept { return packets_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return packets_.size(); }

private:
    const std::size_t room_;
    std::vector<held> packets_;  // never more than room_
};

}  // namespace fluxnet::host::detail
