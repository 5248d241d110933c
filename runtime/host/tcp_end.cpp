// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/tcp_end.hpp"

#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <cstdint>
#include <utility>

namespace fluxnet::host {

tcp_buffer::tcp_buffer() noexcept = default;

tcp_buffer::tcp_buffer(boost::intrusive_ptr<detail::host_core> core, detail::lent_octets lent) noexcept
    : core_(std::move(core)), lent_(std::move(lent)) {}

tcp_buffer::tcp_buffer(tcp_buffer&& other) noexcept
    : core_(std::move(other.core_)), lent_(std::exchange(other.lent_, detail::lent_octets())) {}

tcp_buffer& tcp_buffer::operator=(tcp_buffer&& other) noexcept {
    if (this != &other) {
        give_back();
        core_ = std::move(other.core_);
        lent_ = std::exchange(other.lent_, detail::lent_octets());
    }
    return *this;
}

tcp_buffer::~tcp_buffer() {
    give_back();
}

void tcp_buffer::give_back() noexcept {
    lent_.frame.reset();
    if (const auto core = std::exchange(core_, nullptr)) { core->tcp().take_back(lent_); }
}

namespace detail {
namespace {

using proto::tcp::ending;

std::error_code error_of(ending how) noexcept {
    switch (how) {
        case ending::none: return no_error;
        case ending::closed: return errc::closed;
        case ending::reset: return std::make_error_code(std::errc::connection_reset);
        case ending::refused: return std::make_error_code(std::errc::connection_refused);
        case ending::timed_out: return std::make_error_code(std::errc::timed_out);
        case ending::unreachable: return std::make_error_code(std::errc::host_unreachable);
        case ending::aborted: return std::make_error_code(std::errc::connection_aborted);
    }
    return errc::closed;
}

std::error_code check_executor_of(const host_core& core) noexcept {
    const executor* const here = executor::current();
    return here == nullptr || here == &core.loop() ? no_error : make_error_code(errc::wrong_executor);
}

}  // namespace

// tcp_end

tcp_end::tcp_end(boost::intrusive_ptr<host_core> core) noexcept : core_(std::move(core)) {
    core_->tcp().add(*this);
}

tcp_end::~tcp_end() {
    unlink();  // before the core may go
    for (auto** const place : {&opener, &reader, &writer}) {
        if (*place != nullptr) { std::exchange(*place, nullptr)->abandon(); }
    }
    if (auto* const stack = core_->tcp().stack()) {
        using proto::tcp::leaving;
        stack->release(which_, connected_ ? leaving::in_order : leaving::at_once, core_->tcp().now());
        core_->tcp().touch();
    }
}

void tcp_end::adopt(proto::tcp::connection_handle which, const tcp_options& options) noexcept {
    host_tcp& tcp = core_->tcp();
    which_ = which;
    tcp.touch();
    if (tcp.stack() == nullptr) { return; }
    tcp.stack()->set_user(which_, reinterpret_cast<std::uintptr_t>(this));
    if (options.no_delay) { tcp.stack()->set_no_delay(which_, true, tcp.now()); }
    if (options.keep_alive) { tcp.stack()->set_keep_alive(which_, true, tcp.now()); }
    if (const auto name = tcp.stack()->name_of(which_)) { name_ = *name; }
}

proto::ip_endpoint tcp_end::local() const noexcept {
    return core_->tcp().endpoint(name_.local_address(), name_.local_port());
}

proto::ip_endpoint tcp_end::remote() const noexcept {
    return core_->tcp().endpoint(name_.remote_address(), name_.remote_port());
}

std::error_code tcp_end::check_executor() const noexcept {
    return check_executor_of(*core_);
}

void tcp_end::wake_host() const noexcept {
    core_->wake();
}

proto::tcp::connection_info tcp_end::info() const noexcept {
    const auto* const stack = core_->tcp().stack();
    const auto* const known = stack == nullptr ? nullptr : stack->find(which_);
    return known == nullptr ? proto::tcp::connection_info() : known->info();
}

std::error_code tcp_end::ended() const noexcept {
    if (core_->ended()) { return core_->ended(); }
    const auto* const stack = core_->tcp().stack();
    const auto* const known = stack == nullptr ? nullptr : stack->find(which_);
    return known == nullptr ? make_error_code(errc::closed) : error_of(known->ending());
}

bool tcp_end::is_readable() const noexcept {
    const auto* const stack = core_->tcp().stack();
    const auto* const known = stack == nullptr ? nullptr : stack->find(which_);
    return known == nullptr || known->readable() != 0 || known->peer_finished() || known->ending() != ending::none ||
           core_->ended();
}

std::size_t tcp_end::read(std::span<std::byte> into) noexcept {
    host_tcp& tcp = core_->tcp();
    if (tcp.stack() == nullptr) { return 0; }
    tcp.touch();
    return tcp.stack()->read(which_, into, tcp.now());
}

tcp_buffer tcp_end::lend() noexcept {
    return core_->tcp().lend(which_);
}

std::error_code tcp_end::read_error() const noexcept {
    const auto* const stack = core_->tcp().stack();
    const auto* const known = stack == nullptr ? nullptr : stack->find(which_);
    if (known != nullptr && known->peer_finished()) { return errc::end_of_stream; }
    return ended();
}

std::size_t tcp_end::write(std::span<const std::byte> from) noexcept {
    host_tcp& tcp = core_->tcp();
    auto* const stack = tcp.stack();
    if (stack == nullptr) { return 0; }
    const std::size_t taken = stack->write(which_, from, tcp.now());
    tcp.touch();
    if (taken != from.size()) {
        const auto* const known = stack->find(which_);
        if (known != nullptr && known->writable() != 0) { tcp.wait_for_memory(); }
    }
    return taken;
}

std::error_code tcp_end::write_error() const noexcept {
    if (shut_) { return std::make_error_code(std::errc::broken_pipe); }
    return ended();
}

std::error_code tcp_end::shut_down_write() noexcept {
    if (shut_) { return no_error; }
    if (writer != nullptr) { return errc::handle_in_use; }
    if (const std::error_code gone = ended()) { return gone; }
    shut_ = true;
    core_->tcp().stack()->shutdown_write(which_, core_->tcp().now());
    core_->tcp().touch();
    return ended();  // there may have been no room for the end
}

void tcp_end::abort() noexcept {
    if (auto* const stack = core_->tcp().stack()) { stack->abort(which_, core_->tcp().now()); }
    core_->tcp().touch();
}

void tcp_end::set_no_delay(bool on) noexcept {
    if (auto* const stack = core_->tcp().stack()) { stack->set_no_delay(which_, on, core_->tcp().now()); }
    core_->tcp().touch();
}

void tcp_end::set_keep_alive(bool on) noexcept {
    if (auto* const stack = core_->tcp().stack()) { stack->set_keep_alive(which_, on, core_->tcp().now()); }
    core_->tcp().touch();
}

void tcp_end::trace_to(proto::tcp::trace_sink* sink) noexcept {
    if (auto* const stack = core_->tcp().stack()) { stack->trace_to(which_, sink); }
}

void tcp_end::look() noexcept {
    for (auto* const one : {opener, reader, writer}) {
        if (one != nullptr) { one->look(); }
    }
}

// tcp_door

tcp_door::tcp_door(boost::intrusive_ptr<host_core> core, proto::tcp::listener_handle which, const proto::ip_endpoint& local,
                   const tcp_options& options) noexcept
    : core_(std::move(core)), which_(which), local_(local), options_(options) {
    core_->tcp().add(*this);
}

tcp_door::~tcp_door() {
    unlink();
    if (acceptor != nullptr) { std::exchange(acceptor, nullptr)->abandon(); }
    host_tcp& tcp = core_->tcp();
    if (tcp.stack() == nullptr) { return; }
    if (next_) { tcp.stack()->release(*next_, proto::tcp::leaving::at_once, tcp.now()); }
    tcp.stack()->close_listener(which_, tcp.now());
    tcp.touch();
}

std::error_code tcp_door::check_executor() const noexcept {
    return check_executor_of(*core_);
}

void tcp_door::wake_host() const noexcept {
    core_->wake();
}

std::error_code tcp_door::ended() const noexcept {
    return core_->ended();
}

bool tcp_door::has_waiting() noexcept {
    if (!next_ && core_->tcp().stack() != nullptr) { next_ = core_->tcp().stack()->accept(which_); }
    return next_.has_value() && core_->tcp().stack() != nullptr;
}

std::unique_ptr<tcp_end> tcp_door::pop() {
    const auto taken = *std::exchange(next_, std::nullopt);
    auto made = std::unique_ptr<tcp_end>(new (std::nothrow) tcp_end(core_));
    if (made == nullptr) {
        if (auto* const stack = core_->tcp().stack()) {
            stack->release(taken, proto::tcp::leaving::at_once, core_->tcp().now());
            core_->tcp().touch();
        }
        throw std::bad_alloc();
    }
    made->set_connected();
    made->adopt(taken, options_);
    return made;
}

}  // namespace detail
}  // namespace fluxnet::host
