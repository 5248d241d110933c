// SPDX-License-Identifier: BSD-3-Clause
// `driver`: turns a fluxnet executor by handlers of an Asio executor, and lets Asio wait for it.
//
// Shared by an `execution` and everything that was started on it. Threads: any thread may start something; the executor is
// driven by the threads that run the Asio executor's context, one at a time.
//
// How it goes. A round is a handler in the driver's strand. It makes a turn, which polls the executor once, and then calls
// the handlers of what has ended in the turn. If there is more to do the next round is posted, behind what else the context
// has to do; but a few turns that are short of packets follow each other in one round, because a post costs as much as
// receiving twenty packets. If there is no more to do, and the executor has work, the driver waits through Asio for the
// executor's descriptor and for its next timer. If the executor has no work the driver waits for nothing: what it has waited
// for is cancelled, so that it does not keep the context from ending.
//
// What a handler begins that need not wait, a reception while packets are there, ends at once, and its handler is called
// next in the same round, after the one that began it has returned. The packets of a turn's budget end this: the reception
// that finds it spent waits for the next turn, which is posted.
//
// Locks. The strand lets one turn follow the other without blocking threads of the context. `mutex_` is for the others: a
// thread outside the strand that closes the driver, or destroys a handle bound to its executor, waits until the turn under
// way has ended. It is recursive, because what runs in a turn may do so too; a driver that is closed in its own turn is
// cleared when that turn ends. A thread that holds the mutex of one driver, as it does in a turn, never waits for another
// one's, since that one's turn may want the first: what it cannot do at once is posted to the other strand, or refused.
//
// The end. close(), by the end of the `execution`: frames are destroyed, and the handlers of what was under way are told so.
// end_with_context(): the same, but handlers are destroyed without a call, as Asio does with all others.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/asio/detail/context_waits.hpp"
#include "fluxnet/runtime/asio/detail/driven.hpp"
#include "fluxnet/runtime/asio/detail/driver_service.hpp"
#include "fluxnet/runtime/asio/detail/turn_lock.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <system_error>
#include <thread>
#include <utility>

