// SPDX-License-Identifier: BSD-3-Clause
// The in-memory network as a model of streams, listeners and datagram sockets: in virtual time, at once and with latency,
// and in real time.
#include "fluxnet/runtime/simulation/memory_network.hpp"

#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/datagram_conformance.hpp"
#include "tests/runtime/listener_conformance.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <utility>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

/// `Place` has an executor; `Latency`, `Jitter` in microseconds.
template <class Place, std::int64_t Latency, std::int64_t Jitter = 0>
class memory_model {
public:
    using stream_type = memory_stream;
    using listener_type = memory_listener;
    using socket_type = memory_datagram_socket;

    executor& loop() { return place_.loop; }
    task<std::pair<stream_type, stream_type>> pair() { co_return memory_pair(net_); }
    listener_type make_listener() { return net_.listen(any_port(), 256).value(); }
    auto connect(const listener_type& door) { return net_.connect(door.local_endpoint()); }
    auto connect_to_nobody() { return net_.connect(nobody()); }
    socket_type make_socket() { return net_.bind(any_port()).value(); }
    static proto::ip_endpoint nobody() { return {proto::ipv4_address(192, 0, 2, 1), 9}; }

private:
    static proto::ip_endpoint any_port() { return {proto::ipv4_address(192, 0, 2, 1), 0}; }
    static memory_options options() {
        memory_options with;
        with.latency = std::chrono::microseconds(Latency);
        with.jitter = std::chrono::microseconds(Jitter);
        return with;
    }

    Place place_;
    memory_network net_{place_.loop, options()};
};

struct virtual_place {
    virtual_clock clock{1};
    executor loop{clock};
};

struct real_place {
    executor loop;
};

using at_once = memory_model<virtual_place, 0>;
using with_latency = memory_model<virtual_place, 1000, 500>;
using in_real_time = memory_model<real_place, 50>;

}  // namespace

FLUXNET_STREAM_CONFORMANCE(at_once, "memory at once")
FLUXNET_STREAM_STOP_CONFORMANCE(at_once, "memory at once")
FLUXNET_LISTENER_CONFORMANCE(at_once, "memory at once")
FLUXNET_DATAGRAM_CONFORMANCE(at_once, "memory at once")

FLUXNET_STREAM_CONFORMANCE(with_latency, "memory with latency")
FLUXNET_STREAM_STOP_CONFORMANCE(with_latency, "memory with latency")
FLUXNET_LISTENER_CONFORMANCE(with_latency, "memory with latency")
FLUXNET_DATAGRAM_CONFORMANCE(with_latency, "memory with latency")

FLUXNET_STREAM_CONFORMANCE(in_real_time, "memory in real time")
FLUXNET_STREAM_STOP_CONFORMANCE(in_real_time, "memory in real time")
FLUXNET_LISTENER_CONFORMANCE(in_real_time, "memory in real time")
FLUXNET_DATAGRAM_CONFORMANCE(in_real_time, "memory in real time")
