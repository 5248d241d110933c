// SPDX-License-Identifier: BSD-3-Clause
// `balancer`: the threads between a socket's rx and its tx.
//
//                    +-> in -> worker 0 -> out -+
//     rx -> ingress -+-> in -> worker 1 -> out -+-> egress -> tx
//                    +-> in -> ...      -> out -+
//
// The ingress thread has `rx`, sleeps in rx.wait(), and gives every packet to the worker that its flow's hash names. A
// worker picks the backend and writes its MAC address over the frame's destination; the IP packet stays as the client sent
// it, with its checksums, so the backend, which has the virtual address too, answers the client directly ("direct server
// return"). The egress thread has `tx`. All packets of a flow take one worker and its two queues, so they keep their order.
//
// Every queue has one thread at each end and is bounded: a packet that finds it full is dropped and counted. Threads without
// work sleep. Frames of dropped packets return to the rx from whichever thread drops them.
//
// request_stop() and the counters are for any thread, everything else for the one that made the balancer.
#pragma once

#include "examples/load_balancer/backends.hpp"
#include "examples/load_balancer/doorbell.hpp"
#include "examples/load_balancer/flow.hpp"
#include "examples/load_balancer/packet_queue.hpp"
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

namespace load_balancer {

struct balancer_options {
    fluxnet::proto::ipv4_address address;  ///< The virtual one, that the clients know.
    std::uint32_t workers = 2;
    std::uint32_t queue_depth = 256;  ///< Packets in each of a worker's two queues.
};

/// What became of the packets. When the threads have ended:
/// received == sent + refused + worker_queue_full + egress_queue_full + unsent, and
/// forwarded + answered == sent + egress_queue_full + unsent.
struct packet_counts {
    std::atomic<std::uint64_t> received = 0;
    std::atomic<std::uint64_t> worker_queue_full = 0;
    std::atomic<std::uint64_t> forwarded = 0;  ///< To a backend.
    std::atomic<std::uint64_t> answered = 0;   ///< ARP and ping, by the balancer itself.
    std::atomic<std::uint64_t> refused = 0;    ///< Malformed, a fragment, or not for the virtual address.
    std::atomic<std::uint64_t> egress_queue_full = 0;
    std::atomic<std::uint64_t> sent = 0;
    std::atomic<std::uint64_t> unsent = 0;  ///< The tx failed or its link was down when the balancer ended.
};

class balancer {
public:
    /// Starts the threads. `board` must outlive them.
    balancer(fluxnet::system_sockets sockets, const balancer_options& options, const backend_board& board);
    ~balancer();

    /// Asks the threads to end, which they do when what has been received is on its way; within about 0.1 s.
    void request_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }

    /// Tells whether the threads are ending: asked to, or because of failure().
    [[nodiscard]] bool ending() const noexcept { return ending_.load(std::memory_order_acquire); }

    /// Waits for the threads to end, then for what was sent to leave.
    void join();

    /// Why the balancer ended by itself; no error when it was asked to. After join().
    [[nodiscard]] std::error_code failure() const noexcept;

    /// The two halves of the socket; after join().
    [[nodiscard]] fluxnet::system_sockets& sockets() noexcept { return sockets_; }

    [[nodiscard]] const packet_counts& counts() const noexcept { return counts_; }

    /// Raises `sum` by the reasons for which packets were refused, indexed by proto::reason; after join().
    void add_refusals(std::span<std::uint64_t, fluxnet::proto::reason_count> sum) const noexcept;

private:
    /// A worker: its queues, and what only its thread uses.
    struct lane {
        lane(std::size_t depth, const fluxnet::proto::echo_host& address) : in(depth), out(depth), host(address) {}

        packet_queue in;   // ingress -> worker
        packet_queue out;  // worker -> egress
        doorbell bell;     // rung by ingress
        fluxnet::proto::echo_host host;
        std::thread thread;
    };

    void receive();
    void work(lane& mine);
    /// Makes of a received packet one to be sent; false when there is none.
    [[nodiscard]] bool direct(fluxnet::packet& one, lane& mine, const backend_list& backends) noexcept;
    void send();
    void send_all(std::span<fluxnet::packet> packets);

    fluxnet::system_sockets sockets_;
    const backend_board& board_;
    const fluxnet::proto::echo_host address_;
    packet_counts counts_;
    std::vector<std::unique_ptr<lane>> lanes_;
    doorbell egress_bell_;  // rung by workers
    std::atomic<bool> stop_ = false;
    std::atomic<bool> ending_ = false;
    std::thread ingress_;
    std::thread egress_;
};

}  // namespace load_balancer
