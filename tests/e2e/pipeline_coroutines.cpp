// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/pipeline_coroutines.hpp"

#include "fluxnet/runtime/core/sleep.hpp"

#include <chrono>
#include <cstddef>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t burst_size = flow_treatment::batch;
constexpr std::size_t channel_capacity = 512;

// The executors by what runs there; the workers are spread over the rest.
constexpr std::size_t receiving = 0;
constexpr std::size_t sending = 1;
constexpr std::size_t executors = 4;

constexpr std::size_t place_of(std::uint32_t worker) {
    return 2 + worker % 2;
}

template <std::size_t... I>
std::array<random_cancels, sizeof...(I)> make_dice(std::index_sequence<I...>) {
    return {random_cancels(static_cast<std::uint32_t>(I) + 1)...};
}

}  // namespace

coroutine_pipeline::coroutine_pipeline(system_sockets sockets)
    : dice_(make_dice(std::make_index_sequence<4 + 2 * worker_count>())), output_(channel_capacity),
      group_({.size = executors, .pinned = false}) {
    for (std::uint32_t i = 0; i < worker_count; ++i) { workers_.emplace_back(channel_capacity); }
    rx_.emplace(group_[receiving], std::move(sockets.rx));
    tx_.emplace(group_[sending], std::move(sockets.tx));
    rx_->socket().release();
    tx_->socket().release();
}

coroutine_pipeline::~coroutine_pipeline() {
    if (runner_.joinable()) {
        group_.request_stop();
        abandon();
        runner_.join();
    }
}

void coroutine_pipeline::start() {
    group_.spawn(receiving, [this] { return receive(); });
    group_.spawn(receiving, [this] { return watch_socket(); });
    group_.spawn(sending, [this] { return transmit(); });
    for (std::uint32_t i = 0; i < worker_count; ++i) {
        group_.spawn(place_of(i), [this, i] { return work(i); });
        group_.spawn(place_of(i), [this, i] { return tick(i); });
    }
    runner_ = std::thread([this] {
        try {
            group_.run();
        } catch (...) { failure_ = std::current_exception(); }
    });
}

void coroutine_pipeline::finish() {
    orders_.stop = true;
    orders_.slow = false;
    group_[receiving].request_stop();
    runner_.join();
    if (failure_) { std::rethrow_exception(std::exchange(failure_, nullptr)); }
    tx_->socket().drain(2s);
    dropped_by_kernel_.store(tx_->socket().dropped_by_kernel(), std::memory_order_relaxed);
    rx_->socket().refill();
    count_lost();
    rx_->socket().release();
    tx_->socket().release();
}

bool coroutine_pipeline::begin_slice(std::uint64_t number) {
    const bool disturbed = number % 3 != 2;
    for (random_cancels& one : dice_) { one.set(disturbed); }
    return disturbed;
}

void coroutine_pipeline::abandon() noexcept {
    orders_.abandon = true;
    group_.request_stop();
}

std::uint64_t coroutine_pipeline::total(fluxnet::detail::counter flow_treatment::*what) const noexcept {
    std::uint64_t sum = 0;
    for (const worker& each : workers_) { sum += (each.flows.*what).get(); }
    return sum;
}

std::uint64_t coroutine_pipeline::ended_inside() const noexcept {
    return total(&flow_treatment::dropped) + total(&flow_treatment::damaged) + refused() +
           dropped_by_kernel_.load(std::memory_order_relaxed);
}

