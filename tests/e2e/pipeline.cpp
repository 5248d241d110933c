// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

}  // namespace

pipeline::pipeline(system_sockets sockets)
    : sockets_(std::move(sockets)), workers_{flow_worker(orders_, true), flow_worker(orders_, false),
                                             flow_worker(orders_, false), flow_worker(orders_, false)},
      dropped_by_kernel_(0) {}

void pipeline::start() {
    static_cast<void>(sockets_.rx.wait(0ns));  // the first wait allocates
    sockets_.rx.release();
    sockets_.tx.release();
    for (std::uint32_t i = 0; i < worker_count; ++i) {
        threads_[i] = std::jthread([this, i] { workers_[i].run(); });
    }
    threads_[worker_count] = std::jthread([this] { receive(); });
    threads_[worker_count + 1] = std::jthread([this] { transmit(); });
}

void pipeline::finish() {
    orders_.stop = true;
    orders_.slow = false;
    for (std::jthread& each : threads_) {
        if (each.joinable()) { each.join(); }
    }
}

std::uint64_t pipeline::total(fluxnet::detail::counter flow_treatment::*what) const noexcept {
    std::uint64_t sum = 0;
    for (const flow_worker& each : workers_) { sum += (each.*what).get(); }
    return sum;
}

std::uint64_t pipeline::ended_inside() const noexcept {
    return total(&flow_worker::dropped) + total(&flow_worker::damaged) + refused_.get() +
           dropped_by_kernel_.load(std::memory_order_relaxed);
}

void pipeline::receive() noexcept {
    rx& from = sockets_.rx;
    std::array<packet, 64> burst;
    patience idle;
    while (!orders_.stop && !from.failure()) {
        const std::uint32_t count = from.try_recv(burst);
        if (count != 0) {
            idle.reset();
            received_.add(count);
            distribute(std::span(burst).first(count));
            continue;
        }
        if (!idle.asleep()) {
            idle.wait();
            continue;
        }
        count_lost();
        if (from.wait(1ms)) { idle.reset(); }
    }
    for (flow_worker& each : workers_) { each.input_over(); }
    from.refill();
    count_lost();
    from.release();
}

void pipeline::count_lost() noexcept {
    const socket_statistics lost = sockets_.rx.statistics();
    lost_at_socket_.store(lost.rx_dropped + lost.rx_ring_full, std::memory_order_relaxed);
}

void pipeline::distribute(std::span<packet> burst) noexcept {
    std::array<std::array<handed_packet, 64>, worker_count> sorted;
    std::array<std::uint32_t, worker_count> counts{};
    for (packet& one : burst) {
        const std::uint32_t worker = worker_of(one, worker_count);
        sorted[worker][counts[worker]++] = hand_over(std::move(one));
    }
    for (std::uint32_t i = 0; i < worker_count; ++i) {
        if (counts[i] != 0) { workers_[i].put(std::span(sorted[i]).first(counts[i])); }
    }
}

void pipeline::transmit() noexcept {
    tx& to = sockets_.tx;
    std::array<handed_packet, 64> handed;
    std::array<packet, 64> burst;
    patience idle;
    for (;;) {
        const bool last = std::ranges::all_of(workers_, &flow_worker::output_over);  // before the look at the queues
        bool moved = false;
        for (flow_worker& each : workers_) {
            const std::size_t count = each.take(handed);
            for (std::size_t i = 0; i < count; ++i) { burst[i] = take_over(handed[i]); }
            send_all(std::span(burst).first(count));
            moved = moved || count != 0;
        }
        if (moved || to.in_flight() != 0) { to.flush(); }
        dropped_by_kernel_.store(to.dropped_by_kernel(), std::memory_order_relaxed);
        if (moved) {
            idle.reset();
        } else if (last) {
            break;
        } else {
            idle.wait();
        }
    }
    to.drain(2s);
    dropped_by_kernel_.store(to.dropped_by_kernel(), std::memory_order_relaxed);
    to.release();
}

void pipeline::send_all(std::span<packet> burst) noexcept {
    for (patience full; !burst.empty(); full.wait()) {
        const std::uint32_t taken = sockets_.tx.try_send(burst);
        sent_.add(taken);
        burst = burst.subspan(taken);
        if (burst.empty()) { return; }
        if (sockets_.tx.refusal(burst.front()) || orders_.abandon) {
            burst.front().reset();
            burst = burst.subspan(1);
            refused_.add(1);
        }
        sockets_.tx.flush();
    }
}

}  // namespace fluxnet::test
