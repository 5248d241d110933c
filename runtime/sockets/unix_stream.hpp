// SPDX-License-Identifier: BSD-3-Clause
// `unix_stream`: a connection between two programs of one machine.
//
//     result<unix_stream> connected = co_await unix_stream::connect(unix_address("/run/service.sock"));
//     auto [ours, theirs] = unix_stream::pair().value();
//
// A kernel_stream: reading, writing, ownership and threads are told there. Beside bytes it carries descriptors. Source:
// unix(7).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/sockets/detail/connecting.hpp"
#include "fluxnet/runtime/sockets/detail/message_transfer.hpp"
#include "fluxnet/runtime/sockets/kernel_stream.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet {

class FLUXNET_EXPORT unix_stream final : public kernel_stream {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_awaiter;

    /// Owns a connected Unix stream socket, which is a blocking one.
    explicit unix_stream(descriptor socket) : kernel_stream(std::move(socket)) {}

    /// Connects. Completes at once, or when the listener's backlog has room. Errors: ENOENT (no such path), ECONNREFUSED
    /// (nobody listens there), EACCES, operation_canceled.
    [[nodiscard]] static task<result<unix_stream>> connect(unix_address peer);

    /// Makes two that are connected. One system call.
    [[nodiscard]] static result<std::pair<unix_stream, unix_stream>> pair();

    /// Sends bytes, at least one, and with them duplicates of descriptors, 16 at most; those stay the caller's. Completes
    /// when the kernel has taken all or a part of the bytes; n tells. The descriptors go with the first of them. Not while
    /// another coroutine writes. Errors: as write(); argument_list_too_long (std::errc: too many descriptors);
    /// invalid_argument (std::errc: descriptors without a byte).
    [[nodiscard]] send_awaiter send_with(std::span<const std::byte> from, std::span<const int> descriptors) noexcept;

    /// Completes with bytes that have arrived; the descriptors that came with them are put at the end of `descriptors`,
    /// close-on-exec. Not while another coroutine reads, and not after read_borrowed(). What comes by read() has its
    /// descriptors closed. Errors: as read(); no_buffer_space (std::errc: more than 16 descriptors came at once: the kernel
    /// has closed the rest).
    [[nodiscard]] recv_awaiter recv_with(std::span<std::byte> into, std::vector<descriptor>& descriptors) noexcept;
};

class [[nodiscard]] unix_stream::send_awaiter final : private detail::message_transfer {
public:
    /// `ended`: the direction has been ended here.
    send_awaiter(int fd, std::span<const std::byte> from, std::span<const int> descriptors, bool ended) noexcept
        : message_transfer(fd, from, descriptors, nullptr), ended_here_(ended) {
        // The kernel would take nothing, and leave the descriptors out without a word.
        if (from.empty() && !descriptors.empty()) { refuse(std::make_error_code(std::errc::invalid_argument)); }
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { send(); });
    }

    io_result await_resume() noexcept {
        const std::error_code ended = finish();
        const bool broken_there = ended == std::errc::broken_pipe && !ended_here_;  // see kernel_stream::write()
        return {broken_there ? std::make_error_code(std::errc::connection_reset) : ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_stream::send_with"; }

    const bool ended_here_;
};

class [[nodiscard]] unix_stream::recv_awaiter final : private detail::message_transfer {
public:
    recv_awaiter(int fd, std::span<std::byte> into, std::vector<descriptor>& descriptors) noexcept
        : message_transfer(fd, into, &descriptors) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { receive(0); });
    }

    io_result await_resume() noexcept {
        const std::error_code ended = end_receive(true);
        return {ended, n()};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "unix_stream::recv_with"; }
};

inline unix_stream::send_awaiter unix_stream::send_with(std::span<const std::byte> from,
                                                        std::span<const int> descriptors) noexcept {
    return {fd(), from, descriptors, has_ended_write()};
}
inline unix_stream::recv_awaiter unix_stream::recv_with(std::span<std::byte> into,
                                                        std::vector<descriptor>& descriptors) noexcept {
    return {fd(), into, descriptors};
}

}  // namespace fluxnet
