// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/udp_port.hpp"

#include "fluxnet/proto/detail/address_hash.hpp"
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace fluxnet::host::detail {
namespace {

bool same_place(const proto::ip_endpoint& one, const proto::ip_endpoint& other) noexcept {
    return one.port == other.port && one.address == other.address;  // the scope is that of the host's interface
}

}  // namespace

udp_port::udp_port(boost::intrusive_ptr<host_core> core, const proto::ip_endpoint& local,
                   const udp_endpoint_options& options)
    : core_(std::move(core)), local_(local), options_(options), queue_(std::max<std::size_t>(options.receive_queue, 1)) {
    core_->add(*this);
}

udp_port::~udp_port() {
    core_->remove(*this);
    if (receiver != nullptr) { std::exchange(receiver, nullptr)->abandon(); }
    clear();
}

void udp_port::connect(const proto::ip_endpoint& peer, const proto::ip_address& source) noexcept {
    peer_ = peer;
    if (local_.address.is_unspecified()) { local_.address = source; }
    local_.scope = core_->scope_of(local_.address);
    clear();
    pending_ = {};
}

int udp_port::rank_for(const proto::ip_address& to, const proto::ip_endpoint& from) const noexcept {
    int rank = 0;
    if (local_.address == to) {
        rank = 1;
    } else if (!local_.address.is_unspecified() || (local_.address.is_v4() && to.is_v6())) {
        return -1;
    }
    if (!peer_) { return rank; }
    return same_place(*peer_, from) ? rank + 2 : -1;
}

void udp_port::push(received_datagram arrived) noexcept {
    core_->count_queued(1, static_cast<std::ptrdiff_t>(arrived.copied()));
    queue_[(first_ + count_) % queue_.size()] = std::move(arrived);
    ++count_;
    wake();
}

received_datagram udp_port::pop() noexcept {
    assert(has_datagram());
    received_datagram next = std::move(queue_[first_]);
    first_ = (first_ + 1) % queue_.size();
    --count_;
    core_->count_queued(-1, -static_cast<std::ptrdiff_t>(next.copied()));
    return next;
}

void udp_port::clear() noexcept {
    while (has_datagram()) { static_cast<void>(pop()); }
}

std::uint32_t udp_port::mark_of(const proto::ip_endpoint& to) const noexcept {
    const auto hash = proto::detail::address_hash(core_->key(), to.address) + to.port * 0x9e3779b97f4a7c15U;
    return static_cast<std::uint32_t>(hash ^ hash >> 32) | 1U << 31;  // never 0
}

void udp_port::note_sent(const proto::ip_endpoint& to) noexcept {
    if (same_place(last_, to)) { return; }
    last_ = to;
    const std::uint32_t mark = mark_of(to);
    sent_[mark % sent_.size()] = mark;
}

bool udp_port::has_sent(const proto::ip_endpoint& to) const noexcept {
    const std::uint32_t mark = mark_of(to);
    return sent_[mark % sent_.size()] == mark;
}

void udp_port::tell(const proto::ip_endpoint& about, std::error_code what) noexcept {
    ++trouble_.count;
    trouble_.what = what;
    trouble_.about = {about.address, about.port, core_->scope_of(about.address)};
    if (!peer_) { return; }
    pending_ = what;
    wake();
}

void udp_port::wake() noexcept {
    if (receiver != nullptr) { receiver->look(); }
}

// Receiving

bool udp_receive::begin() noexcept {
    if (port_ == nullptr) {
        refusal_ = errc::closed;
        return true;
    }
    if (executor::current() != &port_->core().loop()) { return false; }
    port_->core().wake();
    if (!room_) { return fluxnet::detail::draw_here(); }
    if (port_->receiver != nullptr) {
        refusal_ = errc::handle_in_use;
        return fluxnet::detail::draw_here();
    }
    port_->receiver = this;
    placed_ = true;
    return is_settled() && fluxnet::detail::draw_here();
}

bool udp_receive::is_settled() const noexcept {
    return refusal_ || !room_ || port_->has_datagram() || port_->has_error() || port_->core().ended();
}

/// An error that ends it is its own from then on: a send that goes on before its coroutine does would have it otherwise, and
/// the receive nothing.
void udp_receive::look() noexcept {
    if (!waiting() || !is_settled()) { return; }
    if (placed_ && !port_->has_datagram()) { told_ = port_->take_error(); }
    complete(no_error);
}

void udp_receive::start() noexcept {
    if (port_ == nullptr || lost_) { return complete(errc::closed); }
    if (&home_executor() != &port_->core().loop()) { refusal_ = errc::wrong_executor; }
    look();
}

std::error_code udp_receive::end_wait() noexcept {
    std::error_code ended = finish();
    if (lost_) { return errc::closed; }
    const bool was_placed = placed_;
    leave();
    if (refusal_) { return refusal_; }
    if (told_) { return told_; }
    if (ended || !was_placed) { return ended; }
    if (port_->has_datagram()) { return no_error; }
    if (const std::error_code told = port_->take_error()) { return told; }
    return port_->core().ended();
}

void udp_receive::leave() noexcept {
    if (!std::exchange(placed_, false) || port_ == nullptr) { return; }
    if (port_->receiver == this) { port_->receiver = nullptr; }
}

// Sending

bool udp_send::begin() noexcept {
    if (port_ == nullptr) {
        failure_ = errc::closed;
        return true;
    }
    if (executor::current() != &port_->core().loop()) { return false; }
    port_->core().wake();
    over_ = port_->core().begin(*this);
    return over_ && fluxnet::detail::draw_here();
}

void udp_send::start() noexcept {
    if (over_ || port_ == nullptr) {
        complete(no_error);
    } else if (&home_executor() != &port_->core().loop()) {
        complete(errc::wrong_executor);
    } else {
        port_->core().wait(*this);
    }
}

void udp_send::cancel() noexcept {
    if (send_line_hook::is_linked()) { send_line_hook::unlink(); }
    complete(errc::operation_canceled);
}

io_result udp_send::end_send() noexcept {
    std::error_code ended = finish();
    if (send_line_hook::is_linked()) { send_line_hook::unlink(); }
    if (failure_) { ended = failure_; }
    return {ended, ended ? 0 : from_.size()};
}

}  // namespace fluxnet::host::detail
