// SPDX-License-Identifier: BSD-3-Clause
// `datagram_transport`: a UDP endpoint by the first means that can be had: AF_XDP, AF_PACKET, the kernel's UDP.
//
//     datagram_options options;
//     options.local = proto::ip_endpoint::parse("192.0.2.1:7777").value();
//     options.frames = builder("eth0");
//     options.gateway = proto::mac_address::parse("02:00:5e:10:00:01");
//     auto transport = datagram_transport::open(loop, options);
//     if (!transport) { return fail(transport.error().message()); }           // every rung, and why not
//     log(name(*transport->took()));                                          // "af_xdp", say
//     for (const datagram_refusal& not_taken : transport->refusals()) { log(not_taken.why.message()); }
//     const datagram_result got = co_await transport->recv_from(bytes);
//     const io_result sent = co_await transport->send_to(std::span(bytes).first(got.n), got.from);
//
// A model of the concept `datagram_socket`. Move-only. When the rung in use ends for good (its interface is deleted, its XDP
// program is detached) the transport closes it and opens the next one of the order that can be had; awaits under way go on
// there. It never goes back to a former rung. Its socket is closed when the transport is destroyed and no coroutine awaits
// it any more; coroutines that still do go on as before.
//
// By frames, on the first two rungs:
// - It answers ARP for its address while a coroutine receives, and nothing else: no ping, no "port unreachable".
// - Without a gateway it asks by ARP where an address is that it does not know, and the send waits for the answer: for three
//   seconds, unless the options say otherwise. It takes every address for one of the link then; give it a gateway to reach
//   others. What arrives while a send waits and nobody receives is kept for the next receive, up to 15 frames.
// - Frames that are no datagram for this endpoint are dropped and counted by their reason, see proto::udp_station: bad
//   checksums, fragments, other ports, VLAN tags. Datagrams are not fragmented: longest_datagram() tells how long they may
//   be.
// - IPv4 only. What is sent to a group goes to its address on the link, with a time to live of 1, and to a broadcast address
//   to all of the link; neither is received.
// - A sender on the other end of a veth leaves its checksums to a device that never computes them. Over AF_PACKET the kernel
//   tells, and they are finished here. Over AF_XDP nothing tells: such datagrams are dropped, and counted
//   (count().dropped_for(proto::reason::udp_bad_checksum)); notes() says so of such an interface. Have the sender compute
//   them: `ethtool -K PEER tx off`, where PEER is the other end.
// - Where the kernel has the address too, a UDP socket of the kernel's keeps the port, so that no other program takes it and
//   the kernel does not answer "port unreachable". That socket receives nothing.
//
// Threads: that of its executor. Source: RFC 768, RFC 791, RFC 826, RFC 1122 section 3.2.1.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/udp_station.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/transport/datagram_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fluxnet {

namespace detail {
class datagram_ladder;
}

/// Of a transport that was moved from every await ends at once with `closed`, and it has no rung, no endpoint and no counts.
class FLUXNET_EXPORT datagram_transport {
public:
    /// Opens the first rung of options.order that can be had, in the network namespace of the calling thread, which must be
    /// that of the executor's thread later on too: a move opens the next rung there. Blocks, and so does a move: for
    /// milliseconds, and up to the builder's busy_deadline while another socket of the queue is still closing.
    ///
    /// af_xdp takes everything that its queue receives away from the kernel: its ARP, its ssh, datagrams to other ports. The
    /// XDP program cannot tell them apart; notes() says so. Give the transport a queue, an interface or a machine of its
    /// own, or leave af_xdp out of the order. On an interface with several queues it gets the packets of one; a rule of the
    /// device (ethtool -N) can direct a port to it.
    ///
    /// Errors: invalid_option (an empty order); that of the last rung when each was refused: the cause tells all of them,
    /// each with its remedy.
    [[nodiscard]] static result<datagram_transport> open(executor& on, datagram_options options);

    datagram_transport(datagram_transport&&) noexcept;
    datagram_transport& operator=(datagram_transport&&) noexcept;
    ~datagram_transport();

    /// Completes with the next datagram. One coroutine at a time. An empty span completes at once, and takes none. What a
    /// frame held is copied once. Errors: message_size (std::errc: it was larger than `into`, which has its beginning; size
    /// tells), operation_canceled (nothing was taken), handle_in_use (another coroutine receives), wrong_executor; when the
    /// last rung has ended, why (interface_gone, program_detached), from then on; those of udp_socket::recv_from().
    /// A program that somebody else detaches is noticed with the next news of the interface: see async_rx::recv().
    [[nodiscard]] task<datagram_result> recv_from(std::span<std::byte> into);

    /// Completes when the datagram was taken: it is in the TX ring, or the kernel has it. Several coroutines may send. After
    /// a move, a datagram that the former rung had not taken is sent by the next one.
    /// Errors: message_size (std::errc: more than longest_datagram()), host_unreachable (by frames: the next hop is not
    /// known and no station of the link has answered to ARP; or there can be none, for a loopback address or one's own.
    /// Check the address, and that the peer is up; or give a gateway, or the peer as a neighbour), link_down (likewise,
    /// while the interface is down or has no carrier: at once, and not after the requests; a datagram whose next hop is
    /// known waits instead), permission_denied (std::errc: a broadcast address, without udp_options::broadcast),
    /// address_family_not_supported (by frames: IPv6), invalid_argument (port 0), operation_canceled; those of
    /// async_tx::send() and udp_socket::send_to(); when the last rung has ended, why.
    [[nodiscard]] task<io_result> send_to(std::span<const std::byte> from, proto::ip_endpoint peer);

    /// Where datagrams arrive now. On the kernel's UDP one system call.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept;

    /// The rung in use; nothing when the last one has ended.
    [[nodiscard]] std::optional<datagram_rung> took() const noexcept;

    /// Why the rungs before it are not in use, in the order in which they were refused or ended.
    [[nodiscard]] const std::vector<datagram_refusal>& refusals() const noexcept;

    /// What is no failure and yet may surprise, of the rung in use: what is taken from the kernel, why not zero-copy.
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept;

    /// Octets of the longest datagram that send_to() takes now: what fits into the interface's MTU as it was at the opening;
    /// 65,507 (IPv6: 65,527) by the kernel's UDP, which fragments; 0 when the last rung has ended.
    [[nodiscard]] std::size_t longest_datagram() const noexcept;

    /// What became of the frames of all rungs until now. Nothing of the kernel's UDP is counted here.
    [[nodiscard]] proto::udp_station::counters count() const noexcept;

private:
    explicit datagram_transport(boost::intrusive_ptr<detail::datagram_ladder> ladder) noexcept;

    boost::intrusive_ptr<detail::datagram_ladder> ladder_;
};

}  // namespace fluxnet
