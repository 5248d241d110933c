// SPDX-License-Identifier: BSD-3-Clause
// `packet`: a packet that the program owns, in its frame of the UMEM.
//
//     packet one;
//     if (receiver.try_recv(std::span(&one, 1)) == 1 && one.adjust_head(-4)) {  // room for a VLAN tag
//         insert_tag(one.data());
//         one = sender.send(std::move(one));  // empty now, or the same packet when it was not taken
//     }  // `one` returns its frame where its handle ends, if it still has one
//
// Move-only. Destroying a packet returns its frame to its home, on whichever thread, also while an exception unwinds.
// A packet keeps the UMEM's memory alive, but not the sockets: it stays readable after they are closed.
// The frame is laid out as [ headroom | packet | tailroom ]. No copy, no allocation, no lock, no system call.
// Threads: a packet may move from thread to thread. Several threads may read it at once, as long as none of them moves,
// changes or destroys it.
#pragma once

#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace fluxnet {

class rx;

class packet {
public:
    /// Makes an empty handle: no frame, no bytes.
    packet() = default;

    /// Takes over a frame that is the user's: `desc` as received, or as into_raw() gave it.
    [[nodiscard]] static packet from_raw(frame_home& home, const xdp_desc& desc) noexcept {
        return {home, desc.addr, desc.len};
    }

    packet(packet&& other) noexcept
        : data_(other.data_), home_(std::exchange(other.home_, nullptr)), size_(std::exchange(other.size_, 0)),
          frame_(other.frame_) {}

    packet& operator=(packet&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = other.data_;
            home_ = std::exchange(other.home_, nullptr);
            size_ = std::exchange(other.size_, 0);
            frame_ = other.frame_;
        }
        return *this;
    }

    ~packet() { reset(); }

    /// Returns the frame now; the handle is empty afterwards.
    void reset() noexcept {
        if (home_ != nullptr) { drop(); }
    }

    /// Gives the frame up without returning it. The caller owns it then, and has to make a packet of it again
    /// (from_raw) or hand it to a ring.
    [[nodiscard]] xdp_desc into_raw() && noexcept {
        assert(home_ != nullptr);
        return {std::exchange(home_, nullptr)->addr_of(data_), std::exchange(size_, 0), 0};
    }

    /// Moves the start of the packet by `offset` bytes: negative values grow it into the headroom (a new outer header),
    /// positive ones strip its front. Returns false, changing nothing, when there is not that much room or packet, when
    /// the start would leave the frame, or when there is no packet at all.
    [[nodiscard]] bool adjust_head(std::int32_t offset) noexcept {
        if (home_ == nullptr) { return false; }
        const std::int64_t room = static_cast<std::int64_t>(headroom()) + offset;
        const std::int64_t length = std::int64_t{size_} - offset;
        if (room < 0 || length < 0 || room >= home_->frame_size()) { return false; }
        data_ += offset;
        size_ = static_cast<std::uint32_t>(length);
        return true;
    }

    /// Cuts or extends the packet at its end. Bytes gained keep what the frame held before. Returns false, changing
    /// nothing, when `size` exceeds capacity().
    [[nodiscard]] bool set_len(std::size_t size) noexcept {
        if (size > capacity()) { return false; }
        size_ = static_cast<std::uint32_t>(size);
        return true;
    }

    /// Replaces the packet's bytes by a copy of `bytes`. Returns false, changing nothing, when they exceed capacity().
    [[nodiscard]] bool assign(std::span<const std::byte> bytes) noexcept {
        if (!set_len(bytes.size())) { return false; }
        if (!bytes.empty()) { std::memcpy(data_, bytes.data(), bytes.size()); }
        return true;
    }

    /// The packet's bytes.
    [[nodiscard]] std::span<std::byte> data() noexcept { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> data() const noexcept { return {data_, size_}; }

    /// How many bytes the packet has, and whether it has none.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }

    /// Tells whether the handle holds a frame.
    [[nodiscard]] explicit operator bool() const noexcept { return home_ != nullptr; }

    /// Bytes before the packet in its frame, those of the kernel's own headroom included.
    [[nodiscard]] std::size_t headroom() const noexcept {
        return home_ == nullptr ? 0 : static_cast<std::size_t>(data_ - home_->at(frame_));
    }

    /// The largest size that set_len() accepts: from the packet's start to the end of the frame.
    [[nodiscard]] std::size_t capacity() const noexcept { return home_ == nullptr ? 0 : home_->frame_size() - headroom(); }

    /// Where the frame returns to; null for an empty handle.
    [[nodiscard]] frame_home* home() const noexcept { return home_; }

private:
    friend rx;

    /// Returns the frame that there is.
    void drop() noexcept {
        size_ = 0;
        std::exchange(home_, nullptr)->give_back(frame_);
    }

    packet(frame_home& home, frame_addr addr, std::uint32_t size) noexcept
        : data_(home.at(addr)), home_(&home), size_(size), frame_(home.index_of(addr)) {}

    std::byte* data_ = nullptr;
    frame_home* home_ = nullptr;  // null: an empty handle
    std::uint32_t size_ = 0;      // 0 without a frame; headroom() + size_ <= the frame's size
    frame_index frame_;           // whose bytes data_ points into
};

static_assert(sizeof(packet) <= 32);

/// Drops packets.
inline void reset(std::span<packet> packets) noexcept {
    for (packet& one : packets) { one.reset(); }
}

}  // namespace fluxnet
