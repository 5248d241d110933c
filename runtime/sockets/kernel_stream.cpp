// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/kernel_stream.hpp"

#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include <sys/socket.h>

namespace fluxnet {

kernel_stream::shutdown_awaiter kernel_stream::shutdown_write() noexcept {
    if (state_ == nullptr) { return shutdown_awaiter(errc::closed); }
    const bool done = ::shutdown(state_->fd(), SHUT_WR) == 0;
    state_->write_ended = state_->write_ended || done;
    return shutdown_awaiter(done ? no_error : std::error_code(errno, std::system_category()));
}

descriptor kernel_stream::release() noexcept {
    if (state_ == nullptr) { return {}; }
    descriptor socket = state_->release();
    state_.reset();
    return socket;
}

bool kernel_stream::read_awaiter::await_ready() noexcept {
    if (const std::error_code why = detail::why_not_read(state_)) {
        refuse(why);
        return true;
    }
    if (into_.empty()) { return detail::draw_here(); }
    return state_->pieces && state_->pieces->ready() && detail::draw_here();
}

void kernel_stream::read_awaiter::start() {
    if (into_.empty()) {
        complete(no_error);
        return;
    }
    state_->reader = this;
    if (state_->pieces == nullptr) {
        submit(io_request::receive(state_->fd(), into_));
    } else if (state_->pieces->ready()) {
        complete(no_error);
    } else {
        state_->pieces->wait(*this);
    }
}

void kernel_stream::read_awaiter::leave() noexcept {
    if (state_ == nullptr || state_->reader != this) { return; }
    state_->reader = nullptr;
    if (state_->pieces) { state_->pieces->forget_waiter(); }
}

void kernel_stream::read_awaiter::on_result(int result, unsigned) noexcept {
    if (result > 0) {
        n_ = static_cast<std::size_t>(result);
        complete(no_error);
    } else if (lost_) {
        complete(errc::closed);
    } else {
        complete(result == 0 ? make_error_code(errc::end_of_stream) : detail::failure_of(result));
    }
}

bool kernel_stream::read_awaiter::on_no_buffer() noexcept {
    try {
        submit(io_request::receive(state_->fd(), into_));
    } catch (const std::bad_alloc&) { complete(errc::out_of_memory); }
    return true;
}

void kernel_stream::read_awaiter::lose_socket() noexcept {
    state_ = nullptr;
    lost_ = true;
    if (io_operation::pending()) {
        withdraw();
    } else {
        complete(errc::closed);
    }
}

void kernel_stream::read_awaiter::cancel() noexcept {
    if (io_operation::pending()) {
        withdraw();
    } else {
        // Before the coroutine goes on, the receiver could find no buffer and have the await receive for itself, into memory
        // that nobody reads any more.
        if (state_ != nullptr && state_->pieces) { state_->pieces->forget_waiter(); }
        complete(errc::operation_canceled);
    }
}

io_result kernel_stream::read_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    const bool from_pieces = state_ != nullptr && state_->pieces && !into_.empty();
    leave();
    if (lost_ && n_ == 0) { return {errc::closed, 0}; }
    if (ended || !from_pieces || n_ != 0) { return {ended, n_}; }
    n_ = state_->pieces->copy(into_);
    return {n_ != 0 ? no_error : state_->pieces->why(), n_};
}

/// A send that the kernel carries out while the coroutine waits.
class kernel_stream::write_awaiter::request final : public io_operation, public detail::cached_frame {
public:
    explicit request(write_awaiter& of) noexcept : of_(of) {}
    void on_result(int result, unsigned) noexcept override { of_.on_result(result); }

private:
    write_awaiter& of_;
};

/// Tries to send without waiting; the budget of the turn keeps a coroutine that only sends from holding the thread.
bool kernel_stream::write_awaiter::send_at_once(executor& on) noexcept {
    if (from_.empty()) { return false; }
    detail::scheduler& here = detail::inside(on);
    // A coroutine that nobody else runs beside sends by itself; otherwise its request goes with the others' of this turn.
    const std::optional<int> sent = here.reactor().try_now(io_request::send(state_->fd(), from_), !here.has_ready());
    if (!sent) { return false; }
    if (*sent < 0) {
        refuse(failure_of(*sent));
        return true;
    }
    n_ = static_cast<std::size_t>(*sent);
    return n_ == from_.size() && here.draw_call();
}

void kernel_stream::write_awaiter::start() {
    if (n_ == from_.size()) {
        complete(no_error);
        return;
    }
    state_->writer = this;
    send_rest();
}

void kernel_stream::write_awaiter::drop_request() noexcept {
    if (request_->pending()) { detail::inside(home_executor()).reactor().cancel_now(*request_); }
    delete std::exchange(request_, nullptr);
}

void kernel_stream::write_awaiter::withdraw() noexcept {
    if (request_ != nullptr) { detail::inside(home_executor()).reactor().cancel(*request_); }
}

void kernel_stream::write_awaiter::send_rest() noexcept try {
    const io_request send = io_request::send(state_->fd(), from_.subspan(n_));
    if (request_ == nullptr) { request_ = new request(*this); }
    detail::inside(home_executor()).reactor().submit(*request_, send);
} catch (const std::bad_alloc&) { complete(errc::out_of_memory); }

void kernel_stream::write_awaiter::on_result(int result) noexcept {
    if (result < 0) {
        complete(failure_of(result));
        return;
    }
    n_ += static_cast<std::size_t>(result);
    if (n_ == from_.size()) {
        complete(no_error);
    } else if (lost_ || stopping_) {
        complete(lost_ ? errc::closed : errc::operation_canceled);
    } else {
        send_rest();
    }
}

std::error_code kernel_stream::write_awaiter::failure_of(int result) const noexcept {
    if (lost_) { return errc::closed; }
    // See write(): what the kernel has told once is EPIPE afterwards.
    const bool broken_there = result == -EPIPE && !state_->write_ended;
    return detail::failure_of(broken_there ? -ECONNRESET : result);
}

void kernel_stream::write_awaiter::lose_socket() noexcept {
    state_ = nullptr;
    lost_ = true;
    withdraw();
}

void kernel_stream::write_awaiter::cancel() noexcept {
    stopping_ = true;
    withdraw();
}

void kernel_stream::borrow_awaiter::lose_socket() noexcept {
    state_ = nullptr;
    complete(errc::closed);
}

borrowed_result<received_buffer> kernel_stream::borrow_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    leave();
    if (state_ == nullptr) { return {errc::closed, {}}; }
    if (ended) { return {ended, {}}; }
    borrowed_result<received_buffer> lent{no_error, state_->pieces->take()};
    if (!lent.buffer) { lent.ec = state_->pieces->why(); }
    return lent;
}

}  // namespace fluxnet
