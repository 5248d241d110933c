// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/io_completions.hpp"

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"

#include <algorithm>
#include <utility>

#include <unistd.h>

namespace fluxnet::detail {

void io_completions::drop(io_operation& operation) noexcept {
    for (std::size_t i = first_; operation.queued_ != 0; ++i) {
        if (queue_[i].operation != &operation) { continue; }
        queue_[i].operation = nullptr;
        --operation.queued_;
        discard(operation, queue_[i].result, queue_[i].flags);
    }
    make_idle(operation);
}

void io_completions::adopt(std::unique_ptr<io_operation> operation) noexcept {
    if (!operation->pending()) { return; }
    operation.release()->adopted_ = true;
}

std::size_t io_completions::dispatch(std::size_t limit) noexcept {
    const std::size_t count = std::min(limit, queue_.size() - first_);
    for (std::size_t i = 0; i < count; ++i) {
        const auto [operation, result, flags] = queue_[first_];  // a copy: the queue may grow meanwhile
        ++first_;
        if (operation == nullptr) { continue; }
        --operation->queued_;
        const bool adopted = operation->adopted_;
        if (adopted) { discard(*operation, result, flags); }
        if ((flags & io_more) == 0) { make_idle(*operation); }  // destroys it if it is adopted
        if (!adopted) { operation->on_result(result, flags); }
    }
    if (first_ == queue_.size()) {
        queue_.clear();
        first_ = 0;
    } else if (first_ >= queue_.size() / 2) {
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
    return count;
}

void io_completions::forget(bool in_use) noexcept {
    while (!held_.empty()) {
        if (in_use) {
            held_.front().adopted_ = false;
            held_.front().request_.pool = nullptr;
        }
        drop(held_.front());
    }
    while (!fired_.empty()) { drop(fired_.front()); }
    queue_.clear();
    first_ = 0;
}

void io_completions::add_user(buffer_pool& pool) noexcept {
    pool.add_user();
}

void io_completions::discard(const io_operation& operation, int result, unsigned flags) noexcept {
    const io_request& request = operation.request_;
    if (request.what == io_request::call::accept && result >= 0) { ::close(result); }
    if ((flags & io_with_buffer) != 0 && request.pool != nullptr) { request.pool->give_back(buffer_in(flags)); }
}

void io_completions::make_idle(io_operation& operation) noexcept {
    operation.state_ = io_operation::state::idle;
    operation.unlink();
    operation.attempts_ = nullptr;
    if (buffer_pool* const pool = std::exchange(operation.request_.pool, nullptr)) { pool->drop_user(); }
    if (operation.adopted_) { delete &operation; }
}

}  // namespace fluxnet::detail
