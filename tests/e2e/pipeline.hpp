// SPDX-License-Identifier: BSD-3-Clause
// `pipeline`: receiving thread -> bounded queues -> four workers -> bounded queues -> sending thread, over the two handles
// of one socket.
//
// Owned by a test case. start() moves the handles to threads of their own, finish() ends those threads and brings the
// handles back, released, so that a census on the caller's thread is exact. A flow belongs to one worker, which keeps its
// order. Nothing allocates once packets flow.
#pragma once

#include "fluxnet/xsk/builder.hpp"
#include "tests/e2e/pipeline_middle.hpp"
#include "tests/e2e/pipeline_worker.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>

namespace fluxnet::test {

class pipeline final : public pipeline_middle {
public:
    static constexpr std::uint32_t worker_count = 4;

    explicit pipeline(system_sockets sockets);
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline() { finish(); }

    void start() override;
    void finish() override;
    void set_slow(bool slow) noexcept override { orders_.slow = slow; }
    void abandon() noexcept override { orders_.abandon = true; }
    [[nodiscard]] std::uint64_t ended_inside() const noexcept override;
    [[nodiscard]] std::uint64_t lost_at_socket() const noexcept override {
        return lost_at_socket_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t received() const noexcept override { return received_.get(); }
    [[nodiscard]] std::uint64_t refused() const noexcept override { return refused_.get(); }
    [[nodiscard]] std::uint64_t sent() const noexcept override { return sent_.get(); }
    [[nodiscard]] std::uint64_t total(fluxnet::detail::counter flow_treatment::*what) const noexcept override;
    [[nodiscard]] rx& receiver() noexcept override { return sockets_.rx; }
    [[nodiscard]] tx& sender() noexcept override { return sockets_.tx; }

private:
    void receive() noexcept;
    void count_lost() noexcept;
    void distribute(std::span<packet> burst) noexcept;
    void transmit() noexcept;
    void send_all(std::span<packet> burst) noexcept;

    pipeline_orders orders_;
    system_sockets sockets_;
    std::array<flow_worker, worker_count> workers_;
    fluxnet::detail::counter received_;              // written by the receiving thread
    fluxnet::detail::counter sent_;                  // written by the sending thread, like the next
    fluxnet::detail::counter refused_;               // by the tx; none, unless something is wrong
    std::atomic<std::uint64_t> dropped_by_kernel_;   // written by the sending thread
    std::atomic<std::uint64_t> lost_at_socket_ = 0;  // written by the receiving thread
    std::array<std::jthread, worker_count + 2> threads_;
};

}  // namespace fluxnet::test