namespace fluxnet::asio::detail {

/// Whether the calling thread holds a driver's mutex, and what runs may be the user's.
inline constinit thread_local bool holds_a_driver = false;

class driver final : public context_member,
                     public std::enable_shared_from_this<driver>,
                     private fluxnet::detail::turn_handler,
                     private fluxnet::detail::rest_listener {
public:
    using strand_type = context_waits::strand_type;

    driver(const net::any_io_executor& on, reactor_kind kind)
        : loop_({}, kind, reactor_threads::changing), waits_(on), context_(io_context_of(on)) {
        loop_.use_service<driver_link>().by = this;
        fluxnet::detail::inside(loop_).add_handler(*this);
        fluxnet::detail::inside(loop_).set_rest_listener(*this);
    }
    driver(const driver&) = delete;
    driver& operator=(const driver&) = delete;
    ~driver() {
        if (service_ != nullptr) { service_->remove(*this); }
    }

    /// Makes one that looks at its executor as soon as the context runs. Throws std::system_error when the kernel gives no
    /// descriptors.
    [[nodiscard]] static std::shared_ptr<driver> make(const net::any_io_executor& on, reactor_kind kind) {
        const auto made = std::make_shared<driver>(on, kind);
        driver_service& all = net::use_service<driver_service>(net::query(on, net::execution::context));
        all.add(*made);
        made->service_ = &all;
        made->schedule();
        return made;
    }

    [[nodiscard]] executor& loop() noexcept { return loop_; }

    /// Where turns are made. Valid while the context is.
    [[nodiscard]] const strand_type& strand() const noexcept { return waits_->strand(); }

    /// Has a turn made soon. Any thread, also one that does not own the driver, which may be going.
    void schedule() {
        if (context_ends_ || turn_due_.exchange(true, std::memory_order_acq_rel)) { return; }
        try {
            if (auto self = weak_from_this().lock()) {
                const strand_type on = strand();
                net::post(on, [self = std::move(self)] { self->make_due_turn(); });
            }
        } catch (...) {
            turn_due_.store(false, std::memory_order_release);  // none comes: the next call is to try again
            throw;
        }
    }

    /// Tells whether the calling thread is in the strand, where operations may begin. While the context is there.
    [[nodiscard]] bool is_here() const noexcept {
        return round_on_.load(std::memory_order_relaxed) == std::this_thread::get_id() ||
               waits_->strand().running_in_this_thread();
    }

    /// Begins an operation: one that ends `at_once` or waits in the turn that was made last, if its budget allows, or in the
    /// next. Gives it up when the driver was closed. In the strand. What it throws, it throws without an operation begun.
    void begin(driven_operation& one, bool at_once) {
        const std::lock_guard lock(mutex_);
        if (closed()) {
            one.give_up();
            return;
        }
        try {
            if (!in_round_) { schedule(); }
            undecided_ = in_round_;
            loop_.after_sleep();  // else the executor would be woken by a system call
            if (at_once && in_round_ && !in_turn_ && context_ != nullptr && !loop_.stopped() && one.may_end_now()) {
                bool ended = false;
                loop_.visited([&] { ended = one.ends_at_once(); });
                if (ended) {
                    ended_.push_back(one);
                    return;
                }
            }
            if (at_once && !in_round_) { one.keep_context(); }
        } catch (...) {
            one.drop();
            throw;
        }
        if (in_round_) { turn_wanted_ = true; }
        if (at_once) {
            begun_.push_back(one);
        } else {
            spawn(one);
        }
    }

    /// Has the handler of `one` told: after the turn, if one is under way. Any thread.
    void end(driven_operation& one) {
        const std::lock_guard lock(mutex_);
        ended_.push_back(one);
        if (!in_round_) { post_sending(); }
    }

    /// Has `one` let go when the context ends. Any thread, as remove().
    void add(unawaited_operation& one) noexcept {
        const std::lock_guard lock(unawaited_mutex_);
        unawaited_.push_back(one);
    }
    void remove(unawaited_operation& one) noexcept {
        const std::lock_guard lock(unawaited_mutex_);
        unawaited_.erase(unawaited_.iterator_to(one));
    }

    /// Tells whether the calling thread is in a turn of another driver, and not of this one.
    [[nodiscard]] bool is_in_turn_of_another() const noexcept { return holds_a_driver && !mutex_.is_mine(); }

    /// Calls `function` while no other thread makes a turn. Waits for the turn under way: not in a turn of another driver.
    template <class F>
    void exclusively(F function) {
        const outsider here(*this, true);
        function();
    }

    /// The same anywhere. Returns false, without a call, in a turn of another driver while a turn of this one is under way.
    template <class F>
    [[nodiscard]] bool try_exclusively(F function) {
        const outsider here(*this, !is_in_turn_of_another());
        if (here.is_in()) { function(); }
        return here.is_in();
    }

    /// The same, but has `function` called after the turn under way where it is not called at once.
    template <class F>
    void exclusively_or_later(F function) noexcept {
        if (try_exclusively(function)) { return; }
        try {
            net::post(strand(), [self = shared_from_this(), function] { self->exclusively(function); });
        } catch (...) { exclusively(function); }  // there is no memory: it waits after all
    }

    /// Destroys the frames of all tasks, now or at the end of the turn that is under way.
    void close() noexcept {
        const bool in_turn_of_another = is_in_turn_of_another();
        if (in_turn_of_another && closed_.exchange(true, std::memory_order_relaxed)) { return; }
        exclusively_or_later([this, in_turn_of_another] {
            if (!in_turn_of_another && closed_.exchange(true, std::memory_order_relaxed)) { return; }
            if (!in_turn_) { clear(); }
        });
    }

    /// Tells whether frames are destroyed for good, and not because something of theirs was given up.
    [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

    /// Tells whether handlers are to be destroyed without a call.
    [[nodiscard]] bool context_ends() const noexcept { return context_ends_; }

private:
    /// While it lives the thread does not wait for another driver.
    class holding {
    public:
        holding() noexcept : outer_(std::exchange(holds_a_driver, true)) {}
        holding(const holding&) = delete;
        holding& operator=(const holding&) = delete;
        ~holding() { holds_a_driver = outer_; }

    private:
        const bool outer_;
    };

    /// Holds the mutex for somebody who may be outside the strand, and `waits` for it or does without. Turns that follow each
    /// other would hardly let go of it.
    class outsider {
    public:
        outsider(driver& of, bool waits) noexcept : of_(of) {
            of_.outsiders_.fetch_add(1, std::memory_order_relaxed);
            if (waits) {
                of_.mutex_.lock();
            } else if (!of_.mutex_.try_lock()) {
                return;
            }
            held_.emplace();
        }
        outsider(const outsider&) = delete;
        outsider& operator=(const outsider&) = delete;
        ~outsider() {
            if (held_) { of_.mutex_.unlock(); }
            of_.outsiders_.fetch_sub(1, std::memory_order_relaxed);
        }

        [[nodiscard]] bool is_in() const noexcept { return held_.has_value(); }

    private:
        driver& of_;
        std::optional<holding> held_;
    };

    // The executor, when it is destroyed, waits for the thread that calls this.
    void on_work() noexcept override { schedule(); }

    std::shared_ptr<context_member> keep() noexcept override { return weak_from_this().lock(); }

    void end_with_context() noexcept override {
        const std::lock_guard lock(mutex_);
        const holding here;
        service_ = nullptr;
        context_ends_ = true;
        closed_.store(true, std::memory_order_relaxed);
        clear();
        while (!ended_.empty()) {
            driven_operation& first = ended_.front();
            ended_.pop_front();
            first.drop();
        }
        while (unawaited_operation* const first = take_unawaited()) { first->let_go(); }
        waits_.reset();
    }

    [[nodiscard]] unawaited_operation* take_unawaited() noexcept {
        const std::lock_guard lock(unawaited_mutex_);
        if (unawaited_.empty()) { return nullptr; }
        unawaited_operation& first = unawaited_.front();
        unawaited_.pop_front();
        return &first;
    }

    /// A round under way. Has those handlers told later that an exception of another one has left, or the end of the
    /// context's run.
    class round {
    public:
        explicit round(driver& of) noexcept : of_(of) {
            const std::lock_guard lock(of_.mutex_);
            of_.in_round_ = true;
            of_.round_on_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        }
        round(const round&) = delete;
        round& operator=(const round&) = delete;
        ~round() {
            const std::lock_guard lock(of_.mutex_);
            of_.round_on_.store(std::thread::id(), std::memory_order_relaxed);
            of_.in_round_ = false;
            const bool wanted = std::exchange(of_.turn_wanted_, false);
            if (std::exchange(of_.undecided_, false) || wanted) { of_.schedule(); }
            if (!of_.ended_.empty()) { of_.post_sending(); }
        }

    private:
        driver& of_;
    };

    /// Gives `one` to a task. Where there is no memory for that it is given up, and its handler is told.
    void spawn(driven_operation& one) noexcept {
        bool given = false;
        try {
            one.keep_context();
            std::source_location where;
            given = true;
            task<void> work = one.carry_out(where);
            loop_.spawn(std::move(work), where);
        } catch (...) {
            if (!given) { one.give_up(); }
        }
    }

    // What has begun since the last turn ends in this one if it need not wait, else a task waits for it. It may end at the
    // end of the turn, or in the last look, which there is unless another turn follows anyway.

    void end_turn() noexcept override { begin_rest(fluxnet::detail::inside(loop_).has_ready()); }
    void last_look() noexcept override { begin_rest(true); }
    void before_sleep() noexcept override {}
    void after_sleep() noexcept override {}
    void end_run() noexcept override {}

    /// Begins what has not begun: what would have to wait only if it `may_wait`.
    void begin_rest(bool may_wait) noexcept {
        for (auto each = begun_.begin(); each != begun_.end();) {
            driven_operation& one = *each;
            const bool ended = one.may_end_now() && one.ends_at_once();
            if (!ended && !may_wait) {
                ++each;
                continue;
            }
            each = begun_.erase(each);
            if (ended) {
                ended_.push_back(one);
                continue;
            }
            spawn(one);
        }
    }

    void make_due_turn() {
        if (turn_due_.load(std::memory_order_acquire)) { make_round(true); }
    }

    // Handlers are told after the turn, outside the mutex: they may be called at once, and do what they like.

    /// Makes turns, the first one if there is to be a `turn`, and tells handlers.
    void make_round(bool turn) {
        const round here(*this);
        const std::uint64_t resumed = loop_.resumptions();
        for (unsigned left = turns_a_round;; --left) {
            const bool again = turn && make_turn();
            send_off();
            if (!fluxnet::detail::inside(loop_).has_packet_budget()) { left -= std::min(left, turns_of_many_packets) - 1; }
            const bool may = left > 1 && loop_.resumptions() - resumed < resumptions_a_round;
            if (!goes_on(again, may)) { return; }
            turn = true;
        }
    }

    /// Tells handlers, but not those behind one that stopped the context.
    void send_off() {
        for (unsigned told = 0;; ++told) {
            driven_operation* const one = take_ended(told);
            if (one == nullptr) { return; }
            one->send_off();
        }
    }

    void post_sending() {
        net::post(strand(), [self = shared_from_this()] { self->make_round(false); });
    }

    /// The next one to be told in this round, after so many others.
    [[nodiscard]] driven_operation* take_ended(unsigned told) noexcept {
        const std::lock_guard lock(mutex_);
        if (ended_.empty() || told == handlers_a_round) { return nullptr; }
        if (told != 0 && context_ != nullptr && context_->stopped()) { return nullptr; }
        driven_operation& first = ended_.front();
        ended_.pop_front();
        return &first;
    }

    /// Makes a turn, and returns whether another one is to follow.
    bool make_turn() {
        while (outsiders_.load(std::memory_order_relaxed) != 0) { std::this_thread::yield(); }
        const std::lock_guard lock(mutex_);
        const holding here;
        turn_due_.exchange(false, std::memory_order_acq_rel);
        if (closed()) { return false; }
        undecided_ = true;
        in_turn_ = true;
        const struct over {
            driver& of;
            ~over() {
                of.in_turn_ = false;
                if (of.closed()) { of.clear(); }
            }
        } end_of_turn{*this};
        return loop_.poll();  // what leaves a task leaves the context's run(), as it leaves the executor's
    }

    /// Decides what comes after a turn, if one was made, and the handlers. Returns whether the round goes on with a turn,
    /// which it `may`.
    bool goes_on(bool again, bool may) {
        const std::lock_guard lock(mutex_);
        again = std::exchange(turn_wanted_, false) || again;
        if (closed() || !(undecided_ || again)) {
            undecided_ = false;
            return false;
        }
        undecided_ = true;  // also when an exception leaves this, of a context without descriptors for example
        const bool at_once = decide(again, may);
        undecided_ = false;
        return at_once;
    }

    [[nodiscard]] bool decide(bool again, bool may) {
        if (loop_.stopped()) {
            for (driven_operation& each : begun_) { each.keep_context(); }
            rest();
        } else if (again) {
            if (may && ended_.empty() && context_ != nullptr && !context_->stopped()) { return true; }
            schedule();
        } else if (turn_due_.load(std::memory_order_acquire)) {
            return false;
        } else if (!has_work()) {
            if (fluxnet::detail::inside(loop_).begin_rest()) {
                rest();
            } else {
                schedule();
            }
        } else if (const auto plan = loop_.prepare_sleep()) {
            await(*plan);
        } else {
            schedule();
        }
        return false;
    }

    [[nodiscard]] bool has_work() noexcept {
        return loop_.has_work() || fluxnet::detail::inside(loop_).has_unfinished();
    }

    /// The context of `on`, when it is an io_context: only of one can be told whether it was stopped.
    [[nodiscard]] static net::io_context* io_context_of(const net::any_io_executor& on) noexcept {
        const auto* const found = on.target<net::io_context::executor_type>();
        // Not by context(), which executors have only where Asio has those of the Networking TS.
        return found == nullptr ? nullptr : &net::query(*found, net::execution::context);
    }

    /// Waits for what `plan` names, through Asio.
    void await(const sleep_plan& plan) {
        waits_->begin(plan, [this](auto wait, std::uint64_t number) {
            return [self = shared_from_this(), wait, number](const boost::system::error_code&) {
                {
                    const std::lock_guard lock(self->mutex_);
                    if (!self->waits_->ends(wait, number)) { return; }
                }
                self->make_round(true);
            };
        });
    }

    /// Waits for nothing.
    void rest() noexcept {
        if (waits_) { waits_->cancel(); }
    }

    void clear() noexcept {
        rest();
        while (!begun_.empty()) {
            driven_operation& first = begun_.front();
            begun_.pop_front();
            first.give_up();
        }
        loop_.discard_tasks();
    }

    static constexpr unsigned turns_a_round = 8;
    static constexpr unsigned turns_of_many_packets = 2;  // for which one counts that has spent its budget of packets
    static constexpr unsigned resumptions_a_round = 64;   // before the last of these turns
    static constexpr unsigned handlers_a_round = 256;     // told after one turn

    driven_executor loop_;
    turn_lock mutex_;  // guards the rest, but for what may be read at any time:
    std::atomic<bool> turn_due_ = false;
    std::atomic<unsigned> outsiders_ = 0;  // that hold the mutex or wait for it
    std::optional<context_waits> waits_;   // nothing once the context has gone
    driver_service* service_ = nullptr;
    boost::intrusive::list<driven_operation, boost::intrusive::constant_time_size<false>> begun_;
    boost::intrusive::list<driven_operation, boost::intrusive::constant_time_size<false>> ended_;
    net::io_context* const context_;  // null: it is something else, and may be stopped without a sign
    std::atomic<std::thread::id> round_on_ = std::thread::id();
    bool in_round_ = false;
    bool in_turn_ = false;
    bool turn_wanted_ = false;          // by something that began in this round
    bool undecided_ = false;            // what is to follow the last turn
    std::atomic<bool> closed_ = false;  // set while turns are excluded, or in a turn of another driver
    bool context_ends_ = false;
    std::mutex unawaited_mutex_;  // guards:
    boost::intrusive::list<unawaited_operation, boost::intrusive::constant_time_size<false>> unawaited_;
};

}  // namespace fluxnet::asio::detail
