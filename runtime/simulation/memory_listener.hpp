// SPDX-License-Identifier: BSD-3-Clause
// `memory_listener`: where connections of a `memory_network` arrive: a `listener` (fluxnet/runtime/core/stream.hpp).
//
//     memory_listener door = net.listen(endpoint).value();
//     result<memory_stream> peer = co_await door.accept();
//
// Made by memory_network::listen(). A move-only handle; destroying it frees the endpoint and resets the connections that
// were not accepted. It may outlive the network, not the executor. Threads: that of the network's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/simulation/detail/memory_door.hpp"
#include "fluxnet/runtime/simulation/memory_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <memory>
#include <system_error>
#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT memory_listener {
public:
    class [[nodiscard]] accept_awaiter;

    /// See memory_network::listen(), which makes it.
    explicit memory_listener(std::unique_ptr<detail::memory_door> door) noexcept : door_(std::move(door)) {}

    /// Completes with the next connection. One coroutine accepts at a time. Errors: operation_canceled, and then every
    /// connection waits still; handle_in_use; closed, for a handle that was moved away or is destroyed meanwhile;
    /// wrong_executor.
    [[nodiscard]] accept_awaiter accept() noexcept;

    /// 0.0.0.0:0 of a handle that was moved away.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return door_ == nullptr ? proto::ip_endpoint() : door_->endpoint();
    }

private:
    std::unique_ptr<detail::memory_door> door_;
};

class [[nodiscard]] memory_listener::accept_awaiter final : private detail::placed_operation {
public:
    explicit accept_awaiter(detail::memory_door* door) noexcept : door_(door) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    result<memory_stream> await_resume();

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_listener::accept"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || door_->has_waiting(); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }

    detail::memory_door* const door_;     // valid until the place is lost
    std::error_code refusal_ = no_error;  // why it has not begun
};

inline memory_listener::accept_awaiter memory_listener::accept() noexcept {
    return accept_awaiter(door_.get());
}

}  // namespace fluxnet
