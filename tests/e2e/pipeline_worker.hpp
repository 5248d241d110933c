// SPDX-License-Identifier: BSD-3-Clause
// `flow_worker`: one of the threads between the receiving and the sending one. It treats the packets of its flows as their
// numbers say, and keeps each flow in order: behind a kept packet the flow's later ones queue up.
//
// Owned by the pipeline. One thread puts packets in, one takes them out, one runs it; the queues between are bounded, so a
// slow worker holds up whoever gives it packets. Nothing here allocates.
#pragma once

#include "tests/e2e/pipeline_packet.hpp"
#include "xsk/detail/counter.hpp"
#include "xsk/packet.hpp"

#include <boost/lockfree/spsc_queue.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <utility>

namespace fluxnet::test {

/// A packet on its way through a queue of plain values: whoever takes it out makes a packet of it again.
struct handed_packet {
    frame_home* home = nullptr;
    xdp_desc desc;
};

[[nodiscard]] inline handed_packet hand_over(packet&& one) noexcept {
    frame_home* const home = one.home();
    return {home, std::move(one).into_raw()};
}
[[nodiscard]] inline packet take_over(const handed_packet& from) noexcept {
    return packet::from_raw(*from.home, from.desc);
}

using packet_queue = boost::lockfree::spsc_queue<handed_packet, boost::lockfree::capacity<512>>;

/// Waits for another thread: first by giving way, then asleep.
class patience {
public:
    void reset() noexcept { turns_ = 0; }
    void wait() noexcept {
        if (++turns_ < 50) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }
    [[nodiscard]] bool asleep() const noexcept { return turns_ >= 50; }

private:
    std::uint32_t turns_ = 0;
};

/// What the threads of a pipeline are told from outside.
struct pipeline_orders {
    std::atomic<bool> slow = false;     // the first worker dawdles, so that packets are lost
    std::atomic<bool> stop = false;     // receive no more; what is inside goes through
    std::atomic<bool> abandon = false;  // wait for nothing any more: the test has failed
};

class flow_worker {
public:
    flow_worker(const pipeline_orders& orders, bool may_be_slow) : orders_(orders), may_be_slow_(may_be_slow) {}

    /// Runs until input_over() was called and every packet has gone on.
    void run() noexcept;

    /// By the receiving thread; waits while the queue is full.
    void put(std::span<const handed_packet> packets) noexcept;
    void input_over() noexcept { input_over_.store(true, std::memory_order_release); }

    /// By the sending thread; returns how many.
    std::size_t take(std::span<handed_packet> into) noexcept { return output_.pop(into.data(), into.size()); }
    [[nodiscard]] bool output_over() const noexcept { return output_over_.load(std::memory_order_acquire); }

    /// For any thread: what was done so far. Every packet taken in is dropped, damaged or forwarded in the end.
    fluxnet::detail::counter dropped;
    fluxnet::detail::counter forwarded;
    fluxnet::detail::counter kept;
    fluxnet::detail::counter held_behind;  // a kept packet of their flow
    fluxnet::detail::counter resized;
    fluxnet::detail::counter damaged;  // not as they were sealed, or impossible to resize; none, unless something is wrong

private:
    struct held_flow {
        std::array<packet, 32> packets;
        std::uint32_t count = 0;  // 0: nothing is held back
        std::uint64_t until = 0;  // the clock's reading at which they go on
    };

    void treat(packet one) noexcept;
    void forward(packet&& one) noexcept;
    void release(std::uint32_t flow) noexcept;
    void release_due(bool all = false) noexcept;
    void flush() noexcept;

    const pipeline_orders& orders_;
    const bool may_be_slow_;
    std::uint64_t clock_ = 0;  // packets seen, and turns without any: held packets must not wait for ever
    std::unique_ptr<held_flow[]> flows_ = std::make_unique<held_flow[]>(flow_count);
    std::array<std::uint32_t, flow_count> holding_{};  // the first holding_count_ are flows with something held back
    std::uint32_t holding_count_ = 0;
    std::array<handed_packet, 64> ready_;
    std::size_t ready_count_ = 0;
    std::atomic<bool> input_over_ = false;
    std::atomic<bool> output_over_ = false;
    packet_queue input_;
    packet_queue output_;
};

}  // namespace fluxnet::test
