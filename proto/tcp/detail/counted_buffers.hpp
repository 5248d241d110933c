// SPDX-License-Identifier: BSD-3-Clause
// `counted_buffers`: the buffer source of a stack's connections: it counts what each of them holds, and what all do.
//
//     buffers.serve(slot.buffers);              // whom the next calls are for
//     connection.receive(...);                  // allocates and releases
//
// Owned by the stack. Threads: one at a time.
#pragma once

#include "fluxnet/proto/tcp/buffer.hpp"

#include <cstdint>

namespace fluxnet::proto::tcp::detail {

class counted_buffers final : public buffer_source {
public:
    counted_buffers(buffer_source& of, std::uint32_t most_each, std::uint32_t most) noexcept
        : source_(of), most_each_(most_each), most_(most), few_each_(most_each - most_each / 8), few_(most - most / 8) {}

    /// Says which connection the next calls are for, by its count.
    void serve(std::uint32_t& count) noexcept { count_ = &count; }

    [[nodiscard]] buffer allocate() noexcept override {
        const buffer made = has_room_to_send(*count_) ? source_.allocate() : buffer();
        if (made.data != nullptr) { came(); }
        return made;
    }
    void release(std::uint64_t token) noexcept override {
        went();
        source_.release(token);
    }

    /// Notes that the connection holds a buffer that did not come from here, or that one has gone elsewhere.
    void came() noexcept {
        ++*count_;
        ++total_;
    }
    void went() noexcept {
        --*count_;
        --total_;
    }

    /// Whether the connection may keep another buffer: for octets that come in order, or beyond a gap.
    [[nodiscard]] bool has_room(bool in_order) const noexcept {
        return in_order ? *count_ < most_each_ && total_ < most_ : *count_ < most_each_ / 2 && total_ < most_ / 2;
    }

    /// Whether a connection that holds `count` may take another one to be sent.
    [[nodiscard]] bool has_room_to_send(std::uint32_t count) const noexcept { return count < few_each_ && total_ < few_; }

    [[nodiscard]] std::uint32_t total() const noexcept { return total_; }

private:
    buffer_source& source_;
    std::uint32_t* count_ = nullptr;
    std::uint32_t total_ = 0;
    std::uint32_t most_each_;
    std::uint32_t most_;
    std::uint32_t few_each_;  // without the eighth that is for octets in order
    std::uint32_t few_;
};

}  // namespace fluxnet::proto::tcp::detail
