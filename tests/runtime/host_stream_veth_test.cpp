// SPDX-License-Identifier: BSD-3-Clause
// A host's TCP against the kernel's across a veth pair: the conformance cases of streams and listeners with one at each end
// of every connection, by either version, whoever calls.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/runtime/either_stream.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/runtime/listener_conformance.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// `HostCalls`: the host connects to the kernel; else the kernel to the host.
template <bool V4, bool HostCalls>
class host_and_kernel {
public:
    using stream_type = either_stream;
    using listener_type = either_listener;

    static std::optional<std::string> why_not_available() { return testbed::why_not_available(); }

    executor& loop() { return bed_.loop; }

    listener_type make_listener() {
        if constexpr (HostCalls) {
            const network_namespace::scoped_enter there(bed_.bed.peer());
            return listener_type(tcp_listener::listen({ip(peer_text(V4)), 0}).value());
        } else {
            host::tcp_options options;
            options.backlog = 256;
            return listener_type(bed_.here->listen({ip(host_text(V4)), 0}, options).value());
        }
    }
    task<result<stream_type>> connect(const listener_type& door) { return connect_to(door.local_endpoint()); }
    task<result<stream_type>> connect_to_nobody() { return connect_to({ip(HostCalls ? peer_text(V4) : host_text(V4)), 9}); }

    task<std::pair<stream_type, stream_type>> pair() {
        listener_type door = make_listener();
        auto calling = co_await connect(door);
        auto called = co_await door.accept();
        co_return std::pair(std::move(calling).value(), std::move(called).value());
    }

private:
    task<result<stream_type>> connect_to(proto::ip_endpoint to) {
        if constexpr (HostCalls) {
            auto made = co_await bed_.here->connect(to);
            if (!made) { co_return std::move(made).error(); }
            co_return stream_type(std::move(made).value());
        } else {
            auto dialling = [&] {
                const network_namespace::scoped_enter there(bed_.bed.peer());
                return tcp_stream::connect(to);
            }();
            auto made = co_await dialling;
            if (!made) { co_return std::move(made).error(); }
            co_return stream_type(std::move(made).value());
        }
    }

    host_testbed bed_;
};

using kernel_calls_v4 = host_and_kernel<true, false>;
using kernel_calls_v6 = host_and_kernel<false, false>;
using host_calls_v4 = host_and_kernel<true, true>;
using host_calls_v6 = host_and_kernel<false, true>;

}  // namespace

FLUXNET_STREAM_CONFORMANCE(kernel_calls_v4, "the kernel calls a host over IPv4")
FLUXNET_STREAM_STOP_CONFORMANCE(kernel_calls_v4, "the kernel calls a host over IPv4")
FLUXNET_LISTENER_CONFORMANCE(kernel_calls_v4, "the kernel calls a host over IPv4")

FLUXNET_STREAM_CONFORMANCE(kernel_calls_v6, "the kernel calls a host over IPv6")
FLUXNET_STREAM_STOP_CONFORMANCE(kernel_calls_v6, "the kernel calls a host over IPv6")
FLUXNET_LISTENER_CONFORMANCE(kernel_calls_v6, "the kernel calls a host over IPv6")

FLUXNET_STREAM_CONFORMANCE(host_calls_v4, "a host calls the kernel over IPv4")
FLUXNET_STREAM_STOP_CONFORMANCE(host_calls_v4, "a host calls the kernel over IPv4")
FLUXNET_LISTENER_CONFORMANCE(host_calls_v4, "a host calls the kernel over IPv4")

FLUXNET_STREAM_CONFORMANCE(host_calls_v6, "a host calls the kernel over IPv6")
FLUXNET_STREAM_STOP_CONFORMANCE(host_calls_v6, "a host calls the kernel over IPv6")
FLUXNET_LISTENER_CONFORMANCE(host_calls_v6, "a host calls the kernel over IPv6")
