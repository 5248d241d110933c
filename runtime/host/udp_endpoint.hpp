// SPDX-License-Identifier: BSD-3-Clause
// `udp_endpoint`: a `datagram_socket` (fluxnet/runtime/core/stream.hpp) of a host in user space.
//
//     host::udp_endpoint socket = here.open_udp({proto::ipv6_address(), 7777}).value();
//     const datagram_result got = co_await socket.recv_from(bytes);
//     const io_result sent = co_await socket.send_to(answer, got.from);
//
// Made by ip_host::open_udp(). A move-only handle; destroying it frees the port and drops what was not received. It may
// outlive the host, whose end it is told with `closed`, and not the executor. A datagram that is received and one that is
// sent to a known neighbour cost no allocation and no system call of their own. Threads: that of the host's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/host/detail/udp_port.hpp"
#include "fluxnet/runtime/host/received_datagram.hpp"
#include "fluxnet/runtime/host/udp_endpoint_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace fluxnet::host {

class FLUXNET_EXPORT udp_endpoint {
public:
    class [[nodiscard]] recv_from_awaiter;
    class [[nodiscard]] recv_awaiter;
    class [[nodiscard]] send_awaiter;

    /// See ip_host::open_udp(), which makes it.
    explicit udp_endpoint(std::unique_ptr<detail::udp_port> port) noexcept : port_(std::move(port)) {}

    /// Takes datagrams from that endpoint alone from now on, and sends there with send(); what waits to be received is
    /// dropped. ICMP errors about what it sends end its next call. Errors: closed; handle_in_use (a coroutine receives);
    /// invalid_option (port 0, no own address of the version, another version than the endpoint's).
    [[nodiscard]] result<void> connect(const proto::ip_endpoint& peer);

    /// Completes with the next datagram, copied into the span; of one that is larger the rest is gone, and message_size says
    /// so. An empty span completes at once, and takes none. One coroutine receives at a time. Errors: operation_canceled,
    /// which has taken none; handle_in_use; wrong_executor; closed, for a handle that was moved from or is destroyed
    /// meanwhile, and when the host has gone; connection_refused, host_unreachable and network_unreachable (std::errc), once,
    /// what the network has told a connected endpoint last since its last call; how the host has ended (interface_gone,
    /// program_detached, ring_corruption; completions_missing: the kernel has kept all frames for as long as
    /// async_tx::set_completion_limit() lets it).
    [[nodiscard]] recv_from_awaiter recv_from(std::span<std::byte> into) noexcept;

    /// Completes with the next datagram, which is lent: nothing is copied, and its frame is free again when `buffer` is
    /// destroyed. Errors: those of recv_from() but message_size.
    [[nodiscard]] recv_awaiter recv() noexcept;

    /// Completes when the datagram was taken: it is in the TX ring, all fragments of it. Waits for a neighbour that is asked
    /// for by ARP or Neighbor Discovery, for an own address that is being probed, for a free frame, and for room in the
    /// ring. Several coroutines may send. What goes to an address of the host itself does not leave it.
    /// Errors: host_unreachable (std::errc: the next hop has not answered), network_unreachable (no way leads there, or no
    /// address of that version), no_buffer_space (the neighbour table is full of others in use), message_size (more than
    /// 65,507 octets, 65,527 over IPv6; or more than a packet holds, without udp_endpoint_options::fragment),
    /// permission_denied (a broadcast address, without udp_endpoint_options::broadcast), address_not_available (another
    /// station has taken the own address), address_family_not_supported (the endpoint's address is of the other version),
    /// invalid_argument (port 0, another interface's scope); operation_canceled, after which some of its fragments may have
    /// gone; closed; wrong_executor; what the network has told a connected endpoint, once; how the host has ended.
    [[nodiscard]] send_awaiter send_to(std::span<const std::byte> from, const proto::ip_endpoint& to) noexcept;

    /// The same to the connected endpoint. Errors: destination_address_required (std::errc) when it is not connected.
    [[nodiscard]] send_awaiter send(std::span<const std::byte> from) noexcept;

    /// Where datagrams arrive; 0.0.0.0:0 of a handle that was moved from.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return port_ == nullptr ? proto::ip_endpoint() : port_->local();
    }

    /// What ICMP errors have told about datagrams of this endpoint, connected or not. Nothing of a handle that was moved
    /// from.
    [[nodiscard]] udp_trouble trouble() const noexcept { return port_ == nullptr ? udp_trouble() : port_->trouble(); }

private:
    std::unique_ptr<detail::udp_port> port_;
};

class [[nodiscard]] udp_endpoint::recv_from_awaiter final : private detail::udp_receive {
public:
    recv_from_awaiter(detail::udp_port* port, std::span<std::byte> into) noexcept
        : udp_receive(port, !into.empty()), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept { return begin(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend_and_wait(waiting);
    }

    datagram_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_endpoint::recv_from"; }

    std::span<std::byte> into_;
};

class [[nodiscard]] udp_endpoint::recv_awaiter final : private detail::udp_receive {
public:
    explicit recv_awaiter(detail::udp_port* port) noexcept : udp_receive(port, true) {}

    [[nodiscard]] bool await_ready() noexcept { return begin(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend_and_wait(waiting);
    }

    borrowed_result<received_datagram> await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_endpoint::recv"; }
};

class [[nodiscard]] udp_endpoint::send_awaiter final : private detail::udp_send {
public:
    send_awaiter(detail::udp_port* port, std::span<const std::byte> from,
                 const std::optional<proto::ip_endpoint>& to) noexcept
        : udp_send(port, from, to) {}

    [[nodiscard]] bool await_ready() noexcept { return begin(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend_and_wait(waiting);
    }

    io_result await_resume() noexcept { return end_send(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "udp_endpoint::send_to"; }
};

inline udp_endpoint::recv_from_awaiter udp_endpoint::recv_from(std::span<std::byte> into) noexcept {
    return {port_.get(), into};
}
inline udp_endpoint::recv_awaiter udp_endpoint::recv() noexcept {
    return recv_awaiter(port_.get());
}
inline udp_endpoint::send_awaiter udp_endpoint::send_to(std::span<const std::byte> from,
                                                        const proto::ip_endpoint& to) noexcept {
    return {port_.get(), from, to};
}
inline udp_endpoint::send_awaiter udp_endpoint::send(std::span<const std::byte> from) noexcept {
    return {port_.get(), from, std::nullopt};
}

}  // namespace fluxnet::host
