// SPDX-License-Identifier: BSD-3-Clause
// `receiver`: the multi-shot receive of a stream, and the pieces that have arrived until the program takes them.
//
// Owned by the stream's state, or by the reactor once the stream is gone and the kernel still holds the request. Bound to
// the executor on which the first coroutine waited. Used on its thread.
//
// The kernel receives on its own, so it would fill all buffers for a stream that nobody reads. From `most_pieces` pieces on
// the receive is cancelled; it begins again when a coroutine waits and nothing is left.
//
// Others may hold all buffers for as long as they like. A waiter that needs none receives by itself then. For one that does,
// the receiver has a buffer of its own, for one piece at a time. When that is lent too, a timer looks again, after one
// millisecond at first. So a stream is held up only by what itself has lent, and has lent at most one buffer that is not the
// executor's.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/reactor/buffer_ring.hpp"
#include "fluxnet/runtime/reactor/detail/spare_buffer.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::detail {

/// What is told when pieces have arrived or no more will.
class receiver_waiter {
public:
    virtual void on_arrival() noexcept = 0;

    /// No buffer is free. True: the waiter receives on its own, and is told nothing.
    virtual bool on_no_buffer() noexcept { return false; }

protected:
    ~receiver_waiter() = default;
};

class FLUXNET_EXPORT receiver final : public receive_many_operation {
public:
    receiver(executor& home, int fd) noexcept : home_(home), fd_(fd) {}

    /// Ends the receive. The kernel may hold the request for longer; then the reactor owns the receiver.
    static void end(std::unique_ptr<receiver> gone) noexcept;

    [[nodiscard]] bool is_on(const executor& here) const noexcept { return &here == &home_; }

    /// Tells whether there is a piece, or the reason why there will be none any more.
    [[nodiscard]] bool ready() const noexcept { return first_ || ended_ != goes_on; }

    /// Has `waiter` told once when ready() has become true. Throws what buffer_ring::receive_many() throws.
    void wait(receiver_waiter& waiter) {
        waiter_ = &waiter;
        if (!pending()) { begin(); }
    }
    void forget_waiter() noexcept { waiter_ = nullptr; }

    /// Takes the first piece; call it when ready(). It is empty when there is none, and why() tells.
    [[nodiscard]] received_buffer take() noexcept {
        received_buffer piece = std::move(first_);
        if (rest_) { take_next(); }
        return piece;
    }

    /// Copies from the first pieces; returns how much.
    std::size_t copy(std::span<std::byte> into) noexcept;

    /// Why no piece will come, once all have been taken.
    [[nodiscard]] std::error_code why() const noexcept;

private:
    static constexpr std::size_t most_pieces = 16;

    // In ended_, beside negated errnos:
    static constexpr int at_end = 0;
    static constexpr int goes_on = 1;
    static constexpr int no_memory = 2;

    /// What a connection does without whose peer waits for answers, and sends one piece at a time.
    struct rest final : timer_node {
        explicit rest(receiver& of) noexcept : of_(of) {}
        void on_time() noexcept override { of_.begin_again(); }

        receiver& of_;
        std::vector<received_buffer> pieces;  // behind the first, from next on; empty when none is left
        std::size_t next = 0;
        std::optional<spare_buffer> spare;   // once all others were taken
        std::chrono::milliseconds pause{1};  // before the next attempt when that is lent too
    };

    void on_received(int result, received_buffer buffer, unsigned flags) noexcept override;
    void begin();
    void begin_again() noexcept;
    void begin_without(buffer_ring& ring);
    void tell() noexcept;
    void keep_behind(received_buffer&& buffer) noexcept;
    void take_next() noexcept;
    [[nodiscard]] rest& with_rest();

    executor& home_;
    const int fd_;
    int ended_ = goes_on;
    receiver_waiter* waiter_ = nullptr;
    received_buffer first_;
    std::unique_ptr<rest> rest_;    // once needed
    std::uint8_t turned_away_ = 0;  // times in a row that the executor's buffers were gone when one was needed; 2 at most
    bool pausing_ = false;          // cancelled because enough has arrived
};

// Every connection that has borrowed has one, however long nothing happens on it.
static_assert(sizeof(receiver) <= 184);

}  // namespace fluxnet::detail
