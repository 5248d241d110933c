// SPDX-License-Identifier: BSD-3-Clause
// `memory_buffer`: bytes that arrived at a `memory_stream`, lent by read_borrowed().
//
// Move-only. The bytes stay where they are until the buffer is destroyed or reset, also when the stream and the network are
// gone. They count as read: the peer may write on. Threads: that of the network's executor.
#pragma once

#include "fluxnet/export.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace fluxnet {

namespace detail {
class memory_hub;
struct memory_block;
class memory_way;
}  // namespace detail

class FLUXNET_EXPORT memory_buffer {
public:
    /// Makes an empty one.
    memory_buffer() = default;
    memory_buffer(memory_buffer&& other) noexcept
        : hub_(std::move(other.hub_)), block_(std::exchange(other.block_, nullptr)),
          bytes_(std::exchange(other.bytes_, {})) {}
    memory_buffer& operator=(memory_buffer&& other) noexcept {
        if (this != &other) {
            reset();
            hub_ = std::move(other.hub_);
            block_ = std::exchange(other.block_, nullptr);
            bytes_ = std::exchange(other.bytes_, {});
        }
        return *this;
    }
    ~memory_buffer() { reset(); }

    /// Gives the bytes back now; the buffer is empty afterwards.
    void reset() noexcept;

    /// What has arrived; empty after a move.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

private:
    friend class detail::memory_way;

    memory_buffer(std::shared_ptr<detail::memory_hub> hub, detail::memory_block& block,
                  std::span<const std::byte> bytes) noexcept
        : hub_(std::move(hub)), block_(&block), bytes_(bytes) {}

    std::shared_ptr<detail::memory_hub> hub_;
    detail::memory_block* block_ = nullptr;
    std::span<const std::byte> bytes_;
};

}  // namespace fluxnet
