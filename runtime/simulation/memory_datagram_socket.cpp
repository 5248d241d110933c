// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_datagram_socket.hpp"

#include <algorithm>
#include <cstring>

namespace fluxnet {

static_assert(datagram_socket<memory_datagram_socket>);

bool memory_datagram_socket::recv_awaiter::await_ready() noexcept {
    refusal_ = box_ == nullptr ? make_error_code(errc::closed) : box_->hub().check_executor();
    if (!refusal_ && !into_.empty()) { refusal_ = occupy(box_->receiver); }
    return is_settled() && detail::draw_here();
}

datagram_result memory_datagram_socket::recv_awaiter::await_resume() noexcept {
    datagram_result got;
    got.ec = finish();
    if (refusal_ || into_.empty()) {
        got.ec = refusal_;
        return got;
    }
    if (!leave()) { got.ec = errc::closed; }
    if (got.ec) { return got; }
    detail::memory_datagram& next = box_->pop();
    got.size = next.bytes.size();
    got.n = std::min(got.size, into_.size());
    got.from = next.from;
    if (got.n != 0) { std::memcpy(into_.data(), next.bytes.data(), got.n); }
    if (got.n != got.size) { got.ec = detail::system_error_code(EMSGSIZE); }
    box_->hub().keep(next);
    return got;
}

void memory_datagram_socket::send_awaiter::start() noexcept {
    if (box_ == nullptr) {
        complete(errc::closed);
    } else if (const std::error_code wrong = box_->hub().check_executor()) {
        complete(wrong);
    } else {
        complete(box_->hub().send(from_, box_->endpoint(), to_, box_->pace));
    }
}

io_result memory_datagram_socket::send_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    return {ended, ended ? 0 : from_.size()};
}

}  // namespace fluxnet
