// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_stream.hpp"

namespace fluxnet {

static_assert(stream<memory_stream>);

bool memory_stream::read_awaiter::await_ready() noexcept {
    refusal_ = check();
    if (!refusal_ && !into_.empty()) { refusal_ = occupy(of_->to(end_).reader); }
    return is_settled() && detail::draw_here();
}

io_result memory_stream::read_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    if (refusal_ || into_.empty()) { return {refusal_, 0}; }
    if (!leave()) { return {errc::closed, 0}; }
    if (ended) { return {ended, 0}; }
    detail::memory_way& way = of_->to(end_);
    if (way.there() == 0) { return {of_->read_error(end_), 0}; }
    return {no_error, way.take(into_)};
}

bool memory_stream::borrow_awaiter::await_ready() noexcept {
    refusal_ = check();
    if (!refusal_) { refusal_ = occupy(of_->to(end_).reader); }
    return is_settled() && detail::draw_here();
}

borrowed_result<memory_buffer> memory_stream::borrow_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    if (refusal_) { return {refusal_, {}}; }
    if (!leave()) { return {errc::closed, {}}; }
    if (ended) { return {ended, {}}; }
    detail::memory_way& way = of_->to(end_);
    if (way.there() == 0) { return {of_->read_error(end_), {}}; }
    return {no_error, way.lend()};
}

bool memory_stream::write_awaiter::await_ready() noexcept {
    refusal_ = check();
    is_settled_ = refusal_ || from_.empty();
    if (!is_settled_) {
        refusal_ = occupy(of_->from(end_).writer);
        if (refusal_) {
            is_settled_ = true;
        } else {
            write_on();
        }
    }
    return is_settled_ && detail::draw_here();
}

io_result memory_stream::write_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    if (refusal_ || from_.empty()) { return {refusal_, 0}; }
    if (!leave()) { return {errc::closed, taken_}; }
    if (taken_ == from_.size()) { return {no_error, taken_}; }  // even if a stop came before it could go on
    return {ended ? ended : failure_, taken_};
}

void memory_stream::write_awaiter::write_on() noexcept {
    failure_ = of_->write_error(end_);
    if (!failure_) {
        detail::memory_way& way = of_->from(end_);
        taken_ += way.put(from_.subspan(taken_));
        if (taken_ != from_.size() && way.has_room()) { failure_ = errc::out_of_memory; }
    }
    is_settled_ = failure_ || taken_ == from_.size();
}

void memory_stream::shutdown_awaiter::start() noexcept {
    if (of_ == nullptr) {
        complete(errc::closed);
    } else if (const std::error_code wrong = of_->hub().check_executor()) {
        complete(wrong);
    } else {
        complete(of_->shut_down_write(end_));
    }
}

wait_result memory_stream::shutdown_awaiter::await_resume() noexcept {
    return finish();
}

}  // namespace fluxnet
