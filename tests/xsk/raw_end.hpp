// SPDX-License-Identifier: BSD-3-Clause
// `raw_end`: a raw socket with the books that its user has to keep: which frames are free, in the fill ring, on their way
// out.
//
// Owned by one test case, one thread at a time. Everything goes through the public rings of the socket.
#pragma once

#include "fluxnet/xsk/raw_socket.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {

struct raw_end {
    /// Takes over a socket whose first `prefilled` frames are in its fill ring.
    raw_end(raw_socket opened, std::uint32_t prefilled) : socket(std::move(opened)), filled(prefilled) {
        for (std::uint32_t i = prefilled; i < socket.umem.config().frame_count; ++i) { free.push_back({i}); }
    }

    [[nodiscard]] std::uint32_t frame_size() const { return socket.umem.config().frame_size; }

    /// Queues a packet in a frame of its own; false when there is no frame or no room.
    [[nodiscard]] bool queue(std::span<const std::byte> bytes) {
        if (free.empty() || socket.tx.available() == 0) { return false; }
        const frame_index frame = free.back();
        std::ranges::copy(bytes, socket.umem.frame(frame).begin());
        auto slot = socket.tx.reserve(1);
        if (!slot.push({{std::uint64_t{frame.value} * frame_size()}, static_cast<std::uint32_t>(bytes.size()), 0})) {
            return false;
        }
        free.pop_back();
        ++sending;
        return true;
    }

    /// Queues [first, first + count) and returns how many found room.
    std::uint32_t queue_numbered(std::uint32_t first, std::uint32_t count, side from = side::host) {
        std::uint32_t queued = 0;
        while (queued < count && queue(numbered(first + queued, 64, from))) { ++queued; }
        return queued;
    }

    /// Takes completions and returns how many there were.
    std::uint32_t reap() {
        auto done = socket.comp.consume();
        const std::uint32_t count = done.size();
        while (done.remaining() != 0) { free.push_back({static_cast<std::uint32_t>(done.next().value / frame_size())}); }
        sending -= count;
        return count;
    }

    /// Kicks and reaps until everything queued has left and come back.
    [[nodiscard]] bool drain() {
        return eventually([this] {
            if (socket.tx.pending() != 0) { static_cast<void>(socket.wakeup_tx()); }
            reap();
            return sending == 0;
        });
    }

    /// Gives up to `count` free frames to the kernel and returns how many it took.
    std::uint32_t give(std::uint32_t count) {
        auto slots = socket.fill.reserve(std::min(count, static_cast<std::uint32_t>(free.size())));
        while (slots.remaining() != 0) {
            slots.push({std::uint64_t{free.back().value} * frame_size()});
            free.pop_back();
        }
        const std::uint32_t given = slots.written();
        filled += given;
        return given;
    }

    /// Receives [first, first + count), in order and whole; each frame is free again afterwards.
    [[nodiscard]] std::uint32_t receive_numbered(std::uint32_t first, std::uint32_t count, side from = side::peer,
                                                 deadline limit = std::chrono::seconds(5)) {
        std::uint32_t good = 0;
        while (good < count && !limit.passed()) {
            static_cast<void>(eventually([this] { return socket.rx.available() != 0; }, limit));
            auto claim = socket.rx.consume(count - good);
            while (claim.remaining() != 0) {
                const xdp_desc desc = claim.next();
                free.push_back({static_cast<std::uint32_t>(desc.addr.value / frame_size())});
                --filled;
                if (!socket.umem.contains(desc.addr, desc.len) ||
                    !is_numbered(socket.umem.bytes_unchecked(desc.addr, desc.len), first + good, from)) {
                    return good;
                }
                ++good;
            }
        }
        return good;
    }

    /// Checks that each frame is in one place: free, or given to the kernel and not seen since.
    void check_books() const {
        std::set<std::uint32_t> seen;
        for (const frame_index frame : free) { seen.insert(frame.value); }
        CHECK(seen.size() == free.size());
        CHECK(free.size() + filled + sending == socket.umem.config().frame_count);
        CHECK(sending == 0);
    }

    raw_socket socket;
    std::vector<frame_index> free;
    std::uint32_t filled = 0;   // in the fill ring, or received and not read
    std::uint32_t sending = 0;  // in the TX ring, or sent and not reaped
};

/// Opens a raw socket with 128 frames, `prefilled` of them in the fill ring.
[[nodiscard]] inline raw_end open_raw_end(const veth_pair& pair, side end, xdp_mode mode, std::uint32_t prefilled = 32) {
    return {pair.open_raw(end, pair.at(end, mode).prefill(prefilled)), prefilled};
}

}  // namespace fluxnet::test
