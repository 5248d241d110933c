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
    gone->first_.reset();
    gone->rest_.reset();
    if (!gone->pending()) { return; }
    reactor& backend = inside(gone->home_).reactor();
    backend.cancel(*gone);
    backend.adopt(std::move(gone));
}

std::error_code receiver::why() const noexcept {
    switch (ended_) {
        case at_end: return errc::end_of_stream;
        case goes_on: return no_error;
        case no_memory: return errc::out_of_memory;
        default: return failure_of(ended_);
    }
}

receiver::rest& receiver::with_rest() {
    if (!rest_) { rest_ = std::make_unique<rest>(*this); }
    return *rest_;
}

void receiver::begin() {
    pausing_ = false;
    buffer_ring& ring = home_.use_service<socket_buffers>().ring();
    if (rest_) { rest_->clear_timer(); }
    // Others may be faster each time that buffers come back: the second time is enough.
    if (turned_away_ == 2 || ring.none_left()) {
        begin_without(ring);
        return;
    }
    if (rest_ && rest_->spare && rest_->spare->is_free()) { rest_->spare.reset(); }
    ring.receive_stream(*this, fd_);
}

void receiver::begin_without(buffer_ring& ring) {
    turned_away_ = 0;
    if (waiter_->on_no_buffer()) {
        waiter_ = nullptr;
        return;
    }
    rest& own = with_rest();
    if (!own.spare) { own.spare.emplace(ring.buffer_size()); }
    if (own.spare->is_free()) {
        own.spare->receive(*this, fd_, inside(home_).reactor());
        return;
    }
    inside(home_).add_timer(own, home_.now() + own.pause);
    own.pause = std::min(2 * own.pause, std::chrono::milliseconds(32));
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
        if (rest_) { take_next(); }
    }
    return done;
}

void receiver::take_next() noexcept {
    rest& behind = *rest_;
    if (behind.pieces.empty()) { return; }
    first_ = std::move(behind.pieces[behind.next]);
    if (++behind.next != behind.pieces.size()) { return; }
    behind.pieces.clear();
    behind.next = 0;
}

void receiver::keep_behind(received_buffer&& buffer) noexcept try {
    rest& behind = with_rest();
    auto& pieces = behind.pieces;
    std::size_t& next = behind.next;
    if (next >= most_pieces) {  // a reader that never quite catches up leaves ever more behind it otherwise
        pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(next));
        next = 0;
    }
    pieces.push_back(std::move(buffer));
    if (pending() && !pausing_ && 1 + pieces.size() - next >= most_pieces) {
        pausing_ = true;
        inside(home_).reactor().cancel(*this);
    }
} catch (const std::bad_alloc&) {
    ended_ = no_memory;
    if (pending() && !pausing_) { inside(home_).reactor().cancel(*this); }
}

void receiver::on_received(int result, received_buffer buffer, unsigned flags) noexcept {
    if (ended_ != goes_on) { return; }  // what came behind a piece that was lost would hide that it is missing
    if (result > 0) {
        turned_away_ = 0;
        if (rest_) { rest_->pause = std::chrono::milliseconds(1); }
        if (!first_) {
            first_ = std::move(buffer);
        } else {
            keep_behind(std::move(buffer));
        }
    } else if (result == 0) {
        ended_ = at_end;
    } else if (result == -ENOBUFS) {
        turned_away_ = static_cast<std::uint8_t>(std::min(turned_away_ + 1, 2));
    } else if (result != -ECANCELED || !pausing_) {
        ended_ = result;
    }
    if ((flags & io_more) == 0 && !ready() && waiter_ != nullptr) {
        begin_again();
    } else {
        tell();
    }
}

void receiver::begin_again() noexcept {
    try {
        if (waiter_ != nullptr) { begin(); }
    } catch (const std::bad_alloc&) { ended_ = no_memory; }
    tell();
}

void receiver::tell() noexcept {
    if (ready() && waiter_ != nullptr) { std::exchange(waiter_, nullptr)->on_arrival(); }
}

}  // namespace fluxnet::detail
