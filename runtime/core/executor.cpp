// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/detail/executor_tasks.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace fluxnet {
namespace {

/// Rings at the limit of a run that has one.
class alarm final : public detail::timer_node {
public:
    alarm() = default;
    ~alarm() override { clear_timer(); }
    void on_time() noexcept override { rung = true; }
    bool rung = false;
};

}  // namespace

class executor::posted_function final : public ready_node {
public:
    posted_function(executor& owner, std::function<void()> function) : owner_(owner), function_(std::move(function)) {}

    void run() noexcept override {
        const std::unique_ptr<posted_function> self(this);
        try {
            function_();
        } catch (...) { owner_.keep_failure(std::current_exception()); }
    }
    void dispose() noexcept override { delete this; }

private:
    executor& owner_;
    std::function<void()> function_;
};

/// Ends a sleep, or the attempt at one, and tells the handles: also when the reactor has thrown.
class executor::awakening {
public:
    explicit awakening(executor& of) noexcept : of_(of) {}
    awakening(const awakening&) = delete;
    awakening& operator=(const awakening&) = delete;
    ~awakening() {
        if (put_off_) { return; }
        of_.inbox_.end_sleep();
        for (auto& handler : of_.handlers_) { handler.after_sleep(); }
    }

    /// Leaves it to somebody else.
    void put_off() noexcept { put_off_ = true; }

private:
    executor& of_;
    bool put_off_ = false;
};

constinit thread_local executor* executor::current_ = nullptr;

executor::executor(const idle_policy& idle, reactor_kind kind, reactor_threads threads)
    : scheduler(make_reactor(kind, threads), nullptr), idle_(idle), threads_(threads),
      tasks_(std::make_unique<detail::executor_tasks>(*this)) {
    if (idle.napi_poll.count() > 0) { reactor_->poll_devices(idle.napi_poll); }
}

executor::executor(executor_clock& clock)
    : scheduler(clock.make_reactor(), &clock), threads_(reactor_threads::one),
      tasks_(std::make_unique<detail::executor_tasks>(*this)) {}

executor::~executor() {
    if (driven_) [[unlikely]] {
        std::fputs("fluxnet: an executor is destroyed while it is driven, by a task or a posted function of its own\n", stderr);
        std::abort();
    }
    inbox_.end_sleep();
    inbox_.settle();
    release();
    destroy_tasks();  // frames go first: their awaiters let go of the reactor, timers and queues
    services_.clear();
    take_inbox();
    while (!ready_.empty()) {
        ready_node& node = ready_.front();
        ready_.pop_front();
        node.dispose();
    }
    if (failure_) { detail::tell_exception(failure_, "a task of an executor that went before it could say so"); }
}

bool executor::has_work() const noexcept {
    return tasks_->any() || guards_.load(std::memory_order_acquire) != 0;
}

void executor::add_guard() noexcept {
    // One that rests is to see it. The poke comes after the count: so a rest that begins meanwhile does not, or ends.
    if (guards_.fetch_add(1, std::memory_order_acq_rel) == 0 && rest_listener_ != nullptr) { wake(); }
}

void executor::drop_guard() noexcept {
    if (guards_.fetch_sub(1, std::memory_order_acq_rel) == 1) { wake(); }
}

void executor::check_thread() {
    const std::thread::id here = std::this_thread::get_id();
    if (driven_) {
        throw std::system_error(make_error_code(errc::already_running),
                                "run an executor that is running: inside its own run(), or on two threads at once");
    }
    if (clock_ != nullptr && clock_->is_foreign_thread()) {
        throw std::system_error(make_error_code(errc::wrong_thread),
                                "run an executor on another thread than its clock was made on");
    }
    const std::thread::id before = thread_.load(std::memory_order_relaxed);
    if (threads_ == reactor_threads::one && before != std::thread::id() && before != here) {
        throw std::system_error(make_error_code(errc::wrong_thread),
                                "run an executor on another thread than before; make it with reactor_threads::changing "
                                "to let threads take turns");
    }
    reactor_->attach();
    thread_.store(here, std::memory_order_relaxed);
}