task<void> coroutine_pipeline::receive() {
    std::array<packet, burst_size> burst;
    std::array<std::array<packet, burst_size>, worker_count> sorted;
    for (;;) {
        auto reception = receptions()[0].around([&] { return rx_->recv(burst); });
        const io_result got = co_await reception;
        if (got.ec && (orders_.stop || got.ec != errc::operation_canceled)) { break; }
        received_.add(got.n);
        std::array<std::size_t, worker_count> counts{};
        for (packet& one : std::span(burst).first(got.n)) {
            const std::uint32_t to = worker_of(one, worker_count);
            sorted[to][counts[to]++] = std::move(one);
        }
        for (std::uint32_t to = 0; to < worker_count; ++to) {
            std::span<packet> rest = std::span(sorted[to]).first(counts[to]);
            while (!rest.empty()) {
                auto send = channel_sends()[0].around([&] { return workers_[to].input.send(rest); });
                const io_result put = co_await send;
                rest = rest.subspan(put.n);
                if (put.ec && (orders_.stop || put.ec != errc::operation_canceled)) {
                    refuse(rest);
                    break;
                }
            }
        }
    }
    for (worker& each : workers_) { each.input.close(); }
}

/// Asks the kernel now and then how many packets it has lost.
task<void> coroutine_pipeline::watch_socket() {
    for (;;) {
        const std::error_code over = co_await sleep_for(2ms);
        if (over) { break; }
        count_lost();
    }
}

task<void> coroutine_pipeline::work(std::uint32_t number) {
    worker& mine = workers_[number];
    std::array<packet, burst_size> batch;
    for (bool open = true; open;) {
        while (number == 0 && orders_.slow) { static_cast<void>(co_await sleep_for(20ms)); }
        mine.idle = true;
        auto reception = channel_receptions()[1 + number].around([&] { return mine.input.recv(batch); });
        const io_result got = co_await reception;
        mine.idle = false;
        open = !got.ec || (got.ec == errc::operation_canceled && !orders_.abandon);
        for (packet& one : std::span(batch).first(got.n)) {
            if (one) {
                mine.flows.treat(std::move(one));
            } else {
                mine.flows.pass(burst_size);
            }
        }
        if (!open) { mine.flows.release_all(); }
        for (std::span<packet> rest = mine.flows.ready(); !rest.empty();) {
            auto send = channel_sends()[1 + number].around([&] { return output_.send(rest); });
            const io_result put = co_await send;
            mine.flows.forwarded.add(put.n);
            rest = rest.subspan(put.n);
            if (put.ec && (orders_.abandon || put.ec != errc::operation_canceled)) {
                refuse(rest);
                break;
            }
        }
        mine.flows.clear_ready();
    }
    mine.ended = true;
    if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1) { output_.close(); }
}

/// Lets held packets go on when no others come that would.
task<void> coroutine_pipeline::tick(std::uint32_t number) {
    worker& mine = workers_[number];
    while (!mine.ended) {
        const std::error_code over = co_await sleep_for(1ms);
        if (over) { break; }
        packet nothing;
        if (mine.idle && mine.flows.holding()) { static_cast<void>(mine.input.try_send(std::span(&nothing, 1))); }
    }
}

task<void> coroutine_pipeline::transmit() {
    std::array<packet, burst_size> burst;
    for (;;) {
        auto reception = channel_receptions()[0].around([&] { return output_.recv(burst); });
        const io_result got = co_await reception;
        if (got.ec && (orders_.abandon || got.ec != errc::operation_canceled)) { break; }
        for (std::span<packet> rest = std::span(burst).first(got.n); !rest.empty();) {
            auto send = sends()[0].around([&] { return tx_->send(rest); });
            const io_result put = co_await send;
            sent_.add(put.n);
            rest = rest.subspan(put.n);
            if (put.ec && (orders_.abandon || put.ec != errc::operation_canceled)) {
                refuse(rest.first(1));
                rest = rest.subspan(1);
            }
        }
        dropped_by_kernel_.store(tx_->socket().dropped_by_kernel(), std::memory_order_relaxed);
    }
}

void coroutine_pipeline::count_lost() noexcept {
    const socket_statistics lost = rx_->socket().statistics();
    lost_at_socket_.store(lost.rx_dropped + lost.rx_ring_full, std::memory_order_relaxed);
}

/// Nothing is refused, unless something is wrong.
void coroutine_pipeline::refuse(std::span<packet> packets) noexcept {
    for (packet& one : packets) { one.reset(); }
    refused_.fetch_add(packets.size(), std::memory_order_relaxed);
}

}  // namespace fluxnet::test
