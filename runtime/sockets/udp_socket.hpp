// SPDX-License-Identifier: BSD-3-Clause
// `udp_socket`: datagrams by the kernel's UDP.
//
//     udp_socket socket = udp_socket::bind(proto::ip_endpoint::parse("0.0.0.0:7777").value()).value();
//     const datagram_result got = co_await socket.recv_from(bytes);
//     if (got.ec) { co_return; }
//     const io_result sent = co_await socket.send_to(std::span(bytes).first(got.n), got.from);
//
// A model of the concept `datagram_socket`. Move-only; owns its socket, which is a blocking one: a call never waits in the
// kernel all the same. One coroutine may receive, while any number send. Destroy it when no coroutine awaits it. Of one that
// was moved from every call says `closed`, at once.
//
// Threads: used on one thread at a time, that of the executor where it is awaited; it may go to another one while nobody
// awaits it. Source: udp(7), RFC 768.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/datagram_transfer.hpp"
#include "fluxnet/runtime/sockets/udp_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace fluxnet {

/// What recv_segments() ends with: datagrams of one sender, one behind the other.
struct [[nodiscard]] segments_result {
    std::error_code ec = no_error;
    std::size_t n = 0;        ///< Octets in all.
    std::size_t segment = 0;  ///< Octets of each datagram but the last, which may be shorter.
    proto::ip_endpoint from;
};

/// A datagram of many: where it is received into or sent from, and whom it comes from or goes to.
struct datagram {
    std::span<std::byte> bytes;  ///< Room for it, or what is to be sent; not written to by send_many().
    proto::ip_endpoint peer;     ///< Set by recv_many().
    std::size_t n = 0;           ///< Set by recv_many(): octets in `bytes`.
    std::size_t size = 0;        ///< Set by recv_many(): octets of the datagram; more than n when it was cut.
};

class FLUXNET_EXPORT udp_socket {
public:
    class [[nodiscard]] recv_awaiter;
    class [[nodiscard]] segments_awaiter;
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_many_awaiter;
    class [[nodiscard]] send_many_awaiter;

    /// Binds a new socket. Port 0 takes a free one, which local_endpoint() tells. Errors name the step, the address and a
    /// remedy: EADDRINUSE, EADDRNOTAVAIL, EACCES. A handful of system calls.
    [[nodiscard]] static result<udp_socket> bind(const proto::ip_endpoint& at, const udp_options& options = {});

    /// Owns a UDP socket, which is a blocking one.
    explicit udp_socket(descriptor socket) : state_(std::make_unique<detail::socket_state>(std::move(socket))) {}

    /// Receives from `peer` only from now on, and has ICMP errors told: ECONNREFUSED when nobody listens there. One system
    /// call.
    [[nodiscard]] result<void> connect(const proto::ip_endpoint& peer);

    /// Completes with the next datagram. Errors: message_size (std::errc: it was larger than `into`, which has its
    /// beginning; size tells), operation_canceled (nothing was taken), handle_in_use (another coroutine receives), closed,
    /// operation_not_supported (std::errc: udp_options::coalesce joins datagrams, which only recv_segments() tells apart), or
    /// the kernel's: ECONNREFUSED for a connected socket.
    [[nodiscard]] recv_awaiter recv_from(std::span<std::byte> into) noexcept;

    /// Completes when the kernel has taken the datagram. Errors: message_size (std::errc), operation_canceled, closed, or the
    /// kernel's: ENETUNREACH, EPERM (a firewall), EACCES (broadcast without udp_options::broadcast).
    [[nodiscard]] send_awaiter send_to(std::span<const std::byte> from, const proto::ip_endpoint& peer) noexcept;

    /// The same, to the peer of connect().
    [[nodiscard]] send_awaiter send(std::span<const std::byte> from) noexcept;

    /// Sends `from` as datagrams of `segment` octets, the last of which may be shorter; the kernel, or the device, cuts them
    /// apart (UDP_SEGMENT, Linux 4.18). At most 64 of them (some kernels take 128), and 65,507 octets in all. Errors: as
    /// send_to(); EINVAL when there are too many, or one is larger than the path's MTU.
    [[nodiscard]] send_awaiter send_segments(std::span<const std::byte> from, std::uint16_t segment,
                                             const proto::ip_endpoint& peer) noexcept;

    /// Completes with one datagram or, with udp_options::coalesce, several of one sender. Give it 65,536 octets of room:
    /// what does not fit is lost, and message_size says so.
    [[nodiscard]] segments_awaiter recv_segments(std::span<std::byte> into) noexcept;

    /// Completes with at least one datagram, and as many as there are and fit into `into`; n counts them. One system call for
    /// up to 64 (recvmmsg(2)), and a poll when there was none. Errors: as recv_from(), but a datagram that was cut says so by
    /// its size.
    [[nodiscard]] recv_many_awaiter recv_many(std::span<datagram> into) noexcept;