executor::visit::visit(executor& self) : self_(self), outer_(current_) {
    self.check_thread();
    self.driven_ = true;
    current_ = &self;
    self.take_inbox();
}

executor::visit::~visit() {
    if (self_.threads_ == reactor_threads::changing) {
        for (auto& handler : self_.handlers_) { handler.leave_thread(); }
    }
    self_.driven_ = false;
    current_ = outer_;
}

executor& executor::awake() {
    after_sleep();
    return *this;
}

executor::run_visit::~run_visit() {
    self_.release();
    self_.inbox_.restart();
}

void executor::release() noexcept {
    for (auto& handler : handlers_) { handler.end_run(); }
}

void executor::run() {
    const run_visit here(*this);
    for (bool more = has_work(); (more || has_ready()) && !stopped();) {
        start_turn();
        more = has_work();
        end_turn(!more);  // the last turn does not rest
    }
}

bool executor::run_to(time_point limit) {
    alarm at_limit;
    const visit here(awake());
    if (limit != time_point::max()) { add_timer(at_limit, limit); }
    while ((has_work() || has_ready()) && !stopped() && !at_limit.rung) {
        start_turn();
        end_turn(!has_work() || at_limit.rung);
    }
    return has_work() || has_ready();
}

bool executor::poll() {
    const visit here(awake());
    if (stopped()) { return false; }
    start_turn();
    for (auto& handler : handlers_) { handler.end_turn(); }
    if (ready_.empty()) {
        for (auto& handler : handlers_) { handler.last_look(); }
    }
    reactor_->poll();
    throw_failure();
    return !ready_.empty();
}

std::optional<sleep_plan> executor::prepare_sleep() {
    if (clock_ != nullptr) {
        throw std::system_error(make_error_code(errc::not_in_virtual_time), "wait for an executor's descriptor");
    }
    const visit here(awake());
    for (auto& handler : handlers_) { handler.before_sleep(); }
    awakening over(*this);
    if (ready_.empty() && inbox_.begin_sleep()) {
        const prepared_wait prepared = reactor_->prepare_wait();
        if (!prepared.ready) {
            over.put_off();
            sleeps_.add(1);
            sleep_plan plan{prepared.fd, std::nullopt};
            // Not before the time that is known to have passed: the caller subtracts, and the earliest time there is lies
            // further back than a duration reaches.
            if (!timers_.empty()) { plan.deadline = std::max(timers_.begin()->deadline, coarse_now_); }
            return plan;
        }
        inbox_.end_sleep();
        reactor_->finish_wait();
    }
    return std::nullopt;
}

void executor::after_sleep() {
    if (!inbox_.asleep()) { return; }
    if (inbox_.resting() != nullptr) {
        inbox_.end_sleep();
        coarse_now_ = now();
        return;
    }
    const visit here(*this);
    const awakening over(*this);
    inbox_.end_sleep();
    reactor_->finish_wait();
    coarse_now_ = now();
}

void executor::start_turn() {
    packet_budget_ = packets_per_turn;
    at_once_left_ = at_once_budget;
    if (turns_.add(1) % 64 == 0) { coarse_now_ = now(); }
    take_inbox();
    fire_timers();
    run_ready();
}

void executor::end_turn(bool worked) {
    finish_turn(worked);
    throw_failure();
}

void executor::finish_turn(bool worked) {
    for (auto& handler : handlers_) { handler.end_turn(); }
    if (worked) { worked_ = true; }
    if (worked || !ready_.empty() || stopped() || failure_) {
        resting_.reset();
        reactor_->poll();
    } else {
        rest();
    }
}

void executor::throw_failure() {
    if (failure_) [[unlikely]] { std::rethrow_exception(std::exchange(failure_, nullptr)); }
}

void executor::resume(ready_node& node) noexcept {
    detail::resumed_at = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (node.coroutine) {
        node.coroutine.resume();
    } else {
        node.run();
    }
}

