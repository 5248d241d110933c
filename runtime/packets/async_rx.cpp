// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_rx.hpp"

#include "fluxnet/runtime/packets/detail/receive_service.hpp"

#include <cassert>
#include <utility>

namespace fluxnet {
namespace detail {

/// What the executor and the link monitor hold of a handle.
class rx_service final : public receive_service {
public:
    rx_service(executor& on, rx socket)
        : receive_service(on, socket.interface(), socket.link_announced(), socket.redirect().get()), rx_(std::move(socket)) {
        rx_service::after_arriving();
    }

    ~rx_service() {
        close();
        end_run();
        rx_.home().set_waker({});
    }

    /// Tells whether a receive can complete now. Without `room` it need not wait, but draws on the turn's budget.
    [[nodiscard]] bool ready(bool room) noexcept {
        if (!vacant()) { return false; }
        if (rx_.failure()) [[unlikely]] { return draw_here(); }
        if (inside(*executor_).has_packet_budget() && rx_.available() != 0) [[likely]] { return true; }
        return !room && draw_here();
    }

    io_result take(std::span<packet> into) noexcept {
        const std::uint32_t count = rx_.try_recv(into);
        if (count != into.size()) { rx_.recycle(into.subspan(count)); }
        inside(*executor_).spend_packet_budget(count);
        if (count != 0) [[likely]] { return {no_error, count}; }
        if (into.empty()) { inside(*executor_).spend_packet_budget(1); }  // else a loop of these would hold the thread
        return {executor::current() == executor_ ? rx_.failure() : make_error_code(errc::wrong_executor), 0};
    }

    void listen(bool wanted) noexcept { listening_ = wanted; }

    [[nodiscard]] rx& socket() noexcept { return rx_; }

private:
    void end_turn() noexcept override {
        rx_.refill();
        serve();
        if (pending()) { static_cast<async_rx::recv_awaiter&>(*waiter()).drop_held(rx_); }
    }

    void last_look() noexcept override {
        rx_.refill();  // what sending halves have just returned
        serve();       // and what they have sent here, on a simulated wire
    }

    void before_sleep() noexcept override {
        if (!rx_.home().adopt()) { return; }
        while (rx_.low_on_frames() && !rx_.home().publish_hungry()) { rx_.refill(); }
        rx_.wake_if_needed();
        if (rx_.failure()) { serve(); }  // the refill has found out, and no poll tells
        if (pending() || listening_) {
            watch(rx_, [this] { return rx_.available(); });
        }
    }

    void after_sleep() noexcept override {
        if (rx_.home().adopt()) { rx_.home().withdraw_hungry(); }
        receive_service::after_sleep();
    }

    // The poll stays armed, and hunger published: both may have to end a sleep that begins now.
    void leave_thread() noexcept override { rx_.home().release_hungry(); }

    void end_run() noexcept override {
        disarm();
        if (rx_.home().adopt()) { rx_.home().withdraw_hungry(); }
        rx_.home().settle();
        rx_.release();
    }

    void after_leaving() noexcept override {
        rx_.home().set_waker({});
        receive_service::after_leaving();
    }
    void after_arriving() noexcept override {
        rx_.home().set_waker(waker());
        receive_service::after_arriving();
    }

    void serve() noexcept override {
        if (pending() && (rx_.available() != 0 || rx_.failure())) { finish(); }
    }

    void fail(errc why) noexcept override { rx_.fail(why); }
    void take_socket_error() noexcept override { rx_.take_socket_error(); }

    rx rx_;
    bool listening_ = false;
};

}  // namespace detail

async_rx::async_rx(executor& on, rx socket) : service_(std::make_unique<detail::rx_service>(on, std::move(socket))) {}
async_rx::async_rx(async_rx&&) noexcept = default;
async_rx& async_rx::operator=(async_rx&&) noexcept = default;
async_rx::~async_rx() = default;

async_rx::recv_awaiter async_rx::recv(std::span<packet> into) noexcept {
    return {service_.get(), into, !into.empty()};
}

async_rx::recv_awaiter async_rx::wait() noexcept {
    return {service_.get(), {}, true};
}

rx& async_rx::socket() noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

const rx& async_rx::socket() const noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

move_awaiter async_rx::move_to(executor& target) noexcept {
    return {service_.get(), target};
}

void async_rx::listen(bool wanted) noexcept {
    if (service_ != nullptr) { service_->listen(wanted); }
}

std::uint64_t async_rx::wakeups() const noexcept {
    return service_ == nullptr ? 0 : service_->wakeups();
}

async_rx::recv_awaiter::recv_awaiter(detail::rx_service* service, std::span<packet> into, bool waits) noexcept
    : receive_operation(service), into_(into), waits_(waits) {}

bool async_rx::recv_awaiter::await_ready() noexcept {
    if (!has_service()) [[unlikely]] { return true; }
    return static_cast<detail::rx_service&>(service()).ready(waits_);
}

void async_rx::recv_awaiter::drop_held(rx& socket) noexcept {
    if (std::exchange(holds_, false)) { socket.recycle(into_); }
}

io_result async_rx::recv_awaiter::await_resume() noexcept {
    const std::error_code why = end_wait();
    if (!why) { return static_cast<detail::rx_service&>(service()).take(into_); }
    reset(into_);
    return {why, 0};
}

}  // namespace fluxnet