    /// Completes when the kernel has taken all of `from`; n counts those it has taken, also with an error, which is that of
    /// from[n]. One system call for up to 64 (sendmmsg(2)).
    [[nodiscard]] send_many_awaiter send_many(std::span<const datagram> from) noexcept;

    /// Receives what is sent to a multicast group, on an interface by its name; empty lets the kernel choose. One or two
    /// system calls. Errors: ENODEV, EADDRINUSE (it has joined already), EINVAL (no group).
    [[nodiscard]] result<void> join(const proto::ip_address& group, const std::string& interface = {});
    [[nodiscard]] result<void> leave(const proto::ip_address& group, const std::string& interface = {});

    /// Where it is bound. One system call.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept;

    /// The socket's number, for options; it stays this object's. -1 once it was moved from.
    [[nodiscard]] int fd() const noexcept { return detail::fd_of(state_.get()); }

private:
    [[nodiscard]] result<void> change_membership(const proto::ip_address& group, const std::string& interface, bool join);

    std::unique_ptr<detail::socket_state> state_;
};

class [[nodiscard]] udp_socket::recv_awaiter final : private detail::datagram_transfer {
public:
    recv_awaiter(detail::socket_state* at, std::span<std::byte> into) noexcept : datagram_transfer(at, into) {
        refuse(detail::refusal_of_single(at));
    }

    using datagram_transfer::await_ready;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { receive(); });
    }

    datagram_result await_resume() noexcept {
        const std::error_code ended = end_receive();
        return {ended, n(), size(), peer()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_socket::recv_from"; }
};

class [[nodiscard]] udp_socket::segments_awaiter final : private detail::datagram_transfer {
public:
    segments_awaiter(detail::socket_state* at, std::span<std::byte> into) noexcept : datagram_transfer(at, into) {}

    using datagram_transfer::await_ready;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { receive(); });
    }

    segments_result await_resume() noexcept {
        const std::error_code ended = end_receive();
        return {ended, n(), segment(), peer()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_socket::recv_segments"; }
};

class [[nodiscard]] udp_socket::send_awaiter final : private detail::datagram_transfer {
public:
    send_awaiter(detail::socket_state* at, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                 std::uint16_t segment = 0) noexcept
        : datagram_transfer(at, from, peer, segment) {}

    using datagram_transfer::await_ready;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { send(); });
    }

    io_result await_resume() noexcept {
        const std::error_code ended = end_transfer();
        return {ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_socket::send_to"; }
};

class [[nodiscard]] udp_socket::recv_many_awaiter final : private detail::readiness_transfer {
public:
    recv_many_awaiter(detail::socket_state* at, std::span<datagram> into) noexcept
        : readiness_transfer(at, &detail::socket_state::reader), into_(into) {
        refuse(detail::refusal_of_single(at));
    }

    [[nodiscard]] bool await_ready() noexcept { return ready_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { begin_wait(POLLIN); });
    }

    io_result await_resume() noexcept { return end_wait(n_); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_socket::recv_many"; }
    [[nodiscard]] int attempt() noexcept override;

    std::span<datagram> into_;
    std::size_t n_ = 0;
};

class [[nodiscard]] udp_socket::send_many_awaiter final : private detail::readiness_transfer {
public:
    send_many_awaiter(detail::socket_state* at, std::span<const datagram> from) noexcept
        : readiness_transfer(at, detail::place_at_socket::among_senders), from_(from) {}

    [[nodiscard]] bool await_ready() noexcept { return ready_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { begin_wait(POLLOUT); });
    }

    io_result await_resume() noexcept { return end_wait(n_); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_socket::send_many"; }
    [[nodiscard]] int attempt() noexcept override;

    std::span<const datagram> from_;
    std::size_t n_ = 0;
};

inline udp_socket::recv_awaiter udp_socket::recv_from(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
}
inline udp_socket::segments_awaiter udp_socket::recv_segments(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
}
inline udp_socket::send_awaiter udp_socket::send_to(std::span<const std::byte> from,
                                                    const proto::ip_endpoint& peer) noexcept {
    return {state_.get(), from, &peer};
}
inline udp_socket::send_awaiter udp_socket::send(std::span<const std::byte> from) noexcept {
    return {state_.get(), from, nullptr};
}
inline udp_socket::send_awaiter udp_socket::send_segments(std::span<const std::byte> from, std::uint16_t segment,
                                                          const proto::ip_endpoint& peer) noexcept {
    return {state_.get(), from, &peer, segment};
}
inline udp_socket::recv_many_awaiter udp_socket::recv_many(std::span<datagram> into) noexcept {
    return {state_.get(), into};
}
inline udp_socket::send_many_awaiter udp_socket::send_many(std::span<const datagram> from) noexcept {
    return {state_.get(), from};
}

}  // namespace fluxnet
