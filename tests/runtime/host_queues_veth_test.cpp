// SPDX-License-Identifier: BSD-3-Clause
// A host on two queues of a veth pair, each with its executor and thread, and the kernel's stack at the other end.
#include "fluxnet/runtime/host/host_queues.hpp"

#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::uint32_t queue_count = 2;
constexpr int each = 32;

/// Sends back what arrives.
template <class Stream>
task<void> echo(Stream peer) {
    std::array<std::byte, 4096> bytes;
    for (;;) {
        const io_result got = co_await peer.read(bytes);
        if (got.ec) { co_return; }
        const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
        if (sent.ec) { co_return; }
    }
}

template <class Listener>
task<void> echo_all(Listener& door) {
    scope sessions;
    for (;;) {
        auto next = co_await door.accept();
        if (!next) { break; }
        sessions.spawn(echo(std::move(*next)));
    }
    static_cast<void>(co_await sessions.join());
}

task<void> echo_datagrams_of(host::udp_endpoint& socket) {
    std::vector<std::byte> room(70'000);
    for (;;) {
        const datagram_result got = co_await socket.recv_from(room);
        if (got.ec) { co_return; }
        const io_result sent = co_await socket.send_to(std::span(room).first(got.n), got.from);
        if (sent.ec) { co_return; }
    }
}

/// Has 20,000 octets come back over a connection.
template <class Stream>
task<bool> octets_come_back(Stream& peer) {
    std::vector<std::byte> octets(20'000);
    for (std::size_t i = 0; i != octets.size(); ++i) { octets[i] = static_cast<std::byte>(i * 7); }
    const io_result sent = co_await peer.write(octets);
    std::vector<std::byte> back(octets.size());
    std::size_t at = 0;
    for (io_result part; !part.ec && at != back.size(); at += part.n) {
        part = co_await peer.read(std::span(back).subspan(at));
    }
    co_return !sent.ec && back == octets;
}

struct two_queues_on_veth {
    two_queues_on_veth() {
        // A card keeps a flow on its queue. The kernel as a sender chooses a queue of a veth anew after each timeout.
        const std::vector<std::string> keep{"sh", "-c",
                                            "[ ! -e /proc/sys/net/core/txrehash ] || echo 0 >/proc/sys/net/core/txrehash"};
        const finished done = bed.run(side::peer, keep, std::chrono::seconds(10));
        REQUIRE_MESSAGE(done.success(), done.output);
        host::host_options options;
        options.addresses = {{ip("10.77.0.1"), 24}};
        options.probe_addresses = false;
        options.queues = host::host_queues(queue_count);
        auto sockets = builder(bed.name(side::host)).frames(1024).tx_frames(256).build_queues(queue_count).value();
        for (std::size_t i = 0; i != queue_count; ++i) {
            async_rx rx(group[i], std::move(sockets[i].rx));
            async_tx tx(group[i], std::move(sockets[i].tx));
            here.push_back(host::ip_host::open(group[i], std::move(rx), std::move(tx), options).value());
        }
    }

    /// Calls in the namespace of the peer.
    template <class F>
    auto at_peer(F make) {
        const network_namespace::scoped_enter there(bed.peer());
        return make();
    }

    testbed bed{{.queues = queue_count}};
    network_namespace::scoped_enter inside{bed.host()};
    executor_group group{{.size = queue_count, .pinned = false}};
    executor kernel;  // what the kernel's sockets do at the peer
    std::vector<host::ip_host> here;
};

task<void> call_host(two_queues_on_veth& bed, int& well) {
    const proto::ip_endpoint to{ip("10.77.0.1"), 80};
    auto dialling = bed.at_peer([&] { return tcp_stream::connect(to); });
    auto made = co_await dialling;
    REQUIRE(made.has_value());
    const bool so = co_await octets_come_back(*made);
    well += so ? 1 : 0;
}

/// Asks again when no answer comes: datagrams may be lost where threads have to wait for a processor.
task<void> ask_by_datagrams(two_queues_on_veth& bed, int& well) {
    udp_socket socket = bed.at_peer([] { return udp_socket::bind({ip("10.77.0.2"), 0}).value(); });
    for (const std::size_t size : {std::size_t{10}, std::size_t{1400}, std::size_t{4000}}) {
        const std::vector<std::byte> asked(size, static_cast<std::byte>(size / 10));
        std::vector<std::byte> answered(size);
        bool same = false;
        for (int tries = 0; tries != 100 && !same; ++tries) {
            const proto::ip_endpoint to{ip("10.77.0.1"), 7};
            const io_result sent = co_await socket.send_to(asked, to);
            CHECK_FALSE(sent.ec);
            const auto got = co_await timeout(std::chrono::seconds(1), socket.recv_from(answered));
            same = !got.expired && !got.value.ec && got.value.n == size && answered == asked;
        }
        well += same ? 1 : 0;
    }
}

task<void> call_kernel(host::ip_host& from, proto::ip_endpoint to, std::atomic<int>& well, std::atomic<int>& over,
                       two_queues_on_veth& bed) {
    for (int i = 0; i != each; ++i) {
        auto made = co_await from.connect(to);
        if (!made) { break; }
        const bool so = co_await octets_come_back(*made);
        well += so ? 1 : 0;
    }
    if (++over == int{queue_count}) { bed.kernel.request_stop(); }
}

}  // namespace

TEST_CASE("the kernel talks to a host on two queues: connections stay on theirs, and what comes in elsewhere is handed on") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    two_queues_on_veth bed;
    std::vector<host::tcp_listener> doors;
    const proto::ip_endpoint service{ip("10.77.0.1"), 80};
    host::tcp_options patient;
    patient.backlog = 256;
    for (host::ip_host& one : bed.here) { doors.push_back(one.listen(service, patient).value()); }
    host::udp_endpoint socket = bed.here[1].open_udp({ip("10.77.0.1"), 7}).value();
    for (std::size_t i = 0; i != queue_count; ++i) { bed.group.spawn(i, echo_all(doors[i])); }
    bed.group.spawn(1, echo_datagrams_of(socket));
    std::thread serving([&] { bed.group.run(); });

    int called = 0;
    int datagrams = 0;
    for (int i = 0; i != 2 * each; ++i) { bed.kernel.spawn(call_host(bed, called)); }
    bed.kernel.run();
    for (int i = 0; i != 20; ++i) { bed.kernel.spawn(ask_by_datagrams(bed, datagrams)); }
    bed.kernel.run();
    bed.group.request_stop();
    serving.join();

    CHECK(called == 2 * each);
    CHECK(datagrams == 60);
    std::uint64_t accepted = 0;
    for (const host::ip_host& one : bed.here) {
        CHECK(one.tcp()->count().accepted != 0);
        CHECK(one.tcp()->count().strangers == 0);
        CHECK(one.counters().accounted() == one.counters().frames);
        accepted += one.tcp()->count().accepted;
    }
    CHECK(accepted == 2 * each);
    CHECK(bed.here[0].counters().handed_on != 0);  // datagrams
}

TEST_CASE("a host on two queues calls the kernel from both, whichever queue the kernel's answers come by") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    two_queues_on_veth bed;
    tcp_listener door = bed.at_peer([] { return tcp_listener::listen({ip("10.77.0.2"), 0}).value(); });
    bed.kernel.spawn(echo_all(door));
    std::atomic<int> well = 0;
    std::atomic<int> over = 0;
    for (std::size_t i = 0; i != queue_count; ++i) {
        bed.group.spawn(i, call_kernel(bed.here[i], door.local_endpoint(), well, over, bed));
    }
    std::thread calling([&] { bed.group.run(); });
    bed.kernel.run();
    bed.group.request_stop();
    calling.join();
    CHECK(well == int{queue_count} * each);
    CHECK(bed.here[0].counters().handed_on + bed.here[1].counters().handed_on != 0);
    for (const host::ip_host& one : bed.here) { CHECK(one.counters().accounted() == one.counters().frames); }
}
