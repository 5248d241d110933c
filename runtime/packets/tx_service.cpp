// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/detail/tx_service.hpp"

#include "fluxnet/xsk/base/detail/duration.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <algorithm>
#include <utility>

namespace fluxnet::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds shortest_back_off = 50us;
constexpr std::chrono::nanoseconds longest_back_off = 10ms;
constexpr std::chrono::nanoseconds link_down_back_off = 100ms;  // should the news of the link not come

}  // namespace

tx_service::tx_service(executor& on, tx socket)
    : handle_service(on, socket.interface(), socket.link_announced(), 0), tx_(std::move(socket)),
      back_off_(shortest_back_off) {
    after_arriving();
}

tx_service::~tx_service() {
    while (!sending_.empty()) {
        probe<"async_tx: closed while a send waits">();
        complete_first(sending_, errc::closed);
    }
    while (!allocating_.empty()) { complete_first(allocating_, errc::closed); }
    end_run();
    tx_.home().set_waker({});
}

// Sends

void tx_service::wait(async_tx::send_awaiter& send) noexcept {
    if (&send.home_executor() != executor_) {
        send.complete(errc::wrong_executor);
        return;
    }
    // Over, but for the budget of this turn.
    if (sending_.empty() && (send.failure_ || send.sent_ == send.packets_.size())) {
        send.complete(no_error);
        return;
    }
    probe<"async_tx: send waits for credit">();
    send.since_ = executor_->now();
    sending_.push_back(send);
}

/// Moves what has credit into the ring. Returns true when the send is over: all taken, or one refused.
bool tx_service::advance(async_tx::send_awaiter& send) noexcept {
    send.sent_ += tx_.try_send(send.packets_.subspan(send.sent_));
    if (send.sent_ == send.packets_.size()) { return true; }
    send.failure_ = tx_.refusal(send.packets_[send.sent_]);
    return static_cast<bool>(send.failure_);
}

/// Returns true when packets were queued, which wants another kick.
bool tx_service::serve_sends() noexcept {
    bool queued = false;
    while (!sending_.empty()) {
        async_tx::send_awaiter& first = sending_.front();
        const std::size_t before = first.sent_;
        const bool over = advance(first);
        queued = queued || first.sent_ != before;
        if (!over) { break; }
        complete_first(sending_, no_error);
    }
    return queued;
}

/// Kicks, reaps and serves the coroutines that wait, for as long as that moves something. `reaped`: the caller has reaped
/// completions just before.
void tx_service::push(bool reaped) noexcept {
    deferred_ = false;
    const std::uint32_t before = tx_.in_flight();
    const bool queued = tx_.pending() != 0;
    bool served = false;
    for (tx_.flush(); serve_sends(); tx_.flush()) { served = true; }
    blocked_ = tx_.pending() != 0;
    // Packets that are only slow to complete are no progress.
    if (served || tx_.in_flight() < before || (queued && !blocked_)) {
        back_off_ = shortest_back_off;
        clear_timer();  // set for a longer wait
        reaped = true;
    }
    if (!sending_.empty()) {
        if (reaped) { progress_ = executor_->now(); }
        end_overdue();
    }
    if (!busy()) { clear_timer(); }
}

/// When a send that waits has waited for too long, if the kernel goes on to do nothing.
executor::time_point tx_service::overdue_at(const async_tx::send_awaiter& send) const noexcept {
    return time_after(std::max(send.since_, progress_), completion_limit_);
}

/// Ends the sends for which the kernel has done nothing for the completion limit. A send that waits for a frame to copy into
/// while nothing is in flight does not wait for the kernel.
void tx_service::end_overdue() noexcept {
    const auto now = executor_->now();
    if (tx_.link_down() || tx_.in_flight() == 0) {
        progress_ = now;
        return;
    }
    // The first has waited longest.
    while (!sending_.empty() && overdue_at(sending_.front()) <= now) {
        probe<"async_tx: completions missing">();
        sending_.front().failure_ = errc::completions_missing;
        complete_first(sending_, no_error);
    }
}

// Allocations

bool tx_service::start(async_tx::allocate_awaiter& allocation) noexcept {
    executor* const here = executor::current();
    if (here == nullptr || here != executor_) { return false; }
    return allocating_.empty() && inside(*here).draw() && advance(allocation);
}

