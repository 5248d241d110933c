// SPDX-License-Identifier: BSD-3-Clause
// A host in user space that is served by two cores: to the network it is one, with one address, and each queue of the
// interface has an executor, a thread and connections of its own. For servers that one core cannot keep up with. On an
// interface builder("eth0") stands in place of the wire.
#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;

constexpr std::uint32_t queues = 2;
constexpr unsigned connections = 50;  // of each client

/// Opens a host on each queue, on an executor of its own: all of them have the same addresses, and are one host.
static std::vector<host::ip_host> open_hosts(executor_group& group, builder options, std::uint8_t number) {
    host::host_options wanted;
    wanted.addresses = {{proto::ipv4_address(192, 0, 2, number), 24}};
    wanted.hardware = proto::mac_address({0x02, 0, 0, 0, 0, number});
    wanted.probe_addresses = false;  // nobody else can have them here
    wanted.queues = host::host_queues(queues);
    std::vector<system_sockets> sockets = options.frames(512).tx_frames(128).build_queues(queues).value();
    std::vector<host::ip_host> hosts;
    for (std::size_t i = 0; i != queues; ++i) {
        async_rx rx(group[i], std::move(sockets[i].rx));
        async_tx tx(group[i], std::move(sockets[i].tx));
        hosts.push_back(host::ip_host::open(group[i], std::move(rx), std::move(tx), wanted).value());
    }
    return hosts;
}

static task<void> answer(host::tcp_stream peer) {
    std::array<std::byte, 100> bytes;
    const io_result got = co_await peer.read(bytes);
    if (!got.ec) { static_cast<void>(co_await peer.write(std::span(bytes).first(got.n))); }
}

static task<void> serve(host::tcp_listener& door) {
    scope sessions;
    for (;;) {
        result<host::tcp_stream> next = co_await door.accept();
        if (!next) { break; }
        sessions.spawn(answer(std::move(*next)));
    }
    static_cast<void>(co_await sessions.join());
}

static task<void> ask(host::ip_host& from, proto::ip_endpoint server, std::atomic<unsigned>& answered,
                      executor_group& group) {
    for (unsigned i = 0; i != connections; ++i) {
        result<host::tcp_stream> peer = co_await from.connect(server);
        if (!peer) { co_return group.request_stop(); }
        std::array<std::byte, 1> octet{};
        const io_result sent = co_await peer->write(octet);
        const io_result got = co_await peer->read(octet);
        if (sent.ec || got.ec) { co_return group.request_stop(); }
        if (++answered == queues * connections) { group.request_stop(); }
    }
}

int main() {
    simulated_wire wire({.queues = queues, .threaded = true});
    executor_group group({.size = queues, .pinned = false});
    std::vector<host::ip_host> servers = open_hosts(group, wire.socket_on(simulated_wire::end::left), 1);
    std::vector<host::ip_host> clients = open_hosts(group, wire.socket_on(simulated_wire::end::right), 2);

    const proto::ip_endpoint service{proto::ipv4_address(192, 0, 2, 1), 7};
    std::vector<host::tcp_listener> doors;
    for (host::ip_host& each : servers) { doors.push_back(each.listen(service).value()); }
    std::atomic<unsigned> answered = 0;
    for (std::size_t i = 0; i != queues; ++i) {
        group.spawn(i, serve(doors[i]));
        group.spawn(i, ask(clients[i], service, answered, group));
    }
    group.run();

    bool on_all = true;
    for (const host::ip_host& each : servers) {
        const auto accepted = each.tcp()->count().accepted;
        std::printf("%llu connections came in by a queue\n", 0ULL + accepted);
        on_all = on_all && accepted != 0;
    }
    return on_all && answered == queues * connections ? 0 : 1;
}
