// SPDX-License-Identifier: BSD-3-Clause
#include "benchmarks/by_hand.h"
#include "benchmarks/loops.hpp"
#include "fluxnet/xsk/raw_socket.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace benchmark {
namespace {

constexpr std::uint32_t frames = by_hand_frames;
constexpr std::uint32_t prefilled = frames / 2;

raw_socket open_receiver(traffic& from) {
    return from.receiver().frames(frames).prefill(prefilled).build_raw().value();
}

/// Lets bursts arrive and `receive`, which returns the size of one batch, take them.
template <class F>
std::uint64_t drive(traffic& from, F receive) {
    std::uint64_t received = 0;
    from.run([&] {
        while (from.send_burst()) {
            for (std::uint32_t left = from.burst(); left != 0;) {
                const std::uint32_t count = receive();
                received += count;
                left = count == 0 ? 0 : left - count;
            }
        }
    });
    return received;
}

int no_wake(void*) {
    require(false, "the fill ring ran dry");
    return 0;
}

by_hand rings_of(raw_socket& socket) {
    by_hand self{};
    const auto consumer = [](auto& memory, xsk_ring_cons& ring) {
        ring.producer = memory.producer;
        ring.consumer = memory.consumer;
        ring.ring = memory.entries;
        ring.flags = memory.flags;
        ring.size = memory.size;
        ring.mask = memory.size - 1;
        ring.cached_prod = *memory.producer;
        ring.cached_cons = *memory.consumer;
    };
    consumer(socket.rx.memory(), self.rx);
    consumer(socket.comp.memory(), self.comp);
    const auto& fill = socket.fill.memory();
    self.fill.producer = fill.producer;
    self.fill.consumer = fill.consumer;
    self.fill.ring = fill.entries;
    self.fill.flags = fill.flags;
    self.fill.size = fill.size;
    self.fill.mask = fill.size - 1;
    self.fill.cached_prod = *fill.producer;
    self.fill.cached_cons = *fill.consumer + fill.size;
    self.memory = socket.umem.base();
    self.frame_mask = socket.umem.config().frame_size - 1;
    for (std::uint32_t i = prefilled; i < frames; ++i) {
        self.free_list[self.free_frames++] = std::uint64_t{i} * socket.umem.config().frame_size;
    }
    self.wake = &no_wake;
    return self;
}

void drive_by_hand(traffic& from, std::uint32_t (*receive)(by_hand*)) {
    raw_socket socket = open_receiver(from);
    by_hand self = rings_of(socket);
    const std::uint64_t received = drive(from, [&] { return receive(&self); });
    from.check(received, self.sum);
    require(self.free_frames + (*self.fill.producer - *self.fill.consumer) == frames, "frames were lost");
}

/// The smallest loop of a Raw program that could also send: completions and dropped packets go to a list of free frames, and
/// the fill ring takes from it.
class raw_program {
public:
    explicit raw_program(raw_socket& socket) : socket_(socket), shift_(shift_of(socket)) {
        for (std::uint32_t i = prefilled; i < frames; ++i) { free_list_[free_frames_++] = {i}; }
    }

    std::uint32_t receive() {
        {
            auto completed = socket_.comp.consume(traffic::batch);
            while (completed.remaining() != 0) { free_list_[free_frames_++] = index_of(completed.next()); }
        }
        std::uint32_t count = 0;
        std::uint64_t found = 0;
        {
            auto packets = socket_.rx.consume(traffic::batch);
            count = packets.size();
            while (packets.remaining() != 0) {
                const auto desc = packets.next();
                found += touch(socket_.umem.bytes_unchecked(desc.addr, desc.len).data(), desc.len);
                free_list_[free_frames_++] = index_of(desc.addr);
            }
        }
        {
            auto slots = socket_.fill.reserve(std::min(traffic::batch, free_frames_));
            while (slots.remaining() != 0) { slots.push({std::uint64_t{free_list_[--free_frames_].value} << shift_}); }
        }
        sum += found;
        if (socket_.needs_wakeup_rx()) { socket_.wakeup_rx(); }
        return count;
    }

    /// In pieces that lie side by side, with as little around them as can be.
    std::uint32_t receive_direct() {
        const auto packets = socket_.rx.readable(traffic::batch);
        const auto slots = socket_.fill.writable(static_cast<std::uint32_t>(packets.size()));
        std::uint64_t found = 0;
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const auto desc = packets[i];
            found += touch(socket_.umem.bytes_unchecked(desc.addr, desc.len).data(), desc.len);
            slots[i] = {desc.addr.value & frame_start_};
        }
        const auto count = static_cast<std::uint32_t>(slots.size());
        socket_.fill.publish(count);
        socket_.rx.release(count);
        sum += found;
        if (socket_.needs_wakeup_rx()) { socket_.wakeup_rx(); }
        return count;
    }

    [[nodiscard]] std::uint32_t free_frames() const noexcept { return free_frames_; }

    std::uint64_t sum = 0;

private:
    static std::uint32_t shift_of(const raw_socket& socket) {
        return static_cast<std::uint32_t>(std::countr_zero(socket.umem.config().frame_size));
    }
    [[nodiscard]] frame_index index_of(frame_addr addr) const noexcept {
        return {static_cast<std::uint32_t>(addr.value >> shift_)};
    }

    raw_socket& socket_;
    const std::uint32_t shift_;
    const std::uint64_t frame_start_ = ~std::uint64_t{0} << shift_;  // of an address: that of its frame
    std::array<frame_index, frames> free_list_;
    std::uint32_t free_frames_ = 0;
};

template <class Receive>
void drive_raw(traffic& from, Receive receive) {
    raw_socket socket = open_receiver(from);
    raw_program program(socket);
    const std::uint64_t received = drive(from, [&] { return receive(program); });
    from.check(received, program.sum);
    require(program.free_frames() + socket.fill.pending() == frames, "frames were lost");
}

}  // namespace

void run_by_hand(traffic& from) {
    drive_by_hand(from, &by_hand_receive);
}

void run_by_hand_direct(traffic& from) {
    drive_by_hand(from, &by_hand_receive_direct);
}

void run_raw(traffic& from) {
    drive_raw(from, [](raw_program& program) { return program.receive(); });
}

void run_raw_direct(traffic& from) {
    drive_raw(from, [](raw_program& program) { return program.receive_direct(); });
}

}  // namespace benchmark
