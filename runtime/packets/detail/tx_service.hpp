// SPDX-License-Identifier: BSD-3-Clause
// `tx_service`: what the executor and the link monitor hold of an async_tx: its tx, the coroutines that wait
// there, and when to look again.
//
// Owned by the handle, at an address that stays while the handle moves. Threads: used on the executor's thread, or while no
// thread runs the executor.
//
// Two lines of coroutines wait here: sends, for room in the TX ring, and allocations, for free frames of the tx's home. Both
// are served at the end of a turn. What else makes the service look again:
//   in flight   While the kernel has packets of ours, a timer looks for completions; see keep_trying().
//   hunger      While an allocation waits and the executor is about to sleep, the home asks to be told of the next frame
//               that comes back (frame_home::publish_hungry()); the thread that returns it wakes the executor. The service
//               gives up its ownership of the home for the sleep, so that this holds for its own thread too: that thread may
//               drop packets while a loop of the user's waits for the executor's descriptor.
#pragma once

#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/packets/detail/handle_service.hpp"
#include "fluxnet/xsk/tx.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <system_error>

namespace fluxnet::detail {

class tx_service final : public handle_service, private timer_node {
public:
    /// Throws std::system_error when no rtnetlink socket can be had.
    tx_service(executor& on, tx socket);
    ~tx_service();

    // For the awaiters: start() begins and tells whether that was all; if not, wait() joins the line.

    /// Nobody overtakes a send that waits. What takes no room draws on the turn's budget of awaits instead.
    [[nodiscard]] bool start(async_tx::send_awaiter& send) noexcept {
        if (executor_ == nullptr || !sending_.empty()) { return false; }
        send.sent_ = tx_.try_send(send.packets_);
        if (send.sent_ == send.packets_.size()) [[likely]] { return send.sent_ != 0 || draw_here(); }
        send.failure_ = tx_.refusal(send.packets_[send.sent_]);
        return send.failure_ && draw_here();
    }
    void wait(async_tx::send_awaiter& send) noexcept;

    /// Likewise. On another executor it begins nothing: it would make that one's thread the owner of the home.
    [[nodiscard]] bool start(async_tx::allocate_awaiter& allocation) noexcept;
    void wait(async_tx::allocate_awaiter& allocation) noexcept;

    std::uint32_t try_allocate(std::span<packet> into) noexcept;

    void set_policy(const flush_policy& policy) noexcept { policy_ = policy; }
    void set_completion_limit(std::chrono::nanoseconds limit) noexcept { completion_limit_ = limit; }

    [[nodiscard]] std::chrono::nanoseconds completion_limit() const noexcept { return completion_limit_; }

    [[nodiscard]] tx& socket() noexcept { return tx_; }

private:
    template <class Awaiter>
    using line = boost::intrusive::list<Awaiter, boost::intrusive::base_hook<tx_line_hook>,
                                        boost::intrusive::constant_time_size<false>>;

    /// Ends the wait of the first in line.
    template <class Line>
    static void complete_first(Line& waiting, std::error_code outcome) noexcept {
        auto& first = waiting.front();
        waiting.pop_front();
        first.complete(outcome);
    }

    // turn_handler, timer_node and link_listener
    void end_turn() noexcept override;
    void last_look() noexcept override { serve_allocations(); }  // others have reaped frames of this home
    void before_sleep() noexcept override;
    void after_sleep() noexcept override { withdraw_hunger(); }
    void leave_thread() noexcept override { tx_.release(); }
    void end_run() noexcept override;
    /// Packets are queued that the kernel has not taken, and it may.
    [[nodiscard]] bool has_unfinished() noexcept override {
        return tx_.pending() != 0 && !tx_.failure() && !tx_.link_down();
    }
    void on_time() noexcept override;
    void on_interface_gone() noexcept override;
    void on_program_lost() noexcept override {}
    void on_link(bool up) noexcept override;

    // handle_service
    [[nodiscard]] bool in_use() const noexcept override { return !sending_.empty() || !allocating_.empty(); }
    void after_leaving() noexcept override { tx_.home().set_waker({}); }
    void after_arriving() noexcept override;

    /// Tells whether the kernel has packets of ours, or a send waits.
    [[nodiscard]] bool busy() const noexcept { return tx_.in_flight() != 0 || !sending_.empty(); }

    [[nodiscard]] bool may_defer() noexcept;
    void keep_trying() noexcept;
    void push(bool reaped = false) noexcept;
    [[nodiscard]] bool advance(async_tx::send_awaiter& send) noexcept;
    [[nodiscard]] bool serve_sends() noexcept;
    void end_overdue() noexcept;
    [[nodiscard]] executor::time_point overdue_at(const async_tx::send_awaiter& send) const noexcept;

    /// Tells whether the allocation is over: it has frames, or will have none.
    [[nodiscard]] bool advance(async_tx::allocate_awaiter& allocation) noexcept;
    void serve_allocations() noexcept;
    void withdraw_hunger() noexcept;

    tx tx_;
    line<async_tx::send_awaiter> sending_;
    line<async_tx::allocate_awaiter> allocating_;
    std::chrono::nanoseconds back_off_;
    flush_policy policy_;
    std::chrono::nanoseconds completion_limit_ = async_tx::default_completion_limit;
    executor::time_point progress_{};      // since when the kernel has done nothing for those that wait; see end_overdue()
    executor::time_point queued_since_{};  // of the packets that are deferred
    bool blocked_ = false;   // the kernel made no progress: no kick until a completion comes or the timer fires
    bool deferred_ = false;  // packets are queued that a turn has not kicked
    bool hungry_ = false;    // hunger is published, and the home has no owner
};

}  // namespace fluxnet::detail
