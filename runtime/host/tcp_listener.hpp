// SPDX-License-Identifier: BSD-3-Clause
// `tcp_listener`: where peers connect to a host in user space: a `listener` (fluxnet/runtime/core/stream.hpp).
//
//     host::tcp_listener door = here.listen({proto::ipv6_address(), 80}).value();  // of both versions
//     result<host::tcp_stream> peer = co_await door.accept();
//
// Made by ip_host::listen(). A move-only handle; destroying it frees the port and resets the connections that were not
// accepted. While tcp_options::backlog connections wait, as many handshakes more may begin, whose peers take themselves for
// connected; their last step is ignored until there is room, and what would add one more is dropped without an answer, so that
// the peer tries again. A flood of handshakes is met by cookies (RFC 4987). It may outlive the host, whose end it is told with
// `closed`, and not the executor. Threads: that of the host's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/host/detail/tcp_end.hpp"
#include "fluxnet/runtime/host/tcp_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <memory>
#include <system_error>
#include <utility>

namespace fluxnet::host {

class FLUXNET_EXPORT tcp_listener {
public:
    class [[nodiscard]] accept_awaiter;

    /// See ip_host::listen(), which makes it.
    explicit tcp_listener(std::unique_ptr<detail::tcp_door> door) noexcept : door_(std::move(door)) {}

    /// Completes with the next connection, in the order in which their handshakes ended. One coroutine accepts at a time.
    /// Allocates. Errors: operation_canceled, and then every connection waits still; handle_in_use; wrong_executor; closed,
    /// for a handle that was moved from or is destroyed meanwhile, and when the host has gone; how the host has ended.
    [[nodiscard]] accept_awaiter accept() noexcept;

    /// 0.0.0.0:0 of a handle that was moved from.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return door_ == nullptr ? proto::ip_endpoint() : door_->local();
    }

private:
    std::unique_ptr<detail::tcp_door> door_;
};

class [[nodiscard]] tcp_listener::accept_awaiter final : private fluxnet::detail::placed_operation {
public:
    explicit accept_awaiter(detail::tcp_door* door) noexcept : door_(door) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    result<tcp_stream> await_resume();

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::tcp_listener::accept"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || door_->has_waiting() || door_->ended(); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }

    detail::tcp_door* const door_;        // valid until the place is lost
    std::error_code refusal_ = no_error;  // why it has not begun
};

inline tcp_listener::accept_awaiter tcp_listener::accept() noexcept {
    return accept_awaiter(door_.get());
}

}  // namespace fluxnet::host
