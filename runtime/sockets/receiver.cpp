// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/receiver.hpp"

#include "fluxnet/runtime/sockets/detail/transfer.hpp"
#include "fluxnet/runtime/sockets/socket_buffers.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace fluxnet::detail {

void receiver::end(std::unique_ptr<receiver> gone) noexcept {
    gone->waiter_ = nullptr;
    gone->clear_timer();
    gone->pieces_.clear();
    if (!gone->pending()) { return; }
    reactor& backend = inside(gone->home_).reactor();
    backend.cancel(*gone);
    backend.adopt(std::move(gone));
}

void receiver::wait(receiver_waiter& waiter) {
    waiter_ = &waiter;
    if (!pending() && !timer_node::is_linked()) { begin(); }
}

void receiver::begin() {
    pausing_ = false;
    home_.use_service<socket_buffers>().ring().receive_many(*this, fd_);
}

received_buffer receiver::take() noexcept {
    if (first_ == pieces_.size()) { return {}; }
    received_buffer piece = std::move(pieces_[first_]);
    if (copied_ != 0) { piece.drop_front(std::exchange(copied_, 0)); }
    drop_first();
    return piece;
}

std::size_t receiver::copy(std::span<std::byte> into) noexcept {
    std::size_t done = 0;
    while (done != into.size() && first_ != pieces_.size()) {
        const auto piece = std::as_const(pieces_[first_]).bytes().subspan(copied_);
        const std::size_t count = std::min(piece.size(), into.size() - done);
        std::memcpy(into.data() + done, piece.data(), count);
        done += count;
        copied_ += count;
        if (count == piece.size()) {
            copied_ = 0;
            drop_first();
        }
    }
    return done;
}

void receiver::drop_first() noexcept {
    pieces_[first_].reset();
    if (++first_ != pieces_.size()) { return; }
    pieces_.clear();
    first_ = 0;
}

void receiver::keep(received_buffer buffer) noexcept try {
    pieces_.push_back(std::move(buffer));
} catch (const std::bad_alloc&) { ended_ = errc::out_of_memory; }

void receiver::on_received(int result, received_buffer buffer, unsigned flags) noexcept {
    if (result > 0) {
        pause_ = std::chrono::milliseconds(1);
        keep(std::move(buffer));
        if (pending() && !pausing_ && pieces_.size() - first_ >= most_pieces) {
            pausing_ = true;
            inside(home_).reactor().cancel(*this);
        }
    } else if (result == 0) {
        ended_ = errc::end_of_stream;
    } else if (result == -ENOBUFS) {
        inside(home_).add_timer(*this, home_.now() + pause_);
        pause_ = std::min(2 * pause_, std::chrono::milliseconds(32));
    } else if (result != -ECANCELED || !pausing_) {
        ended_ = failure_of(result);
    }
    if ((flags & io_more) == 0 && result != -ENOBUFS && !ready() && waiter_ != nullptr) { on_time(); }
    if (ready() && waiter_ != nullptr) { std::exchange(waiter_, nullptr)->on_arrival(); }
}

void receiver::on_time() noexcept try {
    if (waiter_ != nullptr) { begin(); }
} catch (const std::bad_alloc&) { ended_ = errc::out_of_memory; }

}  // namespace fluxnet::detail
