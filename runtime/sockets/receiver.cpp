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
    gone->first_.reset();
    gone->more_.clear();
    if (!gone->pending()) { return; }
    reactor& backend = inside(gone->home_).reactor();
    backend.cancel(*gone);
    backend.adopt(std::move(gone));
}

void receiver::begin() {
    pausing_ = false;
    buffer_ring& ring = home_.use_service<socket_buffers>().ring();
    // Others may be faster each time that buffers come back: the second time is enough.
    if (turned_away_ > 1 || ring.none_left()) {
        begin_without(ring);
        return;
    }
    if (spare_ && spare_->is_free()) { spare_.reset(); }
    ring.receive_many(*this, fd_);
}

void receiver::begin_without(buffer_ring& ring) {
    turned_away_ = 0;
    if (waiter_->on_no_buffer()) {
        waiter_ = nullptr;
        return;
    }
    if (!spare_) { spare_ = std::make_unique<spare_buffer>(ring.buffer_size()); }
    if (spare_->is_free()) {
        spare_->receive(*this, fd_, inside(home_).reactor());
        return;
    }
    inside(home_).add_timer(*this, home_.now() + pause_);
    pause_ = std::min(2 * pause_, std::chrono::milliseconds(32));
}

std::size_t receiver::copy(std::span<std::byte> into) noexcept {
    std::size_t done = 0;
    while (done != into.size() && first_) {
        const auto piece = std::as_const(first_).bytes();
        const std::size_t count = std::min(piece.size(), into.size() - done);
        std::memcpy(into.data() + done, piece.data(), count);
        done += count;
        first_.drop_front(count);
        if (!first_.empty()) { continue; }
        first_.reset();
        if (!more_.empty()) { take_next(); }
    }
    return done;
}

void receiver::take_next() noexcept {
    first_ = std::move(more_[next_]);
    if (++next_ != more_.size()) { return; }
    more_.clear();
    next_ = 0;
}

void receiver::keep_behind(received_buffer&& buffer) noexcept try {
    if (next_ >= most_pieces) {  // a reader that never quite catches up leaves ever more behind it otherwise
        more_.erase(more_.begin(), more_.begin() + static_cast<std::ptrdiff_t>(next_));
        next_ = 0;
    }
    more_.push_back(std::move(buffer));
    if (pending() && !pausing_ && 1 + more_.size() - next_ >= most_pieces) {
        pausing_ = true;
        inside(home_).reactor().cancel(*this);
    }
} catch (const std::bad_alloc&) { ended_ = errc::out_of_memory; }

void receiver::on_received(int result, received_buffer buffer, unsigned flags) noexcept {
    if (result > 0) {
        pause_ = std::chrono::milliseconds(1);
        turned_away_ = 0;
        if (!first_) {
            first_ = std::move(buffer);
        } else {
            keep_behind(std::move(buffer));
        }
    } else if (result == 0) {
        ended_ = errc::end_of_stream;
    } else if (result == -ENOBUFS) {
        ++turned_away_;
    } else if (result != -ECANCELED || !pausing_) {
        ended_ = failure_of(result);
    }
    if ((flags & io_more) == 0 && !ready() && waiter_ != nullptr) {
        on_time();
    } else {
        tell();
    }
}

void receiver::on_time() noexcept {
    try {
        if (waiter_ != nullptr) { begin(); }
    } catch (const std::bad_alloc&) { ended_ = errc::out_of_memory; }
    tell();
}

void receiver::tell() noexcept {
    if (ready() && waiter_ != nullptr) { std::exchange(waiter_, nullptr)->on_arrival(); }
}

}  // namespace fluxnet::detail
