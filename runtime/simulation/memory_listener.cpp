// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_listener.hpp"

namespace fluxnet {

static_assert(listener<memory_listener>);

bool memory_listener::accept_awaiter::await_ready() noexcept {
    refusal_ = door_ == nullptr ? make_error_code(errc::closed) : door_->hub().check_executor();
    if (!refusal_) { refusal_ = occupy(door_->acceptor); }
    return is_settled() && detail::draw_here();
}

result<memory_stream> memory_listener::accept_awaiter::await_resume() {
    std::error_code ended = finish();
    if (refusal_) {
        ended = refusal_;
    } else if (!leave()) {
        ended = errc::closed;
    }
    if (!ended) { return memory_stream(door_->pop(), 1); }
    return error{ended, "accept a connection on the in-memory network", ended.message(), ""};
}

}  // namespace fluxnet
