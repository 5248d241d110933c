// SPDX-License-Identifier: BSD-3-Clause
// `coroutine_pipeline`: async_rx on executor A -> channels of packets -> four workers on executors C and D -> a channel ->
// async_tx on executor B, over the two handles of one socket.
//
// Owned by a test case. start() runs the executors on threads of their own, finish() ends those, so that a census on the
// caller's thread is exact. A flow belongs to one worker, whose channel keeps its order. In two slices of three every await
// of the pipeline may be cancelled at a random moment, and is made again for what it has not moved; that allocates. In the
// third nothing is cancelled and nothing allocates.
#pragma once

#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/xsk/builder.hpp"
#include "tests/e2e/pipeline_cancels.hpp"
#include "tests/e2e/pipeline_middle.hpp"
#include "tests/e2e/pipeline_orders.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <thread>

namespace fluxnet::test {

class coroutine_pipeline final : public pipeline_middle {
public:
    static constexpr std::uint32_t worker_count = 4;

    /// In the network namespace of the socket's interface.
    explicit coroutine_pipeline(system_sockets sockets);
    coroutine_pipeline(const coroutine_pipeline&) = delete;
    coroutine_pipeline& operator=(const coroutine_pipeline&) = delete;
    ~coroutine_pipeline();

    void start() override;
    void finish() override;
    bool begin_slice(std::uint64_t number) override;
    void set_slow(bool slow) noexcept override { orders_.slow = slow; }
    void abandon() noexcept override;
    [[nodiscard]] std::uint64_t ended_inside() const noexcept override;
    [[nodiscard]] std::uint64_t lost_at_socket() const noexcept override {
        return lost_at_socket_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t received() const noexcept override { return received_.get(); }
    [[nodiscard]] std::uint64_t refused() const noexcept override { return refused_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t sent() const noexcept override { return sent_.get(); }
    [[nodiscard]] std::uint64_t total(fluxnet::detail::counter flow_treatment::*what) const noexcept override;
    [[nodiscard]] rx& receiver() noexcept override { return rx_->socket(); }
    [[nodiscard]] tx& sender() noexcept override { return tx_->socket(); }

    /// The dice of all awaits of one kind.
    using dice = std::span<random_cancels>;
    [[nodiscard]] dice receptions() noexcept { return std::span(dice_).subspan(0, 1); }
    [[nodiscard]] dice sends() noexcept { return std::span(dice_).subspan(1, 1); }
    [[nodiscard]] dice channel_sends() noexcept { return std::span(dice_).subspan(2, 1 + worker_count); }
    [[nodiscard]] dice channel_receptions() noexcept { return std::span(dice_).subspan(3 + worker_count, 1 + worker_count); }
    [[nodiscard]] dice all_dice() noexcept { return dice_; }

private:
    struct worker {
        explicit worker(std::size_t capacity) : input(capacity) {}
        channel<packet> input;  // an empty packet is a tick
        flow_treatment flows;
        bool idle = false;   // used on the worker's thread
        bool ended = false;  // likewise
    };

    task<void> receive();
    task<void> watch_socket();
    task<void> work(std::uint32_t number);
    task<void> tick(std::uint32_t number);
    task<void> transmit();
    void count_lost() noexcept;
    void refuse(std::span<packet> packets) noexcept;

    pipeline_orders orders_;
    std::array<random_cancels, 4 + 2 * worker_count> dice_;
    std::deque<worker> workers_;
    channel<packet> output_;
    executor_group group_;  // after what its tasks use
    std::optional<async_rx> rx_;
    std::optional<async_tx> tx_;
    std::atomic<std::uint32_t> working_ = worker_count;
    fluxnet::detail::counter received_;
    fluxnet::detail::counter sent_;
    std::atomic<std::uint64_t> refused_ = 0;
    std::atomic<std::uint64_t> dropped_by_kernel_ = 0;
    std::atomic<std::uint64_t> lost_at_socket_ = 0;
    std::exception_ptr failure_;
    std::thread runner_;
};

}  // namespace fluxnet::test