void tx_service::wait(async_tx::allocate_awaiter& allocation) noexcept {
    if (&allocation.home_executor() != executor_) {
        allocation.complete(errc::wrong_executor);
        return;
    }
    allocating_.push_back(allocation);
}

bool tx_service::advance(async_tx::allocate_awaiter& allocation) noexcept {
    allocation.made_ = tx_.allocate(allocation.into_);
    if (allocation.made_ != 0 || allocation.into_.empty()) [[likely]] { return true; }
    allocation.failure_ = tx_.home().frame_count() == 0 ? make_error_code(errc::invalid_option) : tx_.failure();
    return static_cast<bool>(allocation.failure_);
}

void tx_service::serve_allocations() noexcept {
    while (!allocating_.empty() && advance(allocating_.front())) { complete_first(allocating_, no_error); }
}

std::uint32_t tx_service::try_allocate(std::span<packet> into) noexcept {
    if (!allocating_.empty()) { return 0; }
    const std::uint32_t count = tx_.allocate(into);
    // Packets made before run(): the thread that runs the executor is to own the home.
    if (executor_ == nullptr || executor::current() != executor_) { tx_.release(); }
    return count;
}

void tx_service::withdraw_hunger() noexcept {
    if (std::exchange(hungry_, false) && tx_.home().adopt()) { tx_.home().withdraw_hungry(); }
}

// What the executor, the timer and the link monitor call

void tx_service::end_turn() noexcept {
    if (busy()) {
        if (may_defer()) {
            tx_.reap();
        } else {
            const bool reaped = blocked_ && tx_.reap() != 0;
            if (!blocked_ || reaped || tx_.failure()) { push(reaped); }
            if (blocked_) { keep_trying(); }  // an executor that is never idle does not come to before_sleep()
        }
    }
    serve_allocations();
}

void tx_service::before_sleep() noexcept {
    if (busy()) { keep_trying(); }
    serve_allocations();  // a loop that is not ours may have dropped packets since the turn
    while (!allocating_.empty()) {
        if (tx_.home().publish_hungry()) {
            probe<"async_tx: sleeps hungry">();
            hungry_ = true;
            tx_.home().release_hungry();
            return;
        }
        serve_allocations();
    }
}

/// Tells whether what is queued can wait for more to be kicked with it: the executor comes back soon by itself, and nobody
/// waits.
bool tx_service::may_defer() noexcept {
    if (blocked_ || !sending_.empty() || !allocating_.empty() || tx_.failure() || !inside(*executor_).has_ready()) {
        return false;
    }
    const std::uint32_t queued = tx_.pending();
    const std::chrono::nanoseconds delay = policy_.delay;
    if (queued == 0 || queued >= policy_.packets || delay.count() <= 0) { return false; }
    const auto now = executor_->now();
    if (!deferred_) {
        deferred_ = true;
        queued_since_ = now;
    }
    return now - queued_since_ < delay;
}

void tx_service::keep_trying() noexcept {
    if (tx_.failure() || timer_node::is_linked()) { return; }
    const auto now = executor_->now();
    auto next = now + (tx_.link_down() ? link_down_back_off : back_off_);
    const bool limited = !sending_.empty() && tx_.in_flight() != 0 && !tx_.link_down();
    if (limited) { next = std::min(next, std::max(now, overdue_at(sending_.front()))); }
    inside(*executor_).add_timer(*this, next);
}

void tx_service::end_run() noexcept {
    clear_timer();
    deferred_ = false;
    withdraw_hunger();
    tx_.home().settle();
    if (tx_.in_flight() != 0) { tx_.flush(); }
    tx_.release();
}

void tx_service::after_arriving() noexcept {
    tx_.home().set_waker(waker());
}

void tx_service::on_time() noexcept {
    probe<"async_tx: back-off">();
    back_off_ = std::min(back_off_ * 2, longest_back_off);
    push();
    serve_allocations();
}

void tx_service::on_interface_gone() noexcept {
    tx_.fail(errc::interface_gone);
    static_cast<void>(serve_sends());
    serve_allocations();
}

void tx_service::on_link(bool up) noexcept {
    if (up && tx_.link_down()) { push(); }
}

}  // namespace fluxnet::detail
