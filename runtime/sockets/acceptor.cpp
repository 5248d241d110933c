// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/acceptor.hpp"

#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/runtime/sockets/detail/socket.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

namespace fluxnet::detail {
namespace {

/// Tells whether the system is short of something that comes back. Source: accept(2).
bool is_shortage(int number) noexcept {
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

/// Tells whether an error is that of one connection, and the next may be sound. Source: accept(2), "Error handling".
bool is_of_one_connection(int number) noexcept {
    switch (number) {
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case EPERM: return true;  // a firewall forbids it
        default: return false;
    }
}

}  // namespace

void acceptor::end(std::unique_ptr<acceptor> gone) noexcept {
    if (accept_operation* const waiter = std::exchange(gone->waiter_, nullptr)) {
        waiter->acceptor_ = nullptr;
        waiter->complete(errc::closed);
    }
    gone->clear_timer();
    gone->taken_.clear();
    if (!gone->pending()) { return; }
    reactor& backend = inside(*gone->home_).reactor();
    backend.cancel(*gone);
    gone->socket_.reset();
    backend.adopt(std::move(gone));
}

void acceptor::begin() {
    pausing_ = false;
    inside(*home_).reactor().submit(*this, io_request::accept_many(fd()));
}

void acceptor::keep(descriptor connection) noexcept try {
    taken_.push_back(std::move(connection));
} catch (const std::bad_alloc&) { failure_ = errc::out_of_memory; }

void acceptor::note_failure(int result) noexcept {
    if (result == -ECANCELED && pausing_) { return; }
    if (is_shortage(-result)) {
        if (!std::exchange(told_, true)) { failure_ = failure_of(result); }
        inside(*home_).add_timer(*this, home_->now() + pauses_.next());
    } else if (!is_of_one_connection(-result)) {
        failure_ = failure_of(result);
    }
}

void acceptor::on_result(int result, unsigned flags) noexcept {
    if (result >= 0) {  // the lowest number that was free
        result = above_streams(result);
        if (result < 0) { result = -errno; }
    }
    if (result >= 0) {
        keep(descriptor(result));
        told_ = false;
        pauses_.restart();
        if (pending() && !pausing_ && taken_.size() >= most_ahead) {
            pausing_ = true;
            inside(*home_).reactor().cancel(*this);
        }
    } else {
        note_failure(result);
    }
    if (waiter_ == nullptr) { return; }
    if (has_news()) {
        waiter_->complete(no_error);
    } else if ((flags & io_more) == 0 && !timer_node::is_linked()) {
        on_time();
    }
}

void acceptor::on_time() noexcept try {
    if (!pending()) { begin(); }
} catch (const std::bad_alloc&) {
    failure_ = errc::out_of_memory;
    if (waiter_ != nullptr) { waiter_->complete(no_error); }
}

bool accept_operation::ready() noexcept {
    if (acceptor_ == nullptr) {
        refused_ = errc::closed;
    } else if (acceptor_->waiter_ != nullptr) {
        refused_ = errc::handle_in_use;
    } else if (acceptor_->home_ != nullptr && acceptor_->home_ != executor::current()) {
        refused_ = errc::wrong_executor;
    }
    return refused_ || (acceptor_->has_news() && draw_here());
}

void accept_operation::start() {
    acceptor& from = *acceptor_;
    from.home_ = &home_executor();
    from.waiter_ = this;
    if (from.has_news()) {
        complete(no_error);
    } else if (!from.pending() && !from.timer_node::is_linked()) {
        from.begin();
    }
}

void accept_operation::leave() noexcept {
    if (acceptor_ != nullptr && acceptor_->waiter_ == this) { acceptor_->waiter_ = nullptr; }
}

result<descriptor> accept_operation::take() {
    std::error_code ended = refused_ ? refused_ : finish();
    leave();
    if (!ended && acceptor_ == nullptr) { ended = errc::closed; }
    if (!ended && acceptor_->taken_.empty()) { ended = std::exchange(acceptor_->failure_, no_error); }
    if (ended) { return socket_error(ended, "accept a connection"); }
    descriptor connection = std::move(acceptor_->taken_.front());
    acceptor_->taken_.pop_front();
    return connection;
}

}  // namespace fluxnet::detail
