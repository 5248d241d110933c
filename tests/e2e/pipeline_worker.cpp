// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_worker.hpp"

#include <utility>

namespace fluxnet::test {

void flow_worker::run() noexcept {
    std::array<handed_packet, 64> batch;
    patience idle;
    for (;;) {
        const bool last = input_over_.load(std::memory_order_acquire);  // before the look at the queue
        if (may_be_slow_ && orders_.slow) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
        const std::size_t count = input_.pop(batch.data(), batch.size());
        if (count == 0) {
            if (last) { break; }
            ++clock_;
            release_due();
            flush();
            idle.wait();
            continue;
        }
        idle.reset();
        for (std::size_t i = 0; i < count; ++i) { treat(take_over(batch[i])); }
        flush();
    }
    release_due(true);
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

void flow_worker::treat(packet one) noexcept {
    ++clock_;
    if (holding_count_ != 0) { release_due(); }
    const auto label = open_label(std::as_const(one).data());
    if (!label) {
        damaged.add(1);
        return;
    }
    const treatment how = treatment_of(label->flow, label->sequence);
    if (how.what == fate::drop) {
        one.reset();
        dropped.add(1);
        return;
    }
    if (how.what == fate::resize) {
        if (!resize_packet(one, *label, how)) {
            damaged.add(1);
            return;
        }
        resized.add(1);
    }
    held_flow& flow = flows_[label->flow];
    if (flow.count == flow.packets.size()) { release(label->flow); }
    if (flow.count == 0 && how.what != fate::keep) {
        forward(std::move(one));
        return;
    }
    if (flow.count == 0) {
        flow.until = clock_ + how.hold;
        holding_[holding_count_++] = label->flow;
        kept.add(1);
    } else {
        held_behind.add(1);
    }
    flow.packets[flow.count++] = std::move(one);
}

void flow_worker::forward(packet&& one) noexcept {
    if (ready_count_ == ready_.size()) { flush(); }
    ready_[ready_count_++] = hand_over(std::move(one));
}

void flow_worker::release_due(bool all) noexcept {
    for (std::uint32_t i = holding_count_; i-- != 0;) {
        if (all || flows_[holding_[i]].until <= clock_) { release(holding_[i]); }
    }
}

void flow_worker::release(std::uint32_t number) noexcept {
    held_flow& flow = flows_[number];
    for (std::uint32_t i = 0; i < flow.count; ++i) { forward(std::move(flow.packets[i])); }
    flow.count = 0;
    for (std::uint32_t i = 0; i < holding_count_; ++i) {
        if (holding_[i] == number) {
            holding_[i] = holding_[--holding_count_];
            break;
        }
    }
}

void flow_worker::flush() noexcept {
    std::span<const handed_packet> rest(ready_.data(), std::exchange(ready_count_, 0));
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