void executor::run_ready() {
    if (clock_ != nullptr) [[unlikely]] {
        run_ready_by_clock();
        return;
    }
    worked_ = !ready_.empty();
    ready_left_ = ready_budget;
    while (ready_left_ != 0 && !ready_.empty()) {
        --ready_left_;
        ready_node& node = ready_.front();
        ready_.pop_front();
        resume(node);
    }
    resumptions_.add(ready_budget - std::exchange(ready_left_, 0));
}

void executor::fire_timers() {
    if (timers_.empty()) { return; }
    coarse_now_ = now();
    while (!timers_.empty() && timers_.begin()->deadline <= coarse_now_) {
        detail::timer_node& due = *timers_.begin();
        timers_.erase(timers_.begin());
        due.on_time();
    }
}

void executor::rest() {
    // Two rounds, so that nothing is armed for a sleep that the last handler has just made unnecessary.
    for (auto& handler : handlers_) { handler.last_look(); }
    if (!ready_.empty()) {
        reactor_->poll();
        return;
    }
    if (keeps_spinning()) {
        spins_.add(1);
        reactor_->poll();
        return;
    }
    sleep();
    resting_.reset();
}

bool executor::keeps_spinning() noexcept {
    if (idle_.how == poller::wait) { return false; }
    if (idle_.how == poller::busy) { return true; }
    if (worked_) {
        resting_.reset();
        return true;
    }
    coarse_now_ = now();
    if (!resting_) { resting_ = coarse_now_; }
    return coarse_now_ - *resting_ < idle_.spin;
}

void executor::sleep() {
    for (auto& handler : handlers_) { handler.before_sleep(); }
    const awakening over(*this);
    if (!ready_.empty() || !inbox_.begin_sleep()) { return reactor_->poll(); }
    sleeps_.add(1);
    std::optional<time_point> deadline;
    if (!timers_.empty()) { deadline = timers_.begin()->deadline; }
    if (clock_ == nullptr) [[likely]] {
        reactor_->wait(deadline);
    } else {
        pass_time(deadline);
    }
    coarse_now_ = now();
}

void executor::post(std::function<void()> function) {
    if (clock_ != nullptr) [[unlikely]] { refuse_foreign_thread(); }
    scheduler::post(*new posted_function(*this, std::move(function)));
}

void executor::stop() noexcept {
    if (!inbox_.stop()) { return; }
    if (inbox_.resting() == nullptr) {
        wake_sleeper();
    } else {
        inbox_.woken();  // it need not look: restart() has it do so, which no signal handler calls
    }
}

void executor::request_stop() {
    const std::uint64_t restarts = restarts_.load(std::memory_order_acquire);
    stop_asked_.store(restarts + 1, std::memory_order_relaxed);
    if (current_ == this) {
        stop_source_.request_stop();
    } else {
        post([this, restarts] {
            if (restarts == restarts_.load(std::memory_order_relaxed)) { stop_source_.request_stop(); }
        });
    }
}

void executor::restart() {
    inbox_.restart();
    restarts_.fetch_add(1, std::memory_order_release);  // a request that has not come yet is not meant for what follows
    if (stop_source_.stop_requested()) { stop_source_ = std::stop_source(); }
    if (rest_listener_ != nullptr) { rest_listener_->on_work(); }
}

std::vector<task_info> executor::shut_down_by(time_point limit) {
    {
        alarm at_limit;
        const run_visit here(*this);
        inbox_.restart();  // a stop() from before, to which poll() keeps, is not meant for this
        add_timer(at_limit, limit);
        request_stop();
        const auto any_task = [&] { return tasks_->any() || tasks_->any_background(); };
        while ((any_task() || has_ready()) && !stopped() && !at_limit.rung) {
            start_turn();
            finish_turn(!any_task() || at_limit.rung);
        }
    }
    throw_failure();
    return tasks();
}

void executor::keep_failure(std::exception_ptr failure) noexcept {
    if (failure_) { return detail::tell_exception(failure, "a task of an executor, after another that failed"); }
    failure_ = std::move(failure);
}

}  // namespace fluxnet
