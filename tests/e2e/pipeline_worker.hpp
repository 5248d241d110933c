// SPDX-License-Identifier: BSD-3-Clause
// `flow_worker`: one of the threads between the receiving and the sending one, which treats the packets of its flows.
//
// Owned by the pipeline. One thread puts packets in, one takes them out, one runs it; the queues between are bounded, so a
// slow worker holds up whoever gives it packets. Nothing here allocates.
#pragma once

#include "fluxnet/xsk/memory/packet.hpp"
#include "tests/e2e/pipeline_orders.hpp"
#include "tests/e2e/pipeline_treatment.hpp"

#include <boost/lockfree/spsc_queue.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
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

class flow_worker : public flow_treatment {
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

private:
    void flush() noexcept;
    void pass_on(std::span<const handed_packet> rest) noexcept;

    const pipeline_orders& orders_;
    const bool may_be_slow_;
    std::atomic<bool> input_over_ = false;
    std::atomic<bool> output_over_ = false;
    packet_queue input_;
    packet_queue output_;
};

}  // namespace fluxnet::test
