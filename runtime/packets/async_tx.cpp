// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/packets/detail/link_monitor.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fluxnet {
namespace detail {

using namespace std::chrono_literals;

/// What the executor and the link monitor hold of a handle; address-stable while the handle moves.
/// `blocked_` means that the kernel made no progress: nothing is kicked until a completion comes or the timer fires.
class tx_service final : private turn_handler, private timer_node, private link_listener {
public:
    tx_service(executor& on, tx socket) : executor_(on), tx_(std::move(socket)) {
        interface_index = tx_.interface().index;
        if (tx_.link_announced()) { on.use_service<link_monitors>().here().add(*this); }
        inside(executor_).add_handler(*this);
    }

    ~tx_service() {
        while (!waiting_.empty()) {
            probe<"async_tx: closed while a send waits">();
            async_tx::send_awaiter& first = waiting_.front();
            waiting_.pop_front();
            first.complete(errc::closed);
        }
        end_run();
    }

    /// Moves what has credit into the ring. Returns true when the send is over: all taken, or one refused.
    bool advance(async_tx::send_awaiter& send) noexcept {
        const auto rest = send.packets_.subspan(send.sent_);
        send.sent_ += tx_.try_send(rest);
        if (send.sent_ == send.packets_.size()) { return true; }
        send.failure_ = tx_.refusal(send.packets_[send.sent_]);
        return static_cast<bool>(send.failure_);
    }

    /// Nobody overtakes a send that waits.
    bool start(async_tx::send_awaiter& send) noexcept { return waiting_.empty() && advance(send); }

    void wait(async_tx::send_awaiter& send) noexcept {
        probe<"async_tx: send waits for credit">();
        waiting_.push_back(send);
    }

    std::uint32_t allocate(std::span<packet> into) noexcept {
        const std::uint32_t count = tx_.allocate(into);
        // Packets made before run(): the thread that runs the executor is to own the home.
        if (executor::current() != &executor_) { tx_.release(); }
        return count;
    }

    void set_policy(const flush_policy& policy) noexcept { policy_ = policy; }

    [[nodiscard]] tx& socket() noexcept { return tx_; }

private:
    using line = boost::intrusive::list<async_tx::send_awaiter, boost::intrusive::base_hook<send_line_hook>,
                                        boost::intrusive::constant_time_size<false>>;

    static constexpr std::chrono::nanoseconds shortest_back_off = 50us;
    static constexpr std::chrono::nanoseconds longest_back_off = 10ms;
    static constexpr std::chrono::nanoseconds link_down_back_off = 100ms;  // should the news of the link not come

    [[nodiscard]] bool idle() const noexcept { return tx_.in_flight() == 0 && waiting_.empty(); }

    void end_turn() noexcept override {
        if (idle()) { return; }
        if (may_wait()) {
            tx_.reap();
            return;
        }
        if (!blocked_ || tx_.reap() != 0 || tx_.failure()) { push(); }
        if (blocked_) { keep_trying(); }  // an executor that is never idle does not come to before_sleep()
    }

    void before_sleep() noexcept override {
        if (!idle()) { keep_trying(); }
    }

    /// Tells whether what is queued can wait for more to be kicked with it: the executor comes back soon by itself.
    [[nodiscard]] bool may_wait() noexcept {
        if (blocked_ || !waiting_.empty() || tx_.failure() || !inside(executor_).has_ready()) { return false; }
        const std::uint32_t queued = tx_.pending();
        if (queued == 0 || queued >= policy_.packets || policy_.delay.count() == 0) { return false; }
        const auto now = executor_.now();
        if (!deferred_) {
            deferred_ = true;
            queued_since_ = now;
        }
        return now - queued_since_ < policy_.delay;
    }

    void keep_trying() noexcept {
        if (tx_.failure() || timer_node::is_linked()) { return; }
        const auto wait = tx_.link_down() ? link_down_back_off : back_off_;
        inside(executor_).add_timer(*this, executor_.now() + wait);
    }

    void after_sleep() noexcept override {}
    void leave_thread() noexcept override { tx_.release(); }

    void end_run() noexcept override {
        clear_timer();
        deferred_ = false;
        if (tx_.in_flight() != 0) { tx_.flush(); }
        tx_.release();
    }

    void on_time() noexcept override {
        probe<"async_tx: back-off">();
        back_off_ = std::min(back_off_ * 2, longest_back_off);
        push();
    }

    /// Kicks, reaps and serves whoever waits, for as long as that moves something.
    void push() noexcept {
        deferred_ = false;
        const std::uint32_t before = tx_.in_flight();
        const bool queued = tx_.pending() != 0;
        bool served = false;
        for (tx_.flush(); serve(); tx_.flush()) { served = true; }
        blocked_ = tx_.pending() != 0;
        // Packets that are only slow to complete are no progress.
        if (served || tx_.in_flight() < before || (queued && !blocked_)) {
            back_off_ = shortest_back_off;
            clear_timer();  // set for a longer wait
        }
        if (idle()) { clear_timer(); }
    }

    /// Returns true when packets were queued, which wants another kick.
    bool serve() noexcept {
        bool queued = false;
        while (!waiting_.empty()) {
            async_tx::send_awaiter& first = waiting_.front();
            const std::size_t before = first.sent_;
            const bool over = advance(first);
            queued = queued || first.sent_ != before;
            if (!over) { break; }
            waiting_.pop_front();
            first.complete(no_error);
        }
        return queued;
    }

    void on_interface_gone() noexcept override {
        tx_.fail(errc::interface_gone);
        serve();
    }
    void on_program_lost() noexcept override {}
    void on_link(bool up) noexcept override {
        if (up && tx_.link_down()) { push(); }
    }

    executor& executor_;
    tx tx_;
    line waiting_;
    std::chrono::nanoseconds back_off_ = shortest_back_off;
    flush_policy policy_;
    bool blocked_ = false;
    bool deferred_ = false;                                 // packets are queued that a turn has not kicked
    std::chrono::steady_clock::time_point queued_since_{};  // of these; valid while deferred_
};

}  // namespace detail

async_tx::async_tx(executor& on, tx socket) : service_(std::make_unique<detail::tx_service>(on, std::move(socket))) {}
async_tx::async_tx(async_tx&&) noexcept = default;
async_tx& async_tx::operator=(async_tx&&) noexcept = default;
async_tx::~async_tx() = default;

async_tx::send_awaiter async_tx::send(std::span<packet> packets) noexcept {
    return {*service_, packets};
}

async_tx::send_awaiter async_tx::send(packet& one) noexcept {
    return {*service_, std::span(&one, 1)};
}

std::uint32_t async_tx::allocate(std::span<packet> into) noexcept {
    return service_->allocate(into);
}

void async_tx::set_flush_policy(const flush_policy& policy) noexcept {
    service_->set_policy(policy);
}

tx& async_tx::socket() noexcept {
    return service_->socket();
}

const tx& async_tx::socket() const noexcept {
    return service_->socket();
}

bool async_tx::send_awaiter::await_ready() noexcept {
    return service_.start(*this);
}

void async_tx::send_awaiter::wait() noexcept {
    service_.wait(*this);
}

void async_tx::send_awaiter::cancel() noexcept {
    if (detail::send_line_hook::is_linked()) { detail::send_line_hook::unlink(); }
    complete(errc::operation_canceled);
}

io_result async_tx::send_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    return {failure_ ? failure_ : ended, sent_};
}

}  // namespace fluxnet
