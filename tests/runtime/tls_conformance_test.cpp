// SPDX-License-Identifier: BSD-3-Clause
// TLS as a model of streams, over the in-memory network and over the kernel's TCP. Two promises about a write that ends
// early are not TLS's to keep: a record cannot arrive in part, so the last one arrives with what is written next; and a
// record of which nobody knows how much has gone cannot be continued.
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"
#include "tests/runtime/tls_world.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// `Latency` in microseconds.
template <std::int64_t Latency>
class tls_over_memory {
public:
    using stream_type = tls_stream<memory_stream>;

    executor& loop() { return loop_; }
    task<std::pair<stream_type, stream_type>> pair() {
        auto two = memory_pair(net_);
        return tls_pair<memory_stream>(std::move(two.first), std::move(two.second));
    }

private:
    static memory_options options() {
        memory_options with;
        with.latency = std::chrono::microseconds(Latency);
        return with;
    }

    virtual_clock clock_{1};
    executor loop_{clock_};
    memory_network net_{loop_, options()};
};

using tls_at_once = tls_over_memory<0>;
using tls_with_latency = tls_over_memory<1000>;

class tls_over_tcp {
public:
    using stream_type = tls_stream<tcp_stream>;

    executor& loop() { return loop_; }
    static task<std::pair<stream_type, stream_type>> pair() {
        tcp_pair ends = co_await connect_pair();
        auto both = co_await tls_pair<tcp_stream>(std::move(ends.near), std::move(ends.far));
        co_return both;
    }

private:
    executor loop_;
};

}  // namespace

#define FLUXNET_TLS_STOP_CONFORMANCE(model, label)                                                                       \
    FLUXNET_CONFORMANCE_CASE(model, label, "a time limit ends a read and nothing is lost", read_with_limit)              \
    FLUXNET_CONFORMANCE_CASE(model, label, "a read is cancelled at any moment and nothing is lost", stopped_read)        \
    FLUXNET_CONFORMANCE_CASE(model, label, "a borrowing read is cancelled at any moment and nothing is lost",            \
                             stopped_borrow)                                                                             \
    FLUXNET_CONFORMANCE_CASE(model, label, "a write is cancelled at any moment and what it took arrives", stopped_write) \
    FLUXNET_CONFORMANCE_CASE(model, label, "a second reader is refused and the first goes on", second_reader)            \
    FLUXNET_CONFORMANCE_CASE(model, label, "a second writer is refused and the first goes on", second_writer)

FLUXNET_STREAM_CONFORMANCE(tls_at_once, "TLS over memory")
FLUXNET_TLS_STOP_CONFORMANCE(tls_at_once, "TLS over memory")

FLUXNET_STREAM_CONFORMANCE(tls_over_tcp, "TLS over kernel TCP")
FLUXNET_TLS_STOP_CONFORMANCE(tls_over_tcp, "TLS over kernel TCP")

FLUXNET_CONFORMANCE_CASE(tls_with_latency, "TLS over memory with latency",
                         "bytes arrive in order in both directions at once", order_of_bytes)
FLUXNET_CONFORMANCE_CASE(tls_with_latency, "TLS over memory with latency", "a direction ends while the other goes on",
                         half_close)
FLUXNET_CONFORMANCE_CASE(tls_with_latency, "TLS over memory with latency",
                         "a stream that is closed with unread bytes resets its peer", unread_resets)
FLUXNET_CONFORMANCE_CASE(tls_with_latency, "TLS over memory with latency", "a writer waits for a slow reader", slow_reader)
FLUXNET_CONFORMANCE_CASE(tls_with_latency, "TLS over memory with latency", "reads with and without a copy keep the order",
                         mixed_reads)
FLUXNET_TLS_STOP_CONFORMANCE(tls_with_latency, "TLS over memory with latency")
