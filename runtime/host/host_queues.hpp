// SPDX-License-Identifier: BSD-3-Clause
// `host_queues`: has the hosts on several queues of one interface be one host to the network.
//
//     host::host_queues queues(2);
//     options.queues = queues;  // the same of all of them; then each on an executor of its own, with its queue's socket:
//     auto here = host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
//     auto door = here.listen({address, 80}).value();  // accepts the connections that come in by this queue
//
// Each of the hosts has its queue, its executor, its tables, its connections. A network card gives all packets of a flow to
// one queue, which it chooses by a hash (receive-side scaling). So what a listener or an endpoint of each host's serves
// stays on its queue: no lock, and no word between threads. What comes in by another queue than that of the host it is meant
// for is handed on to that host, which copies it:
//   - Segments and datagrams for a port that the receiving host does not serve, and one of the others does.
//   - What answers a connection that another host has opened. A card does not ask who has opened a connection: with N queues
//     (N-1)/N of those by connect() cost a copy for each packet, and a wake-up where the other executor sleeps.
//   - Packets that came in fragments, which a card puts into a queue by their addresses alone.
//   - ICMP errors about what another host has sent, at most 1,000 a second.
//   - ARP and Neighbor Discovery about the host and its neighbours, which all hear and the one answers that received it.
// The host that was opened first of those that are open probes, announces and defends the addresses. The others use them
// when it does, and give up what it gives up.
//
// Ports: one that open_udp(), connect() or listen() chooses is none that another of the hosts serves, and each host chooses
// from one in count() of them. One that the program names may be served by several: a broadcast datagram is then received by
// one of them, and connections from one named port to one peer are the program's to tell apart. A port at which a host has
// listened stays its own among the hosts while it is open. What a host sends to its own addresses reaches only itself.
//
// What is handed on may wait: 256 things for each host, a quarter of the frames that a host receives into, a megabyte of what
// fragments were put together to. More is dropped and counted (host_counters::queue_full, not_told), as while a host rests or its executor does
// not run. When the card is told to choose other queues (ethtool -X), connections whose queue changes are reset where all
// hosts listen at their port; so it is with a Linux sender at the other end of a veth pair, which chooses anew after each
// timeout, unless its net.core.txrehash is 0. Limits of rates, and what was learnt of paths, are each host's own.
//
// A value: copies mean the same hosts. Threads: any.
#pragma once

#include "fluxnet/export.hpp"

#include <memory>

namespace fluxnet::host {

namespace detail {
class host_siblings;
}

class ip_host;

class FLUXNET_EXPORT host_queues {
public:
    /// The most hosts there may be.
    static constexpr unsigned most = 16;

    /// Makes room for so many hosts at a time, 1 to `most`. Allocates 384 KiB, and 96 KiB for each. Throws
    /// std::invalid_argument for another number, std::bad_alloc.
    explicit host_queues(unsigned count);

    /// How many hosts there may be.
    [[nodiscard]] unsigned count() const noexcept;

private:
    friend class ip_host;

    std::shared_ptr<detail::host_siblings> shared_;
};

}  // namespace fluxnet::host
