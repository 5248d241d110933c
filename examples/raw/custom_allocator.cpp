// SPDX-License-Identifier: BSD-3-Clause
// Raw, an allocator of one's own: a lock-free ring of frames between two threads. One receives and takes frames out to
// refill the kernel; the other reads the packets and puts their frames back.
// Usage: raw_custom_allocator [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"
#include "fluxnet/proto/checksum.hpp"

#include <atomic>
#include <bit>
#include <cassert>
#include <optional>
#include <thread>

using namespace raw_example;

/// A ring for one producer thread and one consumer thread. Each index is written by one side only; it publishes, with
/// release, the slots before it: filled ones by the producer, emptied ones by the consumer.
template <class T>
class spsc_ring {
public:
    explicit spsc_ring(std::size_t capacity) : slots_(capacity), mask_(capacity - 1) {
        assert(std::has_single_bit(capacity));
    }

    /// Producer. False when the ring is full: the value is still the caller's.
    [[nodiscard]] bool push(const T& value) noexcept {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == slots_.size()) { return false; }
        slots_[tail & mask_] = value;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }

    /// Consumer. Empty means that the indices are equal; a ring that is to hand out frames has to be given them first.
    [[nodiscard]] std::optional<T> pop() noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) { return std::nullopt; }
        const T value = slots_[head & mask_];
        head_.store(head + 1, std::memory_order_release);
        return value;
    }

    /// Entries now; from the consumer's thread never too many.
    [[nodiscard]] std::size_t size() const noexcept {
        return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return slots_.size(); }

private:
    std::vector<T> slots_;
    const std::size_t mask_;
    alignas(64) std::atomic<std::size_t> head_ = 0;  // a cache line each: the two threads write them at the same time
    alignas(64) std::atomic<std::size_t> tail_ = 0;
};

using packet_queue = spsc_ring<xdp_desc>;
using frame_allocator = spsc_ring<frame_index>;

/// The second thread: reads packets and frees their frames, until `ending` is set and the queue is empty.
static void work(const umem& memory, packet_queue& packets, frame_allocator& frames, const std::atomic<bool>& ending,
                 std::uint64_t& processed) {
    std::uint64_t sum = 0;
    for (;;) {
        const bool last_round = ending.load(std::memory_order_acquire);  // before the look: nothing is queued afterwards
        while (const auto desc = packets.pop()) {
            sum += proto::internet_checksum::of(memory.bytes(desc->addr, desc->len));
            // Cannot be full: the allocator has room for every frame there is.
            [[maybe_unused]] const bool freed = frames.push(memory.index_of(desc->addr));
            assert(freed);
            ++processed;
        }
        if (last_round) { break; }
        std::this_thread::yield();
    }
    std::printf("worker: %llu packets, checksums add up to %llu\n", 0ULL + processed, 0ULL + sum);
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: a lock-free allocator between two threads");
    raw_socket& socket = run.socket();
    packet_queue packets(256);
    frame_allocator frames(traffic::frames);
    for (const frame_index frame : run.frames_in_hand()) { static_cast<void>(frames.push(frame)); }  // no worker yet
    std::atomic<bool> ending = false;
    std::uint64_t processed = 0;
    tally done;
    {
        std::jthread worker([&] { work(run.memory(), packets, frames, ending, processed); });
        struct ender {  // also when an exception unwinds: the thread is joined afterwards
            ~ender() { flag.store(true, std::memory_order_release); }
            std::atomic<bool>& flag;
        } const end_worker{ending};
        while (run.more(done)) {
            const std::uint64_t before = done.received;
            {
                // No more than the worker's queue can take; the rest waits in the RX ring.
                auto claim = socket.rx.consume(static_cast<std::uint32_t>(packets.capacity() - packets.size()));
                done.received += claim.size();
                done.recycled += claim.size();
                while (claim.remaining() != 0) { static_cast<void>(packets.push(claim.next())); }
            }
            {
                auto slots = socket.fill.reserve(static_cast<std::uint32_t>(frames.size()));
                while (slots.remaining() != 0) { slots.push(socket.umem.addr_of(*frames.pop())); }
            }
            if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
            if (done.received == before) { run.rest(socket); }
        }
    }
    std::vector<frame_index> in_hand;
    while (const auto frame = frames.pop()) { in_hand.push_back(*frame); }
    const int code = run.conclude(done, in_hand);
    return processed == done.received ? code : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
