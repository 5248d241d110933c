// SPDX-License-Identifier: BSD-3-Clause
// `unix_datagram`: single messages between programs of one machine. None is lost: a sender waits while the receiver's queue
// is full.
//
//     unix_datagram log = unix_datagram::bind(unix_address("@log")).value();
//     const unix_datagram::received got = co_await log.recv_from(bytes);
//
// Move-only; owns its socket, which is a blocking one: a call never waits in the kernel all the same. Destroy it when no
// coroutine awaits it.
//
// Threads: used on one thread at a time, that of the executor where it is awaited. Source: unix(7).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/message_transfer.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <span>
#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT unix_datagram {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_awaiter;

    /// What recv_from() ends with.
    struct [[nodiscard]] received {
        std::error_code ec = no_error;
        std::size_t n = 0;     ///< Octets in the span.
        std::size_t size = 0;  ///< Octets of the datagram.
        unix_address from;     ///< Empty when the sender is not bound.
    };

    /// Binds a new socket; an empty address binds it to none, which suffices for sending. Errors: EADDRINUSE (the file is
    /// there: unlink it first if nobody serves it), ENOENT, EACCES, ENAMETOOLONG.
    [[nodiscard]] static result<unix_datagram> bind(const unix_address& at = {});

    /// Owns a Unix datagram socket, which is a blocking one.
    explicit unix_datagram(descriptor socket) noexcept : socket_(std::move(socket)) {}

    /// Completes with the next datagram. Errors: message_size (std::errc: it was larger than `into`, which has its
    /// beginning), operation_canceled (nothing was taken).
    [[nodiscard]] recv_awaiter recv_from(std::span<std::byte> into) noexcept;

    /// Completes when the datagram is in the receiver's queue. Errors: message_size (std::errc), operation_canceled, or the
    /// kernel's: ENOENT, ECONNREFUSED (nobody is bound there), EACCES, ENAMETOOLONG, EINVAL (a path with a zero octet).
    [[nodiscard]] send_awaiter send_to(std::span<const std::byte> from, const unix_address& peer) noexcept;

    /// Where it is bound. One system call.
    [[nodiscard]] unix_address local_address() const;

    /// The socket's number, for options; it stays this object's. -1 once it was moved from: every await then ends with
    /// `closed`.
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

private:
    descriptor socket_;
};

class [[nodiscard]] unix_datagram::send_awaiter final : private detail::message_transfer {
public:
    /// `unfit`: what is wrong with the peer's address.
    send_awaiter(int fd, std::span<const std::byte> from, const detail::socket_address& peer,
                 std::error_code unfit) noexcept
        : message_transfer(fd, from, {}, &peer) {
        refuse(unfit);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { send(); });
    }

    io_result await_resume() noexcept {
        const std::error_code ended = finish();
        return {ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_datagram::send_to"; }
};

class [[nodiscard]] unix_datagram::recv_awaiter final : private detail::message_transfer {
public:
    recv_awaiter(int fd, std::span<std::byte> into) noexcept : message_transfer(fd, into, nullptr) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { receive(MSG_TRUNC); });
    }

    received await_resume() {
        const std::error_code ended = end_receive(false);
        return {ended, n(), size(), ended ? unix_address() : peer().local()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_datagram::recv_from"; }
};

inline unix_datagram::recv_awaiter unix_datagram::recv_from(std::span<std::byte> into) noexcept {
    return {fd(), into};
}
inline unix_datagram::send_awaiter unix_datagram::send_to(std::span<const std::byte> from,
                                                          const unix_address& peer) noexcept {
    return {fd(), from, detail::socket_address(peer), detail::socket_address::unfit(peer)};
}

}  // namespace fluxnet
