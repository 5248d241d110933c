// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_far_side.hpp"

#include <algorithm>
#include <chrono>
#include <span>

namespace fluxnet::test {

std::uint32_t far_side::send(std::uint32_t wanted) noexcept {
    tx& to = sockets_.tx;
    if (out_first_ == out_count_) {
        out_first_ = 0;
        out_count_ = to.allocate(std::span(out_).first(std::min(wanted, batch)));
        for (std::uint32_t i = 0; i < out_count_; ++i) {
            const auto number = static_cast<std::uint32_t>(mix(written_++) % flow_count);
            if (!write_packet(out_[i], number, ++flows_[number].sent)) { ++faults_.misshapen; }
        }
    }
    const std::uint32_t taken = to.try_send(std::span(out_).subspan(out_first_, out_count_ - out_first_));
    out_first_ += taken;
    sent_ += taken;
    to.flush();
    return taken;
}

std::uint32_t far_side::check() noexcept {
    std::array<packet, batch> burst;
    const std::uint32_t count = sockets_.rx.try_recv(burst);
    for (std::uint32_t i = 0; i < count; ++i) { check_one(burst[i]); }
    received_ += count;
    return count;
}

void far_side::check_one(const packet& one) noexcept {
    const auto label = open_label(one.data());
    if (!label) {
        ++faults_.damaged;
        return;
    }
    flow& of = flows_[label->flow];
    if (label->sequence <= of.received) { ++faults_.out_of_order; }
    of.received = label->sequence;
    const treatment how = treatment_of(label->flow, label->sequence);
    if (how.what == fate::drop || label->sequence > of.sent) { ++faults_.undropped; }
    if (how.what == fate::resize) { ++received_resized_; }
    if (label->payload != last_payload(label->flow, label->sequence)) { ++faults_.misshapen; }
}

bool far_side::finish() noexcept {
    const bool drained = sockets_.tx.drain(std::chrono::seconds(2));
    for (packet& one : out_) { one.reset(); }
    sockets_.rx.refill();
    sockets_.rx.release();
    sockets_.tx.release();
    return drained;
}

std::error_code far_side::failure() const noexcept {
    return sockets_.rx.failure() ? sockets_.rx.failure() : sockets_.tx.failure();
}

std::uint64_t far_side::lost_at_socket() const noexcept {
    const socket_statistics lost = sockets_.rx.statistics();
    return lost.rx_dropped + lost.rx_ring_full + sockets_.tx.dropped_by_kernel();
}

}  // namespace fluxnet::test
