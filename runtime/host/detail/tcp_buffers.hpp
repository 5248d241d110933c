// SPDX-License-Identifier: BSD-3-Clause
// `tcp_buffers`: where a host's TCP keeps octets: memory of its own, for what is to be sent, and frames in which segments
// have arrived.
//
// Memory is taken in slabs, as it is needed, and kept for the next time. A token names a buffer or a frame; none is 0.
//
// A lent buffer may outlive the stack, not the tcp_buffers. Threads: one at a time.
#pragma once

#include "fluxnet/proto/tcp/buffer.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

class tcp_buffers final : public proto::tcp::buffer_source {
public:
    /// Buffers of `size` octets, `most` of them at most; frames are those of `frames`.
    tcp_buffers(frame_home& frames, std::size_t size, std::size_t most) noexcept
        : frames_(&frames), size_(size), most_(most) {}

    [[nodiscard]] proto::tcp::buffer allocate() noexcept override {
        if (free_.empty() && !grow()) { return {}; }
        const std::uint32_t index = free_.back();
        free_.pop_back();
        return {octets_of(index), static_cast<std::uint32_t>(size_), (std::uint64_t{index} + 1) << 1};
    }

    void release(std::uint64_t token) noexcept override {
        freed_ = true;
        if (is_frame(token)) {
            --kept_;
            static_cast<void>(frame_of(token));
        } else {
            free_.push_back(static_cast<std::uint32_t>(token >> 1) - 1);
        }
    }

    /// The token of a received packet.
    [[nodiscard]] static std::uint64_t token_of(const packet& received) noexcept {
        return received.home()->addr_of(received.data().data()).value << 1 | 1;
    }
    [[nodiscard]] static bool is_frame(std::uint64_t token) noexcept { return (token & 1) != 0; }

    /// Takes over the frame of a received packet, which its token names from now on.
    void keep(packet received) noexcept {
        ++kept_;
        static_cast<void>(std::move(received).into_raw());
    }
    /// Makes a packet of a frame that is lent; it counts as kept until it is given back.
    [[nodiscard]] packet lend(std::uint64_t token) noexcept {
        freed_ = true;  // the connection may have another one
        return frame_of(token);
    }
    void frame_given_back() noexcept { --kept_; }
    /// The same for a buffer of the memory, which keeps its token.
    void lend_buffer() noexcept { freed_ = true; }

    /// How many frames it keeps, or has lent.
    [[nodiscard]] std::size_t kept() const noexcept { return kept_; }
    /// Whether something has come back since the last take_news().
    [[nodiscard]] bool has_news() const noexcept { return freed_; }
    [[nodiscard]] bool take_news() noexcept { return std::exchange(freed_, false); }
    /// The size of a buffer.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t slab_buffers = 64;

    [[nodiscard]] std::byte* octets_of(std::uint32_t index) noexcept {
        return slabs_[index / slab_buffers].get() + index % slab_buffers * size_;
    }

    [[nodiscard]] packet frame_of(std::uint64_t token) noexcept {
        return packet::from_raw(*frames_, {.addr = {token >> 1}, .len = 0, .options = 0});
    }

    [[nodiscard]] bool grow() noexcept {
        const std::size_t have = slabs_.size() * slab_buffers;
        if (have >= most_) { return false; }
        try {
            free_.reserve(have + slab_buffers);  // so that none of them ever has to make room when it comes back
            slabs_.push_back(std::make_unique_for_overwrite<std::byte[]>(slab_buffers * size_));
        } catch (const std::bad_alloc&) { return false; }
        for (std::size_t i = 0; i != slab_buffers; ++i) { free_.push_back(static_cast<std::uint32_t>(have + i)); }
        return true;
    }

    frame_home* const frames_;
    const std::size_t size_;
    const std::size_t most_;
    std::vector<std::unique_ptr<std::byte[]>> slabs_;
    std::vector<std::uint32_t> free_;
    std::size_t kept_ = 0;
    bool freed_ = false;
};

}  // namespace fluxnet::host::detail
