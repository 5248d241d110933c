// SPDX-License-Identifier: BSD-3-Clause
// `pipeline`: receiving thread -> bounded queues -> four workers -> bounded queues -> sending thread, over the two handles
// of one socket.
//
// Owned by a test case. start() moves the handles to threads of their own, finish() ends those threads and brings the
// handles back, released, so that a census on the caller's thread is exact. A flow belongs to one worker, which keeps its
// order. Nothing allocates once packets flow.
#pragma once

#include "tests/e2e/pipeline_worker.hpp"
#include "xsk/builder.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>

namespace fluxnet::test {

class pipeline {
public:
    static constexpr std::uint32_t worker_count = 4;

    explicit pipeline(system_sockets sockets);
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline() { finish(); }

    void start();

    /// Lets what is inside go through, waits for that, and joins the threads.
    void finish();

    /// Makes one worker so slow that packets are lost for want of frames and ring entries.
    void set_slow(bool slow) noexcept { orders_.slow = slow; }

    /// Waits for nothing any more: packets that cannot go on are dropped.
    void abandon() noexcept { orders_.abandon = true; }

    /// For any thread: packets that ended inside: dropped by workers, damaged, refused by the tx or dropped by the kernel
    /// while it sent. One that was counted has given its frame back.
    [[nodiscard]] std::uint64_t ended_inside() const noexcept;

    /// For any thread: packets that the socket has counted as lost before they were received.
    [[nodiscard]] std::uint64_t lost_at_socket() const noexcept { return lost_at_socket_.load(std::memory_order_relaxed); }

    [[nodiscard]] std::uint64_t received() const noexcept { return received_.get(); }
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.get(); }
    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_.get(); }
    [[nodiscard]] std::uint64_t total(fluxnet::detail::counter flow_worker::* what) const noexcept;

    /// The handles, for their observers; while no thread runs.
    [[nodiscard]] rx& receiver() noexcept { return sockets_.rx; }
    [[nodiscard]] tx& sender() noexcept { return sockets_.tx; }

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
