// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_treatment.hpp"

#include <cstring>
#include <utility>

namespace fluxnet::test {

void flow_treatment::treat(packet one) noexcept {
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

void flow_treatment::forward(packet&& one) noexcept {
    ready_[ready_count_++] = std::move(one);
}

void flow_treatment::release_due(bool all) noexcept {
    for (std::uint32_t i = holding_count_; i-- != 0;) {
        if (all || flows_[holding_[i]].until <= clock_) { release(holding_[i]); }
    }
}

void flow_treatment::release(std::uint32_t number) noexcept {
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

std::uint32_t worker_of(const packet& one, std::uint32_t workers) noexcept {
    const auto frame = one.data();
    std::uint32_t flow = 0;
    if (frame.size() >= payload_at) {
        std::memcpy(&flow, frame.data() + ethernet_bytes + offsetof(packet_label, flow), sizeof flow);
    }
    return static_cast<std::uint32_t>(mix(flow) % workers);
}

}  // namespace fluxnet::test
