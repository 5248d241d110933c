// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/async_rx.hpp"

#include "runtime/detail/link_monitor.hpp"
#include "runtime/reactor.hpp"

#include <cassert>
#include <utility>

#include <poll.h>

namespace fluxnet {
namespace detail {

/// What the executor and the link monitor hold of a handle; address-stable while the handle moves.
class rx_service final : private turn_handler, private poll_operation, private link_listener {
public:
    rx_service(executor& on, rx socket)
        : executor_(on), links_(socket.interface().simulated ? nullptr : &on.links()), rx_(std::move(socket)) {
        rx_.home().set_waker({&wake_executor, &executor_});
        interface_index = rx_.interface().index;
        program_id = rx_.redirect() != nullptr ? rx_.redirect()->id() : 0;
        if (links_ != nullptr) { links_->add(*this); }
        executor_.add_handler(*this);
    }

    ~rx_service() {
        if (waiter_ != nullptr) { std::exchange(waiter_, nullptr)->lose_handle(); }
        end_run();
        rx_.home().set_waker({});
    }

    /// Tells whether a receive can complete now.
    [[nodiscard]] bool ready() noexcept {
        if (waiter_ != nullptr) { return false; }
        return rx_.failure() || (executor_.has_packet_budget() && rx_.available() != 0);
    }

    void wait(async_rx::recv_awaiter& waiter) noexcept {
        assert(waiter_ == nullptr && "two coroutines await one async_rx");
        waiter_ = &waiter;  // out of budget, not out of packets: end_turn() makes it ready for the next turn
    }

    void forget(async_rx::recv_awaiter& waiter) noexcept {
        if (waiter_ == &waiter) { waiter_ = nullptr; }
    }

    /// The waiter stays ours until it resumes or is destroyed, because it takes its packets from us then.
    void finish(std::error_code outcome) noexcept {
        if (waiter_ != nullptr) { waiter_->complete(outcome); }
    }

    io_result take(std::span<packet> into) noexcept {
        const std::uint32_t count = rx_.try_recv(into);
        if (count != into.size()) { rx_.recycle(into.subspan(count)); }
        executor_.spend_packet_budget(count);
        const std::error_code failure = rx_.failure();
        return {failure && count != 0 ? std::error_code() : failure, count};
    }

    void listen(bool wanted) noexcept { listening_ = wanted; }

    [[nodiscard]] rx& socket() noexcept { return rx_; }
    [[nodiscard]] std::uint64_t wakeups() const noexcept { return wakeups_; }

private:
    [[nodiscard]] bool pending() const noexcept { return waiter_ != nullptr && waiter_->waiting(); }

    static void wake_executor(void* context) noexcept { static_cast<executor*>(context)->wake(); }

    void end_turn() noexcept override {
        rx_.refill();
        serve();
        if (pending()) { waiter_->drop_held(rx_); }
    }

    void last_look() noexcept override {
        rx_.refill();  // what sending halves have just returned
        serve();       // and what they have sent here, on a simulated wire
    }

    void before_sleep() noexcept override {
        while (rx_.low_on_frames() && !rx_.home().publish_hungry()) { rx_.refill(); }
        if ((pending() || listening_) && !armed()) {
            rx_.prepare_wait();
            executor_.reactor().arm(*this, rx_.fd(), POLLIN);
        }
    }

    void after_sleep() noexcept override { rx_.home().withdraw_hungry(); }

    void end_run() noexcept override {
        if (armed()) { executor_.reactor().disarm_now(*this); }
        rx_.home().withdraw_hungry();
        rx_.home().settle();
        rx_.release();
    }

    void on_ready(int result) noexcept override {
        ++wakeups_;
        // An error on the socket: the interface may be gone, or only down. The monitor finds out.
        if (result < 0 || (static_cast<unsigned>(result) & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
            rx_.take_socket_error();
            if (links_ != nullptr) { links_->query(interface_index); }
        }
        serve();
    }

    void on_interface_gone() noexcept override { lose(errc::interface_gone); }
    void on_program_lost() noexcept override { lose(errc::program_detached); }
    void on_link(bool) noexcept override {}

    void lose(errc why) noexcept {
        rx_.fail(why);
        finish({});
    }

    void serve() noexcept {
        if (pending() && (rx_.available() != 0 || rx_.failure())) { finish({}); }
    }

    executor& executor_;
    link_monitor* links_;  // null for a simulated interface, which nobody tells of
    rx rx_;
    async_rx::recv_awaiter* waiter_ = nullptr;  // from its suspension until it resumes, is cancelled or is destroyed
    std::uint64_t wakeups_ = 0;
    bool listening_ = false;
};

}  // namespace detail

async_rx::async_rx(executor& on, rx socket) : service_(std::make_unique<detail::rx_service>(on, std::move(socket))) {}
async_rx::async_rx(async_rx&&) noexcept = default;
async_rx& async_rx::operator=(async_rx&&) noexcept = default;
async_rx::~async_rx() = default;

async_rx::recv_awaiter async_rx::recv(std::span<packet> into) noexcept {
    return {*service_, into};
}

rx& async_rx::socket() noexcept {
    return service_->socket();
}

const rx& async_rx::socket() const noexcept {
    return service_->socket();
}

void async_rx::listen(bool wanted) noexcept {
    service_->listen(wanted);
}

std::uint64_t async_rx::wakeups() const noexcept {
    return service_->wakeups();
}

async_rx::recv_awaiter::~recv_awaiter() {
    if (service_ != nullptr) { service_->forget(*this); }
}

bool async_rx::recv_awaiter::await_ready() noexcept {
    assert(!into_.empty() && "recv() needs room for a packet");
    return service_->ready();
}

void async_rx::recv_awaiter::drop_held(rx& socket) noexcept {
    if (std::exchange(holds_, false)) { socket.recycle(into_); }
}

void async_rx::recv_awaiter::wait() noexcept {
    service_->wait(*this);
}

// Lets go of the handle at once: somebody else may wait before this coroutine resumes.
void async_rx::recv_awaiter::cancel() noexcept {
    if (!waiting()) { return; }
    std::exchange(service_, nullptr)->forget(*this);
    complete(errc::operation_canceled);
}

void async_rx::recv_awaiter::lose_handle() noexcept {
    service_ = nullptr;
    complete(errc::closed);
}

io_result async_rx::recv_awaiter::await_resume() noexcept {
    const std::error_code why = finish();
    if (service_ != nullptr) { service_->forget(*this); }
    if (service_ != nullptr && !why) { return service_->take(into_); }
    reset(into_);
    return {why ? why : make_error_code(errc::closed), 0};
}

}  // namespace fluxnet
