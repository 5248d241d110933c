// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/feed.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace embed_example {

void feed::publish(std::string text) {
    const frame latest = std::make_shared<const std::string>(std::move(text));
    ++counts_.frames;
    for (viewing* const each : viewings_) { each->hand_over(latest); }
}

void feed::end() noexcept {
    ended_ = true;
    for (viewing* const each : viewings_) { each->end(); }
}

feed::viewing::viewing(std::shared_ptr<feed> of, const net::any_io_executor& on)
    : feed_(std::move(of)), place_(feed_->viewings_.insert(feed_->viewings_.end(), this)),
      arrival_(on, net::steady_timer::time_point::max()), ended_(feed_->ended_) {
    ++feed_->counts_.viewers;
    ++feed_->counts_.viewed;
}

feed::viewing::~viewing() {
    feed_->viewings_.erase(place_);
    --feed_->counts_.viewers;
}

net::awaitable<feed::frame> feed::viewing::next() {
    while (!waiting_ && !ended_) {
        boost::system::error_code canceled;
        co_await arrival_.async_wait(net::redirect_error(net::use_awaitable, canceled));
    }
    if (ended_) { co_return nullptr; }
    co_return std::exchange(waiting_, nullptr);
}

void feed::viewing::end() noexcept {
    ended_ = true;
    waiting_ = nullptr;
    arrival_.cancel();
}

void feed::viewing::hand_over(const frame& latest) noexcept {
    if (waiting_) { ++feed_->counts_.skipped; }
    waiting_ = latest;
    arrival_.cancel();
}

}  // namespace embed_example
