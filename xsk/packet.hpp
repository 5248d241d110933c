// SPDX-License-Identifier: BSD-3-Clause
// `packet`: a packet that the program owns, in its frame of the UMEM.
//
// Move-only; destroying it returns the frame to its home, on whichever thread, also while an exception unwinds. It may be
// moved between threads; const access from several threads is safe as long as none of them moves, changes or destroys it.
// A packet keeps the UMEM's memory alive, but not the sockets: it stays readable after they are closed.
// The frame is laid out as [ headroom | packet | tailroom ]. No copy, no allocation, no lock, no system call.
#pragma once

#include "xsk/descriptor.hpp"
#include "xsk/frame_home.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace fluxnet {

class packet {
public:
    /// Makes an empty handle: no frame, no bytes.
    packet() = default;

    /// Takes over a frame that is the user's: `desc` as received, or as into_raw() gave it.
    [[nodiscard]] static packet from_raw(frame_home& home, const xdp_desc& desc) noexcept {
        return {home, desc.addr, desc.len};
    }

    packet(packet&& other) noexcept
        : data_(other.data_), home_(std::exchange(other.home_, nullptr)), size_(other.size_), headroom_(other.headroom_) {}

    packet& operator=(packet&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = other.data_;
            home_ = std::exchange(other.home_, nullptr);
            size_ = other.size_;
            headroom_ = other.headroom_;
        }
        return *this;
    }

    ~packet() { reset(); }

    /// Returns the frame now; the handle is empty afterwards.
    void reset() noexcept {
        if (frame_home* const home = std::exchange(home_, nullptr)) {
            home->give_back(home->index_of(home->addr_of(data_ - headroom_)));
        }
    }

    /// Gives the frame up without returning it. The caller owns it then, and has to make a packet of it again
    /// (from_raw) or hand it to a ring.
    [[nodiscard]] xdp_desc into_raw() && noexcept {
        assert(home_ != nullptr);
        return {std::exchange(home_, nullptr)->addr_of(data_), size_, 0};
    }

    /// Moves the start of the packet by `offset` bytes: negative values grow it into the headroom (a new outer header),
    /// positive ones strip its front. Returns false, changing nothing, when there is not that much room or packet, when
    /// the start would leave the frame, or when there is no packet at all.
    [[nodiscard]] bool adjust_head(std::int32_t offset) noexcept {
        const std::int64_t room = std::int64_t{headroom_} + offset;
        const std::int64_t length = std::int64_t{size_} - offset;
        if (home_ == nullptr || room < 0 || length < 0 || room >= home_->frame_size()) { return false; }
        data_ += offset;
        headroom_ = static_cast<std::uint32_t>(room);
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
    [[nodiscard]] std::span<std::byte> data() noexcept { return {data_, size()}; }
    [[nodiscard]] std::span<const std::byte> data() const noexcept { return {data_, size()}; }

    [[nodiscard]] std::size_t size() const noexcept { return home_ == nullptr ? 0 : size_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }

    /// Tells whether the handle holds a frame.
    [[nodiscard]] explicit operator bool() const noexcept { return home_ != nullptr; }

    /// Bytes before the packet in its frame, those of the kernel's own headroom included.
    [[nodiscard]] std::size_t headroom() const noexcept { return home_ == nullptr ? 0 : headroom_; }

    /// The largest size that set_len() accepts: from the packet's start to the end of the frame.
    [[nodiscard]] std::size_t capacity() const noexcept { return home_ == nullptr ? 0 : home_->frame_size() - headroom_; }

    /// Where the frame returns to; null for an empty handle.
    [[nodiscard]] frame_home* home() const noexcept { return home_; }

private:
    packet(frame_home& home, frame_addr addr, std::uint32_t size) noexcept
        : data_(home.at(addr)), home_(&home), size_(size),
          headroom_(static_cast<std::uint32_t>(addr.value) & (home.frame_size() - 1)) {}

    std::byte* data_ = nullptr;
    frame_home* home_ = nullptr;  // null: an empty handle
    std::uint32_t size_ = 0;      // headroom_ + size_ <= the frame's size
    std::uint32_t headroom_ = 0;  // data_ minus the frame's first byte
};

static_assert(sizeof(packet) <= 32);

}  // namespace fluxnet
