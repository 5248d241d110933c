// SPDX-License-Identifier: BSD-3-Clause
// A host's TCP as a model of `stream` and `listener`: between two hosts on a simulated wire, by either version, on a wire
// that takes its time and loses some, and within one host.
#include "fluxnet/runtime/host/tcp_stream.hpp"

#include "tests/runtime/host_bed.hpp"
#include "tests/runtime/listener_conformance.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

struct quiet_wire {
    static wire_options options() { return {}; }
};
struct slow_wire {
    static wire_options options() {
        wire_options with;
        with.to_right.delay = 2ms;
        with.to_left.delay = 3ms;
        with.to_right.loss = with.to_left.loss = 0.01;
        return with;
    }
};

template <bool V4, bool OneHost, class Wire = quiet_wire>
class host_streams {
public:
    using stream_type = host::tcp_stream;
    using listener_type = host::tcp_listener;

    executor& loop() { return hosts_.loop; }
    task<std::pair<stream_type, stream_type>> pair() {
        listener_type door = make_listener();
        auto calling = co_await connect(door);
        auto called = co_await door.accept();
        co_return std::pair{std::move(calling).value(), std::move(called).value()};
    }
    listener_type make_listener() {
        host::tcp_options options;
        options.backlog = 256;
        return called().listen({address_of(V4, OneHost ? 1 : 2), 0}, options).value();
    }
    auto connect(const listener_type& door) { return hosts_.left.connect(door.local_endpoint()); }
    auto connect_to_nobody() { return hosts_.left.connect({address_of(V4, OneHost ? 1 : 2), 9}); }

private:
    host::ip_host& called() { return OneHost ? hosts_.left : hosts_.right; }

    two_hosts hosts_{Wire::options()};
};

using over_ipv4 = host_streams<true, false>;
using over_ipv6 = host_streams<false, false>;
using over_a_slow_wire = host_streams<true, false, slow_wire>;
using inside_a_host = host_streams<false, true>;

}  // namespace

FLUXNET_STREAM_CONFORMANCE(over_ipv4, "a host's TCP over IPv4")
FLUXNET_STREAM_STOP_CONFORMANCE(over_ipv4, "a host's TCP over IPv4")
FLUXNET_LISTENER_CONFORMANCE(over_ipv4, "a host's TCP over IPv4")

FLUXNET_STREAM_CONFORMANCE(over_ipv6, "a host's TCP over IPv6")
FLUXNET_STREAM_STOP_CONFORMANCE(over_ipv6, "a host's TCP over IPv6")
FLUXNET_LISTENER_CONFORMANCE(over_ipv6, "a host's TCP over IPv6")

FLUXNET_STREAM_CONFORMANCE(over_a_slow_wire, "a host's TCP over a slow wire")
FLUXNET_STREAM_STOP_CONFORMANCE(over_a_slow_wire, "a host's TCP over a slow wire")
FLUXNET_LISTENER_CONFORMANCE(over_a_slow_wire, "a host's TCP over a slow wire")

FLUXNET_STREAM_CONFORMANCE(inside_a_host, "a host's TCP within the host")
FLUXNET_STREAM_STOP_CONFORMANCE(inside_a_host, "a host's TCP within the host")
FLUXNET_LISTENER_CONFORMANCE(inside_a_host, "a host's TCP within the host")
