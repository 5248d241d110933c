// SPDX-License-Identifier: BSD-3-Clause
// Raw on several queues: one socket and one pinned thread for each, over one UMEM; no frame and no lock is shared.
// Usage: raw_multi_queue [--queues N] [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"

#include <atomic>
#include <exception>
#include <thread>

#include <pthread.h>
#include <sched.h>

using namespace raw_example;

/// What belongs to one queue. The counters are read by the main thread while its own thread runs; the rest afterwards.
struct alignas(64) lane {
    std::atomic<std::uint64_t> received = 0;
    std::atomic<std::uint64_t> sent = 0;
    std::vector<frame_index> spare;  // its own share: threads that took from one list would need a lock
    std::exception_ptr failure;
};

/// Pins the calling thread to one of the CPUs it may run on; false when the kernel refuses.
static bool pin_this_thread(std::uint32_t number) {
    cpu_set_t usable;
    if (::sched_getaffinity(0, sizeof usable, &usable) != 0) { return false; }
    int which = static_cast<int>(number) % CPU_COUNT(&usable);  // there may be more queues than CPUs
    int cpu = 0;
    for (; !CPU_ISSET(cpu, &usable) || which-- != 0; ++cpu) {}
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one) == 0;
}

static void serve(traffic& run, std::uint32_t queue, lane& own, const std::atomic<bool>& ending) {
    if (!pin_this_thread(queue)) { std::fprintf(stderr, "queue %u: its thread could not be pinned\n", queue); }
    raw_socket& socket = run.socket(queue);
    while (!ending.load(std::memory_order_relaxed)) {
        {
            auto completed = socket.comp.consume();
            auto slots = socket.fill.reserve(completed.size());
            while (completed.remaining() != 0) {
                const frame_index frame = socket.umem.index_of(completed.next());
                if (!slots.push(socket.umem.addr_of(frame))) { own.spare.push_back(frame); }
            }
        }
        std::uint32_t forwarded = 0;
        {
            auto slots = socket.tx.reserve(64);
            auto packets = socket.rx.consume(slots.capacity());
            forwarded = packets.size();
            while (packets.remaining() != 0) {
                const xdp_desc desc = packets.next();
                swap_mac_addresses(socket.umem.bytes(desc.addr, desc.len));
                slots.push(desc);
            }
        }
        own.received.store(own.received.load(std::memory_order_relaxed) + forwarded, std::memory_order_relaxed);
        own.sent.store(own.sent.load(std::memory_order_relaxed) + forwarded, std::memory_order_relaxed);
        if (socket.tx.pending() != 0 && socket.needs_wakeup_tx()) { check(socket.wakeup_tx()); }
        if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
        if (forwarded == 0) { run.rest(socket); }
    }
}

static tally sum_of(const std::vector<lane>& lanes) {
    tally all;
    for (const lane& one : lanes) {
        all.received += one.received.load(std::memory_order_relaxed);
        all.sent += one.sent.load(std::memory_order_relaxed);
    }
    return all;
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: one socket and one thread for each queue", 2);
    std::vector<lane> lanes(run.queues());
    // Reserved first: a thread that grows its list would otherwise allocate, and wait for the others to do so.
    for (lane& one : lanes) { one.spare.reserve(traffic::frames); }
    std::size_t next = 0;
    for (const frame_index frame : run.frames_in_hand()) { lanes[next++ % lanes.size()].spare.push_back(frame); }
    std::atomic<bool> ending = false;
    {
        std::vector<std::jthread> threads;
        struct ender {  // also when an exception unwinds: the threads are joined afterwards
            ~ender() { flag = true; }
            std::atomic<bool>& flag;
        } const end_threads{ending};
        for (std::uint32_t queue = 0; queue < run.queues(); ++queue) {
            threads.emplace_back([&, queue] {
                try {
                    serve(run, queue, lanes[queue], ending);
                } catch (...) {
                    lanes[queue].failure = std::current_exception();
                    ending = true;
                }
            });
        }
        while (!ending && run.more(sum_of(lanes))) {
            std::this_thread::sleep_for(std::chrono::microseconds(run.simulated() ? 10 : 1000));
        }
    }
    std::vector<frame_index> in_hand;
    std::size_t busy = 0;
    for (const lane& one : lanes) {
        if (one.failure) { std::rethrow_exception(one.failure); }
        in_hand.insert(in_hand.end(), one.spare.begin(), one.spare.end());
        busy += one.received != 0 ? 1 : 0;
        std::printf("queue %zu: %llu packets\n", static_cast<std::size_t>(&one - lanes.data()), 0ULL + one.received);
    }
    const int code = run.conclude(sum_of(lanes), in_hand);
    return run.simulated() && busy < 2 ? 1 : code;  // the generator's flows are for several queues
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
