// SPDX-License-Identifier: BSD-3-Clause
// `memory_options`, `memory_counts`: how a `memory_network` treats what is sent, and what became of that. Plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fluxnet {

/// Probabilities are between 0 and 1. Whatever is drawn comes from the seed.
struct memory_options {
    std::uint64_t seed = 1;

    // Of everything:
    std::chrono::nanoseconds latency{0};  ///< How long bytes take from one end to the other.
    std::chrono::nanoseconds jitter{0};   ///< Up to so much more, evenly spread; what is sent keeps its order.
    std::uint64_t bits_per_second = 0;    ///< Of each direction of a stream, and of each datagram socket. 0: no limit.

    // Of streams:
    /// Bytes that one direction of a stream holds, on their way and unread together. At least 1.
    std::size_t buffer_bytes = std::size_t{64} * 1024;
    double fragmentation = 0.25;  ///< How often a read gives fewer bytes than there are, though the span has room.

    // Of datagrams:
    double loss = 0;
    double duplication = 0;
    double reordering = 0;  ///< The datagram is held back for `reordering_delay` more.
    std::chrono::nanoseconds reordering_delay{1'000'000};
    std::size_t datagram_bytes = 65'507;      ///< A larger one cannot be sent.
    std::size_t datagram_queue = 256;         ///< Datagrams that wait at one socket; more are dropped.
    std::size_t datagrams_in_transit = 4096;  ///< Of all sockets together; more are dropped.
};

/// What became of connections and datagrams. At any time
/// sent + duplicated == delivered + lost + transit_full + unreachable + queue_full + in_transit.
struct memory_counts {
    std::uint64_t connections = 0;  ///< Made, whether or not they were accepted yet.
    std::uint64_t refused = 0;      ///< Connects that found no listener, or one with a full backlog.

    std::uint64_t sent = 0;  ///< Datagrams.
    std::uint64_t duplicated = 0;
    std::uint64_t delivered = 0;  ///< Put into a socket's queue.
    std::uint64_t in_transit = 0;
    std::uint64_t lost = 0;          ///< By the option `loss`.
    std::uint64_t transit_full = 0;  ///< Too many were on their way.
    std::uint64_t unreachable = 0;   ///< No socket had the endpoint when they arrived.
    std::uint64_t queue_full = 0;    ///< The socket's queue was full when they arrived.
    std::uint64_t reordered = 0;     ///< Among the rest.
};

}  // namespace fluxnet
