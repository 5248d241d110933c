// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_raw.hpp"

#include "fluxnet/runtime/packets/detail/receive_service.hpp"

#include <cassert>
#include <utility>

namespace fluxnet {
namespace detail {

/// What the executor and the link monitor hold of a handle.
class raw_service final : public receive_service {
public:
    raw_service(executor& on, raw_socket socket)
        : receive_service(on, socket.interface(), socket.link_announced(), socket.redirect().get()),
          socket_(std::move(socket)) {}

    ~raw_service() {
        close();
        end_run();
    }

    /// Tells whether a receive can complete now. Without `room` it need not wait, but draws on the turn's budget.
    [[nodiscard]] bool ready(bool room) noexcept {
        if (!vacant()) { return false; }
        if (failure_) [[unlikely]] { return draw_here(); }
        if (inside(*executor_).has_packet_budget() && available() != 0) [[likely]] { return true; }
        return !room && draw_here();
    }

    io_result take(std::span<xdp_desc> into) noexcept {
        if (failure_) { return {failure_, 0}; }
        auto claim = socket_.rx.consume(static_cast<std::uint32_t>(into.size()));
        const std::uint32_t count = claim.size();
        for (xdp_desc& desc : into.first(count)) { desc = claim.next(); }
        inside(*executor_).spend_packet_budget(count);
        if (count != 0) [[likely]] { return {no_error, count}; }
        if (into.empty()) { inside(*executor_).spend_packet_budget(1); }  // else a loop of these would hold the thread
        return {failure_, 0};
    }

    [[nodiscard]] raw_socket& socket() noexcept { return socket_; }

private:
    [[nodiscard]] std::uint32_t available() noexcept {
        const std::uint32_t count = socket_.rx.available();
        if (socket_.rx.corrupt()) [[unlikely]] { fail(errc::ring_corruption); }
        return count;
    }

    void end_turn() noexcept override { serve(); }
    void last_look() noexcept override { serve(); }  // what others have sent here, on a simulated wire

    void before_sleep() noexcept override {
        // The poll would wake the kernel, but it may be armed from an earlier sleep.
        if (!failure_ && socket_.needs_wakeup_rx() && socket_.fill.pending() != 0 &&
            socket_.wakeup_rx() == errc::interface_gone) {
            fail(errc::interface_gone);
            serve();
        }
        if (pending()) {
            watch(socket_, [this] { return available(); });
        }
    }

    void end_run() noexcept override { disarm(); }

    void serve() noexcept override {
        if (pending() && (available() != 0 || failure_)) { finish(); }
    }

    void fail(errc why) noexcept override {
        if (!failure_) { failure_ = why; }
    }

    void take_socket_error() noexcept override { socket_.core()->calls.take_socket_error(socket_.fd()); }

    raw_socket socket_;
    std::error_code failure_;  // the first one stays
};

}  // namespace detail

async_raw::async_raw(executor& on, raw_socket socket)
    : service_(std::make_unique<detail::raw_service>(on, std::move(socket))) {}
async_raw::async_raw(async_raw&&) noexcept = default;
async_raw& async_raw::operator=(async_raw&&) noexcept = default;
async_raw::~async_raw() = default;

async_raw::recv_awaiter async_raw::recv_batch(std::span<xdp_desc> into) noexcept {
    return {service_.get(), into};
}

move_awaiter async_raw::move_to(executor& target) noexcept {
    return {service_.get(), target};
}

raw_socket& async_raw::socket() noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

const raw_socket& async_raw::socket() const noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

std::uint64_t async_raw::wakeups() const noexcept {
    return service_ == nullptr ? 0 : service_->wakeups();
}

async_raw::recv_awaiter::recv_awaiter(detail::raw_service* service, std::span<xdp_desc> into) noexcept
    : receive_operation(service), into_(into) {}

bool async_raw::recv_awaiter::await_ready() noexcept {
    if (!has_service()) [[unlikely]] { return true; }
    return static_cast<detail::raw_service&>(service()).ready(!into_.empty());
}

io_result async_raw::recv_awaiter::await_resume() noexcept {
    const std::error_code why = end_wait();
    if (why) { return {why, 0}; }
    return static_cast<detail::raw_service&>(service()).take(into_);
}

}  // namespace fluxnet
