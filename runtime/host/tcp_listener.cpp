// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/tcp_listener.hpp"

namespace fluxnet::host {

static_assert(listener<tcp_listener>);

bool tcp_listener::accept_awaiter::await_ready() noexcept {
    refusal_ = door_ == nullptr ? make_error_code(errc::closed) : door_->check_executor();
    if (!refusal_) {
        door_->wake_host();
        refusal_ = occupy(door_->acceptor);
    }
    return is_settled() && fluxnet::detail::draw_here();
}

result<tcp_stream> tcp_listener::accept_awaiter::await_resume() {
    std::error_code ended = finish();
    if (refusal_) {
        ended = refusal_;
    } else if (!leave()) {
        ended = errc::closed;
    } else if (!ended) {
        if (door_->has_waiting()) { return tcp_stream(door_->pop()); }
        ended = door_->ended();
    }
    return error{ended, "accept a TCP connection", ended.message(), ""};
}

}  // namespace fluxnet::host
