// SPDX-License-Identifier: BSD-3-Clause
// `ip_host`: a host in user space: IPv4 and IPv6 addresses on the link of an AF_XDP socket, without the kernel's stack.
//
//     auto sockets = open_async(loop, builder("eth0")).value();
//     host::host_options options;
//     options.addresses = {{proto::ipv4_address(192, 0, 2, 1), 24}};
//     auto here = host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
//     host::udp_endpoint socket = here.open_udp({proto::ipv4_address(), 7}).value();
//
// It answers ARP, Neighbor Discovery and echo requests, finds its neighbours, defends its addresses, puts fragments
// together, sends ICMP errors and believes those that quote what it has sent. Its endpoints send and receive datagrams, its
// listeners and streams are TCP's: a segment that no connection of the host's is meant by is answered by a reset.
//
// A host ends when its interface does, when its tx has failed, and when the kernel gives none of the tx's frames back for as
// long as async_tx::set_completion_limit() says, though something waits to be sent: what is awaited there says so then, and so
// does failure().
//
// A task in the background of the executor receives (with host_queues, a second one takes what others hand on); the host works
// whenever the executor runs. When the tasks of the executor are cancelled (executor::run(task) does that at its end) the host
// rests, and the next await at one of its endpoints wakes it. Inside an io_context of Boost.Asio's (fluxnet::asio::execution) the executor itself rests while it has no
// work, whatever else the context does, and then the host answers nobody, not even pings. Work is an accept, a read or another
// task under way, and as long as the host's tasks go on what peers have not acknowledged of all that was written; beyond that
// an executor::work_guard keeps the host there.
//
// What comes from the network costs no allocation and no system call of its own, except for packets that come in fragments and
// do not stay where they are put together: octets for endpoints, or for a host on another queue, are copied into memory of
// their own. What TCP copies goes into memory that the host takes piece by piece, as it needs it, and keeps.
//
// It takes what its socket receives, which is all of the queue's unless the builder says otherwise: host_filter.hpp has what
// leaves the rest of the interface to the kernel, or shares addresses of the kernel's by ports. host_queues.hpp has what makes one host of those on several queues.
//
// Not here: VLANs (tagged frames are dropped), multicast groups but those of Neighbor Discovery, which are not reported to
// routers either (RFC 3810), addresses that routers advertise (RFC 4862), redirects, IPv6 options inside of what comes in
// fragments. Answers to echo requests go to the station that the request came from.
//
// Threads: used and destroyed on the executor's thread, or while no thread runs it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/neighbour/neighbour_table.hpp"
#include "fluxnet/proto/tcp/stack.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/host/detail/tcp_end.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "fluxnet/runtime/host/host_counters.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/runtime/host/tcp_listener.hpp"
#include "fluxnet/runtime/host/tcp_options.hpp"
#include "fluxnet/runtime/host/tcp_stream.hpp"
#include "fluxnet/runtime/host/udp_endpoint.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <coroutine>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace fluxnet {
class metrics;
}

namespace fluxnet::host {

class FLUXNET_EXPORT ip_host {
public:
    class [[nodiscard]] settle_awaiter;

    /// Makes a host of the two halves of a socket, which are bound to `on`, and starts its task. Allocates, by default some
    /// 7 MB. Errors: invalid_option (addresses, prefixes, gateways and neighbours that cannot be, more neighbours than their
    /// table has room for; an MTU that no frame holds; a tx without frames of its own, 8 at least; TCP without room for
    /// anything; host_queues of which enough hosts are open, or whose hosts have other addresses, ports or interfaces; what
    /// host_filter.hpp says of host_options::only_ports); out_of_memory; system_failure (the kernel grants no rtnetlink
    /// socket). With only_ports also: address_in_use and address_not_available (std::errc: a program has the port, the kernel
    /// does not have the address), permission_denied (CAP_NET_ADMIN, CAP_NET_BIND_SERVICE), not_in_virtual_time.
    [[nodiscard]] static result<ip_host> open(executor& on, async_rx rx, async_tx tx, const host_options& options);

    ip_host(ip_host&&) noexcept;
    ip_host& operator=(ip_host&&) noexcept;

    /// Ends what waits at its endpoints, listeners and streams with `closed`, drops what they have not received, and closes
    /// the socket. Peers of streams are told by resets, as far as there are frames to tell them; those of streams that were
    /// closed in order and have sent all are told no more: see settle().
    ~ip_host();

