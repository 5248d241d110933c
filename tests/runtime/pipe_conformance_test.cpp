// SPDX-License-Identifier: BSD-3-Clause
// Two pipes as a model of a stream. What a pipe does in a way of its own is left out: an end that was shut down is closed,
// and a writer whose reader has gone is told EPIPE.
#include "fluxnet/runtime/sockets/pipe.hpp"

#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// The reading end of one pipe and the writing end of another.
struct two_pipes {
    pipe_reader out;
    pipe_writer in;

    auto read(std::span<std::byte> into) noexcept { return out.read(into); }
    auto read_borrowed() noexcept { return out.read_borrowed(); }
    auto write(std::span<const std::byte> from) noexcept { return in.write(from); }
    auto shutdown_write() noexcept { return in.shutdown_write(); }
};
static_assert(stream<two_pipes>);

class pipes {
public:
    using stream_type = two_pipes;

    executor& loop() { return loop_; }
    static task<std::pair<stream_type, stream_type>> pair() {
        auto [near_out, far_in] = make_pipe().value();
        auto [far_out, near_in] = make_pipe().value();
        two_pipes near{std::move(near_out), std::move(near_in)};
        two_pipes far{std::move(far_out), std::move(far_in)};
        co_return std::pair(std::move(near), std::move(far));
    }

private:
    executor loop_;
};

}  // namespace

FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "bytes arrive in order in both directions at once", order_of_bytes)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "a read gives what is there and a write ends when all was taken", partial_transfers)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "a transfer of no bytes completes at once and takes nothing", zero_length)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "the end of a stream is told as often as it is asked for", end_stays)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "both ends are closed in one turn", closed_in_one_turn)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "a writer waits for a slow reader", slow_reader)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "lent bytes stay when both streams have gone", lent_bytes_stay)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "reads with and without a copy keep the order", mixed_reads)
FLUXNET_CONFORMANCE_CASE(pipes, "pipes", "a stream that was moved from is closed", moved_from_stream)
FLUXNET_STREAM_STOP_CONFORMANCE(pipes, "pipes")
