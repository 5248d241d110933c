// SPDX-License-Identifier: BSD-3-Clause
// `port`: both halves of an AF_XDP socket as an I/O object of Asio's: packets for handlers, futures and Asio's coroutines.
//
//     auto port = fluxnet::asio::port::open(packets, builder("eth0")).value();
//     std::array<packet, 64> batch;
//     port.async_receive(batch, [&](boost::system::error_code code, std::size_t n) { ... });
//
// Owns the handles (async_rx, async_tx), which are bound to the executor of an `execution`. Destroying it closes the socket;
// operations under way end with operation_aborted. It keeps the context from ending while an operation is under way, or
// packets are queued that the kernel has not taken, unless the link is down. Any completion token; handlers are called on
// their associated executor or else the execution's, never inside the initiating function. Packets may be kept, and dropped
// on any thread.
//
// A handler that begins the next reception while packets are there is called again as soon as it has returned. Other
// handlers of the context run after 2048 packets at the latest (4 turns, whose last reception may exceed its share). Each
// handler costs about what twenty packets do: batches of 256 cost a tenth more than async_rx, batches of 64 a third.
//
// Errors are Asio's where Asio has a name: operation_aborted when it was cancelled or closed. Else they compare with ours:
// `code == errc::interface_gone`. Cancellation: a reception and a wait heed all kinds, for what is cancelled has taken
// nothing. A sending heeds terminal and partial, as boost::asio::async_write() does, and tells how many packets were taken;
// a total one promises that nothing has been done, and packets may have gone.
//
// Threads: as Asio's own objects. Operations may be started on any thread; one object is destroyed or moved by one thread.
#pragma once

#include "fluxnet/runtime/asio/detail/owned_handle.hpp"
#include "fluxnet/runtime/asio/detail/pending.hpp"
#include "fluxnet/runtime/asio/detail/told.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <boost/asio/async_result.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <system_error>
#include <utility>

namespace fluxnet::asio {

namespace detail {

using shared_sockets = handle_owner<async_sockets>::shared;

/// Tells whether there are packets to receive.
[[nodiscard]] inline bool has_packets(const shared_sockets& at) noexcept {
    return at != nullptr && at->handle && at->handle->rx.socket().available() != 0;
}

struct reception {
    shared_sockets from;
    std::span<packet> into;
    [[nodiscard]] bool may_end_now() const noexcept { return has_packets(from); }
    [[nodiscard]] async_rx::recv_awaiter operator()() const { return handle_of(from).rx.recv(into); }
};

struct sending {
    shared_sockets to;
    std::span<packet> packets;
    [[nodiscard]] async_tx::send_awaiter operator()() const { return handle_of(to).tx.send(packets); }
};

struct arrival {
    shared_sockets at;
    [[nodiscard]] bool may_end_now() const noexcept { return has_packets(at); }
    [[nodiscard]] async_rx::recv_awaiter operator()() const { return handle_of(at).rx.wait(); }
};

/// Why a port cannot be opened on the execution of this driver; 0: it can.
[[nodiscard]] inline std::error_code why_no_port(const driver* by) noexcept {
    if (by == nullptr) { return errc::closed; }
    return by->is_in_turn_of_another() ? make_error_code(errc::wrong_executor) : no_error;
}

}  // namespace detail

/// See `port`. `Executor`: where handlers are called that name no executor of their own.
template <class Executor = net::any_io_executor>
class basic_port {
public:
    using executor_type = Executor;

    /// The type of such an object with another type of executor; for Asio.
    template <class Other>
    struct rebind_executor {
        using other = basic_port<Other>;
    };

    /// Opens a socket, as open_async() does, with its errors; wrong_executor in a turn of another execution; closed on one that
    /// was moved from.
    [[nodiscard]] static result<basic_port> open(basic_execution<Executor>& on, const builder& options) {
        const auto& by = detail::access::driver_of(on);
        if (const std::error_code refused = detail::why_no_port(by.get())) {
            return error{refused, "open a port", "", "open it in a task of its own execution, or outside of tasks"};
        }
        result<async_sockets> made = make_error(errc::closed, "open a port", "", "");
        by->exclusively([&] { made = open_async(by->loop(), options); });
        if (!made) { return std::move(made).error(); }
        return basic_port(on, std::move(*made));
    }

