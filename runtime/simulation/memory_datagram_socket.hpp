// SPDX-License-Identifier: BSD-3-Clause
// `memory_datagram_socket`: a `datagram_socket` (fluxnet/runtime/core/stream.hpp) inside the process, for tests.
//
//     memory_datagram_socket socket = net.bind(endpoint).value();
//     const datagram_result got = co_await socket.recv_from(bytes);
//     const io_result sent = co_await socket.send_to(answer, got.from);
//
// Made by memory_network::bind(). A move-only handle; destroying it frees the endpoint and drops what was not received. It
// may outlive the network, not the executor. Datagrams are lost, doubled, delayed and put out of order as memory_options
// say; nobody is told of one that is dropped, but memory_network::counts(). Nothing is allocated for a datagram, once the
// network has had as many of that size at a time. Threads: that of the network's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/simulation/detail/memory_mailbox.hpp"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT memory_datagram_socket {
public:
    class [[nodiscard]] recv_awaiter;
    class [[nodiscard]] send_awaiter;

    /// See memory_network::bind(), which makes it.
    explicit memory_datagram_socket(std::unique_ptr<detail::memory_mailbox> box) noexcept : box_(std::move(box)) {}

    /// Completes with the next datagram; of one that is larger than the span the rest is gone, and message_size says so.
    /// An empty span completes at once, and takes none. Errors: operation_canceled, which has taken none; handle_in_use;
    /// closed, for a handle that was moved away or is destroyed meanwhile; wrong_executor.
    [[nodiscard]] recv_awaiter recv_from(std::span<std::byte> into) noexcept;

    /// Sends now, unless its task was asked to stop before; completes in the next turn. Errors: message_size;
    /// operation_canceled, when it was not sent; closed, for a handle that was moved away; wrong_executor.
    [[nodiscard]] send_awaiter send_to(std::span<const std::byte> from, const proto::ip_endpoint& to) noexcept;

    /// 0.0.0.0:0 of a handle that was moved away.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return box_ == nullptr ? proto::ip_endpoint() : box_->endpoint();
    }

private:
    std::unique_ptr<detail::memory_mailbox> box_;
};

class [[nodiscard]] memory_datagram_socket::recv_awaiter final : private detail::placed_operation {
public:
    recv_awaiter(detail::memory_mailbox* box, std::span<std::byte> into) noexcept : box_(box), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    datagram_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_datagram_socket::recv_from"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || into_.empty() || box_->has_datagram(); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }

    detail::memory_mailbox* const box_;  // valid until the place is lost
    std::span<std::byte> into_;
    std::error_code refusal_ = no_error;  // why it has not begun
};

class [[nodiscard]] memory_datagram_socket::send_awaiter final : private detail::operation {
public:
    send_awaiter(detail::memory_mailbox* box, std::span<const std::byte> from, const proto::ip_endpoint& to) noexcept
        : box_(box), from_(from), to_(to) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_datagram_socket::send_to"; }
    void start() noexcept;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    detail::memory_mailbox* const box_;
    std::span<const std::byte> from_;
    proto::ip_endpoint to_;
};

inline memory_datagram_socket::recv_awaiter memory_datagram_socket::recv_from(std::span<std::byte> into) noexcept {
    return {box_.get(), into};
}

inline memory_datagram_socket::send_awaiter memory_datagram_socket::send_to(std::span<const std::byte> from,
                                                                            const proto::ip_endpoint& to) noexcept {
    return {box_.get(), from, to};
}

}  // namespace fluxnet
