// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/tcp_stream.hpp"

#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <new>

namespace fluxnet::host {

static_assert(stream<tcp_stream>);

namespace detail {

void tcp_transfer::take_place(fluxnet::detail::placed_operation* tcp_end::*place, bool wanted) noexcept {
    refusal_ = end_ == nullptr ? make_error_code(errc::closed) : end_->check_executor();
    if (refusal_ || !wanted) { return; }
    end_->wake_host();
    refusal_ = occupy(end_->*place);
}

std::error_code tcp_transfer::end_wait() noexcept {
    const std::error_code ended = finish();
    if (refusal_) { return refusal_; }
    return leave() ? ended : make_error_code(errc::closed);
}

}  // namespace detail

// Reading

bool tcp_stream::read_awaiter::await_ready() noexcept {
    take_place(&detail::tcp_end::reader, !into_.empty());
    return is_settled() && fluxnet::detail::draw_here();
}

io_result tcp_stream::read_awaiter::await_resume() noexcept {
    if (into_.empty()) {
        const std::error_code ended = finish();
        return {refusal_ ? refusal_ : ended, 0};
    }
    if (const std::error_code ended = end_wait()) { return {ended, 0}; }
    const std::size_t count = end_->read(into_);
    return {count == 0 ? end_->read_error() : no_error, count};
}

bool tcp_stream::borrow_awaiter::await_ready() noexcept {
    take_place(&detail::tcp_end::reader, true);
    return is_settled() && fluxnet::detail::draw_here();
}

borrowed_result<tcp_buffer> tcp_stream::borrow_awaiter::await_resume() noexcept {
    if (const std::error_code ended = end_wait()) { return {ended, {}}; }
    tcp_buffer lent = end_->lend();
    const std::error_code ended = lent.bytes().empty() ? end_->read_error() : no_error;
    return {ended, std::move(lent)};
}

// Writing

bool tcp_stream::write_awaiter::await_ready() noexcept {
    take_place(&detail::tcp_end::writer, !from_.empty());
    is_settled_ = refusal_ || from_.empty();
    if (!is_settled_) { write_on(); }
    return is_settled_ && fluxnet::detail::draw_here();
}

void tcp_stream::write_awaiter::look() noexcept {
    if (!waiting()) { return; }
    if (!is_settled_) { write_on(); }
    if (is_settled_) { complete(no_error); }
}

void tcp_stream::write_awaiter::write_on() noexcept {
    failure_ = end_->write_error();
    if (!failure_) { taken_ += end_->write(from_.subspan(taken_)); }
    is_settled_ = failure_ || taken_ == from_.size();
}

io_result tcp_stream::write_awaiter::await_resume() noexcept {
    if (from_.empty()) {
        const std::error_code ended = finish();
        return {refusal_ ? refusal_ : ended, 0};
    }
    const std::error_code ended = end_wait();
    if (taken_ == from_.size()) { return {no_error, taken_}; }  // even if a stop came
    return {ended ? ended : failure_, taken_};
}

void tcp_stream::shutdown_awaiter::start() noexcept {
    if (end_ == nullptr) {
        complete(errc::closed);
    } else if (const std::error_code wrong = end_->check_executor()) {
        complete(wrong);
    } else {
        end_->wake_host();
        complete(end_->shut_down_write());
    }
}

// Opening

tcp_stream::connect_awaiter::connect_awaiter(boost::intrusive_ptr<detail::host_core> core, const proto::ip_endpoint& peer,
                                             const tcp_options& options) noexcept
    : core_(std::move(core)), peer_(peer), options_(options) {}

tcp_stream::connect_awaiter::~connect_awaiter() {
    leave();
    if (end_ != nullptr) { end_->abort(); }
}

void tcp_stream::connect_awaiter::start() noexcept {
    if (core_ == nullptr) { return fail(errc::closed, "use the handle that the host was moved to"); }
    if (&home_executor() != &core_->loop()) { return fail(errc::wrong_executor, "connect on the host's executor"); }
    core_->wake();
    open();
}

void tcp_stream::connect_awaiter::fail(std::error_code why, const char* remedy) noexcept {
    failure_ = why;
    remedy_ = remedy;
    leave();
    complete(no_error);
}

/// Which address it connects from; none: it has failed.
std::optional<proto::ip_address> tcp_stream::connect_awaiter::find_source() noexcept {
    const proto::ip_address& to = peer_.address;
    const auto refuse = [&](std::errc why, const char* remedy) {
        fail(std::make_error_code(why), remedy);
        return std::nullopt;
    };
    if (!core_->is_unicast(to) || peer_.port == 0) {
        return refuse(std::errc::invalid_argument, "name the address of one host, and a port");
    }
    if (!core_->is_on_scope(peer_)) { return refuse(std::errc::invalid_argument, "leave the scope out"); }
    if (!core_->reaches(to)) { return refuse(std::errc::network_unreachable, "add a gateway to host_options::gateways"); }
    if (options_.from && !options_.from->address.is_unspecified()) {
        if (options_.from->address.is_v4() == to.is_v4()) { return options_.from->address; }
        return refuse(std::errc::address_family_not_supported, "connect from an address of the peer's version");
    }
    const auto source = core_->source_for(to);
    if (!source) { return refuse(std::errc::network_unreachable, "give the host an address of that version"); }
    return source;
}

void tcp_stream::connect_awaiter::open() noexcept {
    if (core_->ended()) { return fail(core_->ended()); }
    const auto source = find_source();
    if (!source) { return; }
    using own_state = proto::own_addresses::state;
    switch (core_->own().state_of(*source)) {
        case own_state::in_use: break;
        case own_state::tentative:
            if (!is_in_line()) { core_->tcp().wait_in_turns(*this); }
            return;
        default: return fail(std::make_error_code(std::errc::address_not_available), "connect from another address");
    }
    if (!core_->ports().has_tcp(options_.from ? options_.from->port : std::uint16_t{0})) {
        return fail(std::make_error_code(std::errc::address_not_available),
                    "give the host such a port: host_options::only_ports, of which `chosen` has those of connections");
    }
    leave_line();
    end_.reset(new (std::nothrow) detail::tcp_end(core_));
    if (end_ == nullptr) { return fail(errc::out_of_memory); }
    detail::host_tcp& tcp = core_->tcp();
    const proto::tcp::connect_options wanted{.local_port = options_.from ? options_.from->port : std::uint16_t{0}, .user = 0};
    const auto made = tcp.stack()->connect(*source, peer_, tcp.now(), wanted);
    if (!made) {
        using proto::tcp::refusal;
        switch (made.error()) {
            case refusal::no_connection:
                return fail(std::make_error_code(std::errc::no_buffer_space), "raise host_options::tcp.connections");
            case refusal::address_in_use:
                return fail(std::make_error_code(std::errc::address_in_use), "choose another local port, or 0");
            case refusal::no_port:
                return fail(std::make_error_code(std::errc::address_in_use), "all ports to that peer are in use: connect from "
                                                                             "another address");
            default: return fail(std::make_error_code(std::errc::invalid_argument), "name the address of one host");
        }
    }
    if (wanted.local_port != 0) { tcp.use_port(wanted.local_port); }
    end_->adopt(*made, options_);
    static_cast<void>(occupy(end_->opener));  // nobody else knows of it
}

void tcp_stream::connect_awaiter::look() noexcept {
    if (!waiting()) { return; }
    if (end_ == nullptr) { return open(); }
    if (end_->is_connected()) {
        complete(no_error);
    } else if (const std::error_code ended = end_->ended()) {
        fail(ended);
    }
}

void tcp_stream::connect_awaiter::cancel() noexcept {
    leave_line();
    leave();
    end_.reset();
    complete(errc::operation_canceled);
}

result<tcp_stream> tcp_stream::connect_awaiter::await_resume() {
    std::error_code ended = finish();
    leave();
    if (failure_) { ended = failure_; }
    if (!ended) { return tcp_stream(std::move(end_)); }
    end_.reset();
    return error{ended, "connect to " + peer_.to_string(), ended.message(), remedy_};
}

}  // namespace fluxnet::host
