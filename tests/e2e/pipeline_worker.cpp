// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_worker.hpp"

#include <algorithm>
#include <utility>

namespace fluxnet::test {

void flow_worker::run() noexcept {
    std::array<handed_packet, flow_treatment::batch> batch;
    patience idle;
    for (;;) {
        const bool last = input_over_.load(std::memory_order_acquire);  // before the look at the queue
        while (may_be_slow_ && orders_.slow) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
        const std::size_t count = input_.pop(batch.data(), batch.size());
        if (count == 0) {
            if (last) { break; }
            pass(1);
            flush();
            idle.wait();
            continue;
        }
        idle.reset();
        for (std::size_t i = 0; i < count; ++i) { treat(take_over(batch[i])); }
        flush();
    }
    release_all();
    flush();
    output_over_.store(true, std::memory_order_release);
}

void flow_worker::put(std::span<const handed_packet> packets) noexcept {
    for (patience full; !packets.empty(); full.wait()) {
        packets = packets.subspan(input_.push(packets.data(), packets.size()));
        if (packets.empty()) { return; }
        if (orders_.abandon) { break; }
    }
    for (const handed_packet& one : packets) { take_over(one).reset(); }
}

void flow_worker::flush() noexcept {
    std::array<handed_packet, 64> handed;
    for (std::span<packet> rest = ready(); !rest.empty();) {
        const std::size_t count = std::min(rest.size(), handed.size());
        for (std::size_t i = 0; i < count; ++i) { handed[i] = hand_over(std::move(rest[i])); }
        rest = rest.subspan(count);
        pass_on(std::span(handed).first(count));
    }
    clear_ready();
}

void flow_worker::pass_on(std::span<const handed_packet> rest) noexcept {
    for (patience full; !rest.empty(); full.wait()) {
        const std::size_t pushed = output_.push(rest.data(), rest.size());
        forwarded.add(pushed);
        rest = rest.subspan(pushed);
        if (rest.empty()) { return; }
        if (orders_.abandon) { break; }
    }
    for (const handed_packet& one : rest) { take_over(one).reset(); }
}

}  // namespace fluxnet::test
