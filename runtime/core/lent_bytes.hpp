// SPDX-License-Identifier: BSD-3-Clause
// `lent_bytes`: what read_borrowed() lends where a stream has put the bytes into memory of their own, and not into a buffer
// of the network's.
//
// A value. Threads: one at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace fluxnet {

/// Move-only; the bytes stay where they are until it is destroyed.
class lent_bytes {
public:
    lent_bytes() = default;
    /// Owns `bytes`, of which the first `size` are lent.
    lent_bytes(std::unique_ptr<std::byte[]> bytes, std::size_t size) noexcept : bytes_(std::move(bytes)), size_(size) {}
    lent_bytes(lent_bytes&& other) noexcept : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
    lent_bytes& operator=(lent_bytes&& other) noexcept {
        bytes_ = std::move(other.bytes_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    /// What was received; empty after a move.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {bytes_.get(), size_}; }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_ = 0;
};

}  // namespace fluxnet