    /// Opens an endpoint for datagrams. The unspecified address stands for all addresses of the host, [::] for those of both
    /// versions; port 0 has one chosen. Allocates. Errors: address_in_use, address_not_available (std::errc: none of the
    /// host's, taken by another station, or at a port that only_ports does not give it); closed, of a host that was moved from;
    /// how the host has ended.
    [[nodiscard]] result<udp_endpoint> open_udp(proto::ip_endpoint local, const udp_endpoint_options& options = {});

    /// Connects to a peer by TCP. Completes with the stream when the peer has answered. Waits for an own address that is being
    /// probed. Cancelled, it resets what has begun. Allocates. Errors, with the peer's name: connection_refused (std::errc),
    /// timed_out (no answer for proto::tcp::connection_options::give_up_connecting, whatever routers say; use timeout() for
    /// less), host_unreachable (the next hop does not answer, or the peer says by ICMP that nothing takes the segment there),
    /// network_unreachable, address_not_available and address_family_not_supported (tcp_options::from; the first also where
    /// only_ports leaves none to choose), address_in_use, no_buffer_space (host_options::tcp.connections), invalid_argument (no
    /// address of one host, port 0, another interface's scope); operation_canceled; wrong_executor; out_of_memory; closed, of a
    /// host that was moved from or goes meanwhile; how the host has ended.
    [[nodiscard]] tcp_stream::connect_awaiter connect(const proto::ip_endpoint& peer,
                                                      const tcp_options& options = {}) noexcept;

    /// Listens. The unspecified address stands for all addresses of the host, [::] for those of both versions; port 0 has one
    /// chosen. Beside a listener at all addresses there may be one at a single address with the same port, which then takes
    /// what comes there. Allocates. Errors: address_in_use, address_not_available (std::errc: none of the host's, taken by
    /// another station, or at a port that only_ports does not give it), no_buffer_space (host_options::tcp.listeners); closed, of a host that was moved from; how the host has
    /// ended.
    [[nodiscard]] result<tcp_listener> listen(proto::ip_endpoint local, const tcp_options& options = {});

    /// Completes when nothing is on its way any more of what was written to streams that were closed in order: their peers have
    /// acknowledged it and the end, or will not. Await it before the host goes: nobody sends for it then. After
    /// executor::request_stop(), which stop_on() calls, it takes an executor::restart() first. Use timeout() for peers that do
    /// not answer. Errors: connection_reset and timed_out (std::errc), when meanwhile a connection ended so before its peer had
    /// acknowledged all octets, the former also when the host itself had to reset it (proto::tcp::stack_options::orphans and
    /// orphan_life); operation_canceled; wrong_executor; closed, of a host that was moved from or goes meanwhile; how the host
    /// has ended.
    [[nodiscard]] settle_awaiter settle() noexcept;

    /// Tells `sink` of each frame from now on, in place of the sink before; null: none is told. The sink leaves the host that
    /// it had. See frame_sink. Without effect on a host that was moved from or has been closed.
    void capture_to(frame_sink* sink) noexcept;

    // The observers; not of a host that was moved from.

    /// Whether the host uses the address: it has passed its probes, and no other station has taken it.
    [[nodiscard]] bool owns(const proto::ip_address& address) const noexcept;
    /// What it knows of a neighbour.
    [[nodiscard]] proto::neighbour_table::entry neighbour(const proto::ip_address& address) const noexcept;
    [[nodiscard]] proto::mac_address hardware() const noexcept;
    /// The longest packet that it sends in one piece, unless a path has less room.
    [[nodiscard]] std::uint32_t mtu() const noexcept;
    [[nodiscard]] const host_counters& counters() const noexcept;
    /// What its TCP has counted, and how many connections there are. Null once the host was closed.
    [[nodiscard]] const proto::tcp::stack* tcp() const noexcept;
    /// How it has ended; no error while it works.
    [[nodiscard]] std::error_code failure() const noexcept;
    /// Adds what it has counted, and while it is open its two handles and the frames of its socket, under that name.
    void add_to(metrics& all, std::string_view name) const;

private:
    explicit ip_host(boost::intrusive_ptr<detail::host_core> core) noexcept;

    boost::intrusive_ptr<detail::host_core> core_;
};

class [[nodiscard]] FLUXNET_EXPORT ip_host::settle_awaiter final : private detail::tcp_waiter {
public:
    /// `core` is null for a host that was moved from.
    explicit settle_awaiter(boost::intrusive_ptr<detail::host_core> core) noexcept;
    ~settle_awaiter();

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    wait_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::ip_host::settle"; }
    void start() noexcept;
    void look() noexcept override;
    void cancel() noexcept override;

    const boost::intrusive_ptr<detail::host_core> core_;
    std::uint64_t reset_before_ = 0;  // connections that had ended so when it began
    std::uint64_t timed_out_before_ = 0;
};

}  // namespace fluxnet::host
