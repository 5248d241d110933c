// SPDX-License-Identifier: BSD-3-Clause
// `packet_queue`: a bounded queue of packets between two threads, over Boost.Lockfree's spsc_queue.
//
// One thread pushes and closes, one thread pops. Neither ever waits, locks or allocates; the memory is taken when the queue
// is made. Packets still inside when it is destroyed return their frames. A pop that sees what a push has done also sees all
// that the pushing thread had written before, the packets' bytes among it.
#pragma once

#include "fluxnet/xsk/memory/packet.hpp"

#include <boost/lockfree/spsc_queue.hpp>

#include <atomic>
#include <cstddef>
#include <iterator>
#include <span>
#include <utility>

namespace load_balancer {

class packet_queue {
public:
    explicit packet_queue(std::size_t capacity) : ring_(capacity) {}

    /// Takes packets from the front of `from`, as many as there is room for, and returns how many; those handles are empty
    /// then.
    [[nodiscard]] std::size_t push(std::span<fluxnet::packet> from) {
        // push() of a range is the one that constructs from whatever the iterator gives: here, by moving.
        const auto first = std::move_iterator(from.begin());
        return static_cast<std::size_t>(ring_.push(first, std::move_iterator(from.end())) - first);
    }

    /// Moves the oldest packets to the front of `into` and returns how many; what stood there is dropped.
    std::size_t pop(std::span<fluxnet::packet> into) {
        std::size_t count = 0;
        const auto take = [&](fluxnet::packet& oldest) { into[count] = std::move(oldest); };
        while (count < into.size() && ring_.consume_one(take)) { ++count; }
        return count;
    }

    /// Says that nothing will be pushed any more.
    void close() noexcept { closed_.store(true, std::memory_order_release); }

    /// Ask this before the pop that finds nothing: then it has found the last packet too.
    [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }

    /// For the popping thread: tells whether there is neither a packet nor an end to be noticed.
    [[nodiscard]] bool idle() const { return ring_.read_available() == 0 && !closed(); }

private:
    boost::lockfree::spsc_queue<fluxnet::packet> ring_;
    std::atomic<bool> closed_ = false;
};

}  // namespace load_balancer
