// SPDX-License-Identifier: BSD-3-Clause
// `received_buffer`: bytes that the kernel received, in a buffer of a `buffer_ring`, or of the reading end of a pipe.
//
//     void on_received(int result, received_buffer buffer, unsigned) noexcept override {
//         if (result > 0) { queue.push_back(std::move(buffer)); }  // read it later, on any thread
//     }
//
// Move-only. Destroying it returns the buffer to its ring. A buffer keeps the memory alive, not the ring: it stays readable
// when the ring and its reactor are gone, and the last one frees the memory. No allocation, no lock; a system call only when
// its return wakes an owner that has run out of buffers.
// Threads: moved between threads and destroyed on any. Several threads may read it while none moves or destroys it.
#pragma once

#include "fluxnet/export.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace fluxnet {

namespace detail {
class buffer_pool;
FLUXNET_EXPORT void give_back(buffer_pool& pool, std::uint32_t number) noexcept;
}  // namespace detail

class received_buffer {
public:
    /// Makes an empty handle: no buffer, no bytes.
    received_buffer() = default;

    received_buffer(received_buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), pool_(std::exchange(other.pool_, nullptr)),
          size_(std::exchange(other.size_, 0)), number_(other.number_) {}

    received_buffer& operator=(received_buffer&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = std::exchange(other.data_, nullptr);
            pool_ = std::exchange(other.pool_, nullptr);
            size_ = std::exchange(other.size_, 0);
            number_ = other.number_;
        }
        return *this;
    }

    ~received_buffer() { reset(); }

    /// Returns the buffer now; the handle is empty afterwards.
    void reset() noexcept {
        if (pool_ == nullptr) { return; }
        data_ = nullptr;
        size_ = 0;
        detail::give_back(*std::exchange(pool_, nullptr), number_);
    }

    /// What was received. May be written to.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

    /// Forgets the first bytes, `count` at most size().
    void drop_front(std::size_t count) noexcept {
        data_ += count;
        size_ -= static_cast<std::uint32_t>(count);
    }

    /// How many bytes were received, and whether none were.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// Tells whether the handle holds a buffer.
    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }

private:
    friend class detail::buffer_pool;

    received_buffer(detail::buffer_pool& pool, std::byte* data, std::uint32_t number, std::uint32_t size) noexcept
        : data_(data), pool_(&pool), size_(size), number_(number) {}

    std::byte* data_ = nullptr;
    detail::buffer_pool* pool_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint32_t number_ = 0;
};

}  // namespace fluxnet
