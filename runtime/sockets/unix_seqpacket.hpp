// SPDX-License-Identifier: BSD-3-Clause
// `unix_seqpacket`: a connection between two programs of one machine that keeps messages apart.
//
//     auto [ours, theirs] = unix_seqpacket::pair().value();
//     const io_result sent = co_await ours.send(request);
//     const io_result got = co_await theirs.recv(bytes);  // one whole message
//
// Messages arrive whole, in order, and with the descriptors that were sent with them. Move-only; owns its socket, which is a
// blocking one: a call never waits in the kernel all the same. Destroy it when no coroutine awaits it.
//
// Threads: used on one thread at a time, that of the executor where it is awaited. Source: unix(7).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/message_transfer.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet {

class FLUXNET_EXPORT unix_seqpacket {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_awaiter;

    /// Owns a connected socket of type SOCK_SEQPACKET, which is a blocking one.
    explicit unix_seqpacket(descriptor socket) noexcept : socket_(std::move(socket)) {}

    /// Connects, and makes a connected pair: as unix_stream does.
    [[nodiscard]] static task<result<unix_seqpacket>> connect(unix_address peer);
    [[nodiscard]] static result<std::pair<unix_seqpacket, unix_seqpacket>> pair();

    /// Sends a message, with duplicates of descriptors, 16 at most. Completes when the kernel has taken it. An empty message
    /// cannot be told from the end, so none is sent: EINVAL. Errors: message_size (std::errc: larger than SO_SNDBUF allows),
    /// argument_list_too_long (std::errc: too many descriptors), operation_canceled, or the kernel's: EPIPE.
    [[nodiscard]] send_awaiter send(std::span<const std::byte> from, std::span<const int> descriptors = {}) noexcept;

    /// Completes with the next message. Descriptors that came with it are closed. Errors: message_size (std::errc: it was
    /// larger than `into`, which has its beginning), end_of_stream, operation_canceled, or the kernel's: ECONNRESET.
    [[nodiscard]] recv_awaiter recv(std::span<std::byte> into) noexcept;

    /// The same, with the descriptors at the end of `descriptors`, close-on-exec; no_buffer_space (std::errc) when more than
    /// 16 came: the kernel has closed the rest.
    [[nodiscard]] recv_awaiter recv(std::span<std::byte> into, std::vector<descriptor>& descriptors) noexcept;

    /// The socket's number, for options; it stays this object's. -1 once it was moved from: every await then ends with
    /// `closed`.
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

private:
    descriptor socket_;
};

class [[nodiscard]] unix_seqpacket::send_awaiter final : private detail::message_transfer {
public:
    send_awaiter(int fd, std::span<const std::byte> from, std::span<const int> descriptors) noexcept
        : message_transfer(fd, from, descriptors, nullptr), empty_(fd >= 0 && from.empty()) {}

    [[nodiscard]] bool await_ready() const noexcept { return empty_; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { send(); });
    }

    io_result await_resume() noexcept {
        if (empty_) { return {std::make_error_code(std::errc::invalid_argument), 0}; }
        const std::error_code ended = finish();
        return {ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_seqpacket::send"; }

    const bool empty_;
};

class [[nodiscard]] unix_seqpacket::recv_awaiter final : private detail::message_transfer {
public:
    recv_awaiter(int fd, std::span<std::byte> into, std::vector<descriptor>* descriptors) noexcept
        : message_transfer(fd, into, descriptors) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { receive(MSG_TRUNC); });
    }

    io_result await_resume() noexcept {
        const std::error_code ended = end_receive(true);
        return {ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_seqpacket::recv"; }
};

inline unix_seqpacket::send_awaiter unix_seqpacket::send(std::span<const std::byte> from,
                                                         std::span<const int> descriptors) noexcept {
    return {fd(), from, descriptors};
}
inline unix_seqpacket::recv_awaiter unix_seqpacket::recv(std::span<std::byte> into) noexcept {
    return {fd(), into, nullptr};
}
inline unix_seqpacket::recv_awaiter unix_seqpacket::recv(std::span<std::byte> into,
                                                         std::vector<descriptor>& descriptors) noexcept {
    return {fd(), into, &descriptors};
}

}  // namespace fluxnet
