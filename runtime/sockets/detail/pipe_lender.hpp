// SPDX-License-Identifier: BSD-3-Clause
// `pipe_lender`: the buffers in which the reading end of a pipe lends what it has read.
//
// Owned by the reader's state, and used on the thread of the executor where that is awaited. What was lent comes back from
// any thread, and keeps the memory when the reader has gone.
//
// They are the reader's own, and not those of socket_buffers.hpp, which are the kernel's to fill: io_uring's multi-shot read
// does not tell the end of a FIFO (Linux 6.18), and takes bytes that nobody has asked for out of a pipe that other programs
// may read too.
#pragma once

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace fluxnet::detail {

class pipe_lender {
public:
    pipe_lender() = default;
    pipe_lender(const pipe_lender&) = delete;
    pipe_lender& operator=(const pipe_lender&) = delete;
    ~pipe_lender() { leave_pool(); }

    /// Calls `read`, which returns the number of bytes or a negated errno, with room for a piece, which is lent in `piece`
    /// if there are any; returns what it returned. Throws what buffer_pool::make() throws.
    template <class Read>
    int fill(received_buffer& piece, Read read) {
        const std::uint32_t number = take();
        const int result = read(std::span<std::byte>(pool_->at(number), pool_->buffer_size()));
        if (result > 0) {
            piece = pool_->handle(number, static_cast<std::uint32_t>(result));
        } else {
            pool_->untake(number);
        }
        return result;
    }

private:
    static constexpr std::uint32_t count = 4;
    static constexpr std::uint32_t size = 16 * 1024;

    [[nodiscard]] std::uint32_t take() {
        if (pool_ != nullptr) {
            pool_->drain();  // so that the one that came back last is the next
            if (const std::optional<std::uint32_t> free = pool_->take()) { return *free; }
            leave_pool();  // all are lent, for as long as the user likes
        }
        pool_ = &buffer_pool::make(count, size);
        return *pool_->take();
    }

    void leave_pool() noexcept {
        if (pool_ != nullptr) { std::exchange(pool_, nullptr)->drop_user(); }
    }

    buffer_pool* pool_ = nullptr;  // made when bytes are borrowed for the first time
};

}  // namespace fluxnet::detail