    /// Takes handles that are bound to `on.loop()`.
    basic_port(basic_execution<Executor>& on, async_sockets&& sockets)
        : on_(on.get_executor()), sockets_(detail::access::driver_of(on), std::move(sockets)) {}

    basic_port(basic_port&& other) noexcept : on_(other.on_), sockets_(std::move(other.sockets_)) {}
    basic_port& operator=(basic_port&& other) noexcept {
        on_ = other.on_;
        sockets_ = std::move(other.sockets_);
        return *this;
    }

    /// Takes what a port with another type of executor owns: one with a default completion token, for example.
    template <class Other>
    requires(!std::same_as<Other, Executor> && std::convertible_to<Other, Executor>) basic_port(basic_port<Other>&& other)
    noexcept : on_(other.on_), sockets_(std::move(other.sockets_)) {}

    /// Where handlers are called that name no executor of their own.
    [[nodiscard]] executor_type get_executor() const noexcept { return on_; }

    /// Receives packets: completes with n >= 1 at the front of `batch`, which stays valid until then; what it held before is
    /// dropped. One reception at a time: another one ends with errc::handle_in_use. Signature: void(error_code, size_t).
    template <class Token = typename net::default_completion_token<Executor>::type>
    auto async_receive(std::span<packet> batch, Token&& token = typename net::default_completion_token<Executor>::type()) {
        return start<Token, detail::told_as_reception>(detail::reception{sockets_.get(), batch}, token);
    }

    /// Sends packets in order: completes when all are in the TX ring, and tells how many were taken; their handles are empty
    /// then. `packets` stay valid until then. Several may wait; they are served in turn. What the kernel does with them
    /// later is not told: one that is longer than the MTU is dropped, and counted (tx::dropped_by_kernel()). Signature:
    /// void(error_code, size_t).
    template <class Token = typename net::default_completion_token<Executor>::type>
    auto async_send(std::span<packet> packets, Token&& token = typename net::default_completion_token<Executor>::type()) {
        return start<Token, detail::told_as_transfer>(detail::sending{sockets_.get(), packets}, token);
    }

    /// Waits until there is something to receive, and takes nothing; a reception then does not wait. Counts as the one
    /// reception under way. Signature: void(error_code).
    template <class Token = typename net::default_completion_token<Executor>::type>
    auto async_wait(Token&& token = typename net::default_completion_token<Executor>::type()) {
        return start<Token, detail::told_as_readiness>(detail::arrival{sockets_.get()}, token);
    }

    /// Makes empty packets at the front of `into`, without waiting for frames, and tells how many. Throws std::system_error
    /// (closed) when the port is not open. Any thread; waits for a turn under way on another one, except in a turn of another
    /// execution, whose tasks get none while a turn of this one is under way: the two would wait for each other.
    [[nodiscard]] std::uint32_t allocate(std::span<packet> into) {
        if (sockets_.by() == nullptr) { throw std::system_error(make_error_code(errc::closed)); }
        std::uint32_t made = 0;
        const bool was_free = sockets_.by()->try_exclusively([&] {
            async_tx& half = detail::open_handle_of(sockets_.get()).tx;
            made = half.try_allocate(into);
        });
        return was_free ? made : 0;
    }

    /// Closes the socket; operations under way end with operation_aborted.
    void close() noexcept { sockets_.close(); }

    /// Not after close(), nor once the execution has gone.
    [[nodiscard]] bool is_open() const noexcept { return sockets_.is_open(); }

    /// The handles, for their observers and for tasks, of an open port; in the execution's strand, or while no thread runs
    /// the context.
    [[nodiscard]] async_rx& rx() noexcept { return sockets_.get()->handle->rx; }
    [[nodiscard]] async_tx& tx() noexcept { return sockets_.get()->handle->tx; }

private:
    template <class>
    friend class basic_port;

    template <class Token, class Told, class Work>
    auto start(Work work, Token& token) {
        return net::async_initiate<Token, typename Told::signature>(
            detail::initiation<Told, Work, Executor>(sockets_.by(), on_, std::source_location::current()), token,
            std::move(work));
    }

    Executor on_;
    detail::handle_owner<async_sockets> sockets_;
};

/// With any executor of Asio's.
using port = basic_port<>;

}  // namespace fluxnet::asio
