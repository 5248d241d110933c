// SPDX-License-Identifier: BSD-3-Clause
// `home_frames`: where the frames of one home lie, and the marks of those that the kernel has to receive into.
//
// A value. frame_home::frames() makes it, and it is good for as long as the home. A loop over packets keeps what it needs of
// it in registers; asking the home instead would load the same words again for each packet.
//
// Threads: any may ask where a frame lies. Only the home's owner calls what changes the state of a frame.
#pragma once

#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/detail/checked.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace fluxnet {

struct home_frames {
    std::byte* base = nullptr;  // of the UMEM
    bool* lent = nullptr;       // of each frame of the UMEM
    detail::frame_checker* checker = nullptr;
    std::uint64_t begin = 0;   // address of the first frame
    std::uint64_t extent = 0;  // bytes of all frames
    std::uint32_t shift = 0;   // a frame has 1 << shift bytes

    /// From the address of any byte of a frame to its number, and from the number to the address of its first byte.
    [[nodiscard]] std::uint64_t number_of(frame_addr addr) const noexcept { return addr.value >> shift; }
    [[nodiscard]] frame_index index_of(frame_addr addr) const noexcept {
        return {static_cast<std::uint32_t>(number_of(addr))};
    }
    [[nodiscard]] frame_addr addr_of(frame_index frame) const noexcept { return {std::uint64_t{frame.value} << shift}; }

    /// Tells whether a packet lies inside one of the frames. Nothing that was received begins at the very start of a frame,
    /// so one of no bytes there may count as outside.
    /// `from_zero` tells that `begin` is 0, which spares a loop a subtraction for each packet.
    template <bool from_zero = false>
    [[nodiscard]] bool holds(frame_addr addr, std::uint64_t length) const noexcept {
        const std::uint64_t crossed = addr.value ^ (addr.value + length - 1);  // as in `bounds`
        return crossed < std::uint64_t{1} << shift && (from_zero ? addr.value : addr.value - begin) < extent;
    }

    /// The same for many packets, without a branch for each: extend() for every one, hold() at the end.
    struct bounds {
        std::uint64_t crossed = 0;   // bits that differ between the addresses of a packet's first byte and its last
        std::uint64_t farthest = 0;  // from `begin`
    };
    /// See bounds.
    void extend(bounds& seen, frame_addr addr, std::uint64_t length) const noexcept {
        seen.crossed |= addr.value ^ (addr.value + length - 1);
        seen.farthest = std::max(seen.farthest, addr.value - begin);
    }
    [[nodiscard]] bool hold(const bounds& seen) const noexcept {
        return seen.crossed >> shift == 0 && seen.farthest < extent;
    }

    /// Notes that the kernel handed a frame of ours over through the RX ring. The checked build returns false when the
    /// kernel did not have it.
    [[nodiscard]] bool received(std::uint64_t frame) const noexcept {
        lent[frame] = false;
        return borrowed({static_cast<std::uint32_t>(frame)});
    }

    /// The same in two steps, for frames that are looked at and go straight back to the fill ring: borrowed(), and then
    /// either keep() or lend_again().
    [[nodiscard]] bool borrowed(frame_index frame) const noexcept {
        return checker->arrive(frame, detail::frame_state::fill, detail::frame_state::user);
    }
    void keep(frame_index frame) const noexcept { lent[frame.value] = false; }
    void lend_again(frame_index frame) const noexcept {
        checker->move(frame, detail::frame_state::user, detail::frame_state::fill);
    }

    /// Notes that a frame that was received() goes straight to the fill ring.
    void lend(frame_index frame) const noexcept {
        lent[frame.value] = true;
        lend_again(frame);
    }
};

}  // namespace fluxnet
