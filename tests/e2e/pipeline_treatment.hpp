// SPDX-License-Identifier: BSD-3-Clause
// `flow_treatment`: treats the packets of some flows as their numbers say, and keeps each flow in order: behind a kept
// packet the flow's later ones queue up.
//
// Owned by whoever works on these flows, a thread or a coroutine, and used there; the counters may be read on any thread.
// Allocates when it is made.
#pragma once

#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/memory/packet.hpp"
#include "tests/e2e/pipeline_packet.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace fluxnet::test {

class flow_treatment {
public:
    /// Packets that may be treated before ready() has to be taken.
    static constexpr std::size_t batch = 64;

    void treat(packet one) noexcept;

    /// Lets time pass without packets: held packets must not wait for ever.
    void pass(std::uint64_t packets) noexcept {
        clock_ += packets;
        release_due();
    }

    /// Lets everything go on that is held.
    void release_all() noexcept { release_due(true); }

    [[nodiscard]] bool holding() const noexcept { return holding_count_ != 0; }

    /// The packets that go on, in order. They are to be moved out before clear_ready().
    [[nodiscard]] std::span<packet> ready() noexcept { return {ready_.get(), ready_count_}; }
    void clear_ready() noexcept { ready_count_ = 0; }

    // What was done so far. Every packet taken in is dropped, damaged or forwarded in the end.
    fluxnet::detail::counter dropped;
    fluxnet::detail::counter forwarded;  // counted by whoever takes them
    fluxnet::detail::counter kept;
    fluxnet::detail::counter held_behind;  // a kept packet of their flow
    fluxnet::detail::counter resized;
    fluxnet::detail::counter damaged;  // not as they were sealed, or impossible to resize; none, unless something is wrong

private:
    static constexpr std::size_t most_held = 32;  // of one flow

    struct held_flow {
        std::array<packet, most_held> packets;
        std::uint32_t count = 0;  // 0: nothing is held back
        std::uint64_t until = 0;  // the clock's reading at which they go on
    };

    void forward(packet&& one) noexcept;
    void release(std::uint32_t flow) noexcept;
    void release_due(bool all = false) noexcept;

    std::uint64_t clock_ = 0;  // packets seen, and what pass() added
    std::unique_ptr<held_flow[]> flows_ = std::make_unique<held_flow[]>(flow_count);
    std::array<std::uint32_t, flow_count> holding_{};  // the first holding_count_ are flows with something held back
    std::uint32_t holding_count_ = 0;
    std::unique_ptr<packet[]> ready_ = std::make_unique<packet[]>(flow_count * most_held + batch);
    std::size_t ready_count_ = 0;
};

/// The place, out of `workers`, for the flow of a packet. The label is not checked here: a packet with a damaged one goes to
/// any worker, which finds out.
[[nodiscard]] std::uint32_t worker_of(const packet& one, std::uint32_t workers) noexcept;

}  // namespace fluxnet::test
