// SPDX-License-Identifier: BSD-3-Clause
// `stream`, `listener`, `datagram_socket`: what a program needs of a network, whichever network that is.
//
//     template <stream S>
//     task<void> echo(S peer) {
//         std::array<std::byte, 4096> bytes;
//         for (;;) {
//             const io_result got = co_await peer.read(bytes);
//             if (got.ec) { co_return; }  // its end, or an error
//             const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
//             if (sent.ec) { co_return; }
//         }
//     }
//
// Models: the kernel's sockets (runtime/sockets), those of a host in user space (runtime/host), and pairs inside the process
// in virtual time (runtime/simulation). A test runs every model through the same conformance cases.
//
// What all models promise:
// - An await is cancelled by its task's stop token and says operation_canceled then. What had been transferred counts in n.
// - One coroutine reads and one writes at a time. A second reader or writer is told handle_in_use.
// - A span stays valid and in place until its await has ended. It may be empty: the await completes at once, with n = 0.
// - Destroying a stream closes it. Bytes that were written still reach the peer, unless bytes that the peer had sent were
//   never read: then the peer is told connection_reset, for it may believe that they were.
// - A handle that was moved from is closed: every await on it ends at once with `closed`.
//
// Threads: a handle is used on one executor's thread at a time. Where it may be moved to another, the model says so.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <concepts>
#include <cstddef>
#include <span>
#include <system_error>

namespace fluxnet {

/// What read_borrowed() ends with: bytes that lie in a buffer of the network's until `buffer` is destroyed.
template <class Buffer>
struct [[nodiscard]] borrowed_result {
    std::error_code ec = no_error;  ///< No error, or why there are no bytes; end_of_stream among the reasons.
    Buffer buffer;                  ///< Has bytes(), a span; empty when there is an error.
};

/// What recv_from() ends with.
struct [[nodiscard]] datagram_result {
    /// No error, or why no whole datagram was received. message_size: it was larger than the span, which has its beginning.
    std::error_code ec = no_error;
    std::size_t n = 0;        ///< Octets in the span.
    std::size_t size = 0;     ///< Octets of the datagram.
    proto::ip_endpoint from;  ///< Who sent it.
};

namespace detail {

template <class A, class Value>
concept awaited_as = awaitable<A> && std::same_as<awaited_value<A>, Value>;

template <class A>
concept lends_bytes = awaitable<A> && requires(awaited_value<A> lent) {
    { lent.ec } -> std::convertible_to<std::error_code>;
    { lent.buffer.bytes() } -> std::convertible_to<std::span<const std::byte>>;
};

}  // namespace detail

/// An ordered stream of bytes in each direction.
/// - read(span) completes with what has arrived, as soon as there is anything; with end_of_stream when the peer has ended
///   its direction and everything was read; with connection_reset when the peer has broken the connection.
/// - write(span) completes when all of it was taken; fewer only with an error: connection_reset when the peer has gone or
///   has broken the connection, broken_pipe when this end has ended the direction before.
/// - read_borrowed() is read() without the copy: what has arrived is lent.
/// - shutdown_write() ends this direction once what was written has gone; reading goes on.
template <class S>
concept stream = std::movable<S> && requires(S peer, std::span<std::byte> into, std::span<const std::byte> from) {
    { peer.read(into) } -> detail::awaited_as<io_result>;
    { peer.write(from) } -> detail::awaited_as<io_result>;
    { peer.read_borrowed() } -> detail::lends_bytes;
    { peer.shutdown_write() } -> detail::awaited_as<wait_result>;
};

/// Where peers connect to. accept() completes with the next connection; connections that wait stay waiting when it is
/// cancelled. An error that concerns one connection only is not told, unless by that connection; no descriptors left is told
/// once, and then accept() waits until there are. Where it listens is asked by local_endpoint(), of a Unix listener by
/// local_address().
template <class L>
concept listener = std::movable<L> && requires(L door) {
    { door.accept() } -> detail::awaitable;
    requires stream<typename detail::awaited_value<decltype(door.accept())>::value_type>;
};

/// Single messages, each of which arrives whole, or not at all.
/// - recv_from(span) completes with the next datagram. One coroutine at a time: a second one ends with handle_in_use.
/// - send_to(span, endpoint) completes when it was taken; with message_size when it is too large to be sent. Any number of
///   coroutines may send.
template <class S>
concept datagram_socket = std::movable<S> &&
    requires(S socket, std::span<std::byte> into, std::span<const std::byte> from, const proto::ip_endpoint& peer) {
    { socket.recv_from(into) } -> detail::awaited_as<datagram_result>;
    { socket.send_to(from, peer) } -> detail::awaited_as<io_result>;
    { socket.local_endpoint() } -> std::same_as<proto::ip_endpoint>;
};

}  // namespace fluxnet
