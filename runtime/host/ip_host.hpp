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
// together, sends ICMP errors and believes those that quote what it has sent. Its endpoints send and receive datagrams.
//
// A task in the background of the executor receives; the host works whenever the executor runs. When the tasks of the
// executor are cancelled (executor::run(task) does that at its end) the host rests, and the next await at one of its
// endpoints wakes it.
//
// What comes from the network costs no allocation and no system call of its own, except for datagrams of endpoints that come
// in fragments and do not stay where they are put together: their octets are copied into memory of their own.
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
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/host/host_counters.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/runtime/host/udp_endpoint.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstdint>
#include <system_error>

namespace fluxnet::host {

class FLUXNET_EXPORT ip_host {
public:
    /// Makes a host of the two halves of a socket, which are bound to `on`, and starts its task. Allocates, by default some
    /// 7 MB. Errors: invalid_option (addresses, prefixes and gateways that cannot be; an MTU that no frame holds; a tx
    /// without frames of its own, 8 at least).
    [[nodiscard]] static result<ip_host> open(executor& on, async_rx rx, async_tx tx, const host_options& options);

    ip_host(ip_host&&) noexcept;
    ip_host& operator=(ip_host&&) noexcept;

    /// Ends what waits at its endpoints with `closed`, drops what they have not received, and closes the socket.
    ~ip_host();

    /// Opens an endpoint for datagrams. The unspecified address stands for all addresses of the host, [::] for those of both
    /// versions; port 0 has one chosen. Allocates. Errors: address_in_use, address_not_available (std::errc: none of the
    /// host's, or taken by another station); closed, of a host that was moved from; how the host has ended.
    [[nodiscard]] result<udp_endpoint> open_udp(proto::ip_endpoint local, const udp_endpoint_options& options = {});

    // The observers; not of a host that was moved from.

    /// Whether the host uses the address: it has passed its probes, and no other station has taken it.
    [[nodiscard]] bool owns(const proto::ip_address& address) const noexcept;
    /// What it knows of a neighbour.
    [[nodiscard]] proto::neighbour_table::entry neighbour(const proto::ip_address& address) const noexcept;
    [[nodiscard]] proto::mac_address hardware() const noexcept;
    /// The longest packet that it sends in one piece, unless a path has less room.
    [[nodiscard]] std::uint32_t mtu() const noexcept;
    [[nodiscard]] const host_counters& counters() const noexcept;
    /// How it has ended; no error while it works.
    [[nodiscard]] std::error_code failure() const noexcept;

private:
    explicit ip_host(boost::intrusive_ptr<detail::host_core> core) noexcept;

    boost::intrusive_ptr<detail::host_core> core_;
};

}  // namespace fluxnet::host
