// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/detail/strand.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/packets/detail/link_monitor.hpp"
#include "fluxnet/runtime/simulation/detail/virtual_reactor.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <cassert>
#include <thread>

namespace fluxnet {
namespace detail {

/// What was spawned on an executor and has not ended.
class executor_tasks final : private strand_owner {
public:
    explicit executor_tasks(executor& owner) noexcept : owner_(owner) {}

    void start(task<void> work, const std::source_location& where) {
        strands_.start(*this, owner_, owner_.stop_token(), where, std::move(work));
    }
    [[nodiscard]] bool any() const noexcept { return !strands_.empty(); }
    void clear() noexcept { strands_.clear(); }

private:
    void strand_ended(std::exception_ptr failure) noexcept override {
        if (failure) { owner_.keep_failure(std::move(failure)); }
    }

    executor& owner_;
    strand_list strands_;
};

}  // namespace detail

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

constinit thread_local executor* executor::current_ = nullptr;

namespace detail {

bool make_ready_here(ready_node& node) noexcept {
    executor* const here = executor::current();
    if (here == nullptr) { return false; }
    // In virtual time the stack is unwound without a choice of whom to resume, so that the schedule is the same where
    // compilers differ.
    (here->clock_ == nullptr ? here->ready_ : here->unwound_).push_back(node);
    return true;
}

}  // namespace detail

executor::executor(const idle_policy& idle, reactor_kind kind)
    : idle_(idle), reactor_(make_reactor(kind)), tasks_(std::make_unique<detail::executor_tasks>(*this)) {}

executor::executor(virtual_clock& clock)
    : clock_(&clock), virtual_now_(&clock.now_), reactor_(detail::make_virtual_reactor()),
      tasks_(std::make_unique<detail::executor_tasks>(*this)) {}

executor::~executor() {
    assert(current_ != this);
    while (woken_.load(std::memory_order_acquire) < tags_taken_) {
        std::this_thread::sleep_for(
            std::chrono::microseconds(50));  // somebody is between taking the tag and the end of his call
    }
    leave();
    discard_tasks();  // frames go first: their awaiters let go of the reactor, timers and queues
    monitors_.clear();
    take_inbox();
    while (!ready_.empty()) {
        ready_node& node = ready_.front();
        ready_.pop_front();
        node.dispose();
    }
}

void executor::discard_tasks() noexcept {
    take_inbox();  // strands that ended elsewhere are in it, and leave the ready queue by themselves
    tasks_->clear();
}

void executor::spawn(task<void> work, const std::source_location& where) {
    tasks_->start(std::move(work), where);
}

bool executor::has_tasks() const noexcept {
    return tasks_->any();
}

executor::visit::visit(executor& self) : self_(self) {
    assert(current_ == nullptr && "run() inside run()");
    assert((self.clock_ == nullptr || !self.clock_->is_foreign_thread()) && "run() on another thread than its clock's");
    current_ = &self;
    self.reactor_->attach();
    self.take_inbox();
}

executor::visit::~visit() {
    self_.leave();
    self_.inbox_.fetch_and(~stop_tag, std::memory_order_relaxed);
    current_ = nullptr;
}

void executor::run() {
    const visit here(*this);
    while ((has_tasks() || has_ready()) && !stopped()) {
        start_turn();
        end_turn(!has_tasks());  // the last turn does not rest
    }
}

void executor::start_turn() {
    turns_.add(1);
    packet_budget_ = packets_per_turn;
    if (turns_.get() % 64 == 0) { coarse_now_ = now(); }
    take_inbox();
    fire_timers();
    run_ready();
}

void executor::end_turn(bool worked) {
    for (auto& handler : handlers_) { handler.end_turn(); }
    worked_ = worked_ || worked;
    if (worked || !ready_.empty() || stopped() || failure_) {
        resting_.reset();
        reactor_->poll();
    } else {
        rest();
    }
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

void executor::add_timer(detail::timer_node& timer, time_point deadline) noexcept {
    timer.deadline = deadline;
    timer.sequence = ++timer_sequence_;
    timers_.insert(timer);
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
    std::uintptr_t empty = 0;
    if (ready_.empty() &&
        inbox_.compare_exchange_strong(empty, sleeping_tag, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        const struct awakening {
            executor& self;
            ~awakening() {
                std::uintptr_t tag = sleeping_tag;
                if (!self.inbox_.compare_exchange_strong(tag, 0, std::memory_order_relaxed)) { ++self.tags_taken_; }
            }
        } over{*this};
        sleeps_.add(1);
        std::optional<time_point> deadline;
        if (!timers_.empty()) { deadline = timers_.begin()->deadline; }
        if (clock_ == nullptr) [[likely]] {
            reactor_->wait(deadline);
        } else {
            pass_time(deadline);
        }
        coarse_now_ = now();
    } else {
        reactor_->poll();
    }
    for (auto& handler : handlers_) { handler.after_sleep(); }
}

void executor::leave() noexcept {
    for (auto& handler : handlers_) { handler.end_run(); }
}

void executor::take_inbox() noexcept {
    if ((inbox_.load(std::memory_order_relaxed) & ~(sleeping_tag | stop_tag)) == 0) { return; }
    auto* top = reinterpret_cast<ready_node*>(inbox_.fetch_and(stop_tag, std::memory_order_acquire) & ~tags);
    ready_node* first = nullptr;
    while (top != nullptr) {
        ready_node* const next = std::exchange(top->foreign_next, first);
        first = std::exchange(top, next);
    }
    while (first != nullptr) {
        ready_.push_back(*first);
        first = first->foreign_next;
    }
}

void executor::post(ready_node& node) noexcept {
    if (clock_ != nullptr) [[unlikely]] { note_thread(); }
    std::uintptr_t seen = inbox_.load(std::memory_order_relaxed);
    do {
        node.foreign_next = reinterpret_cast<ready_node*>(seen & ~tags);
    } while (!inbox_.compare_exchange_weak(seen, reinterpret_cast<std::uintptr_t>(&node) | (seen & stop_tag),
                                           std::memory_order_acq_rel, std::memory_order_relaxed));
    if ((seen & sleeping_tag) != 0) { wake_sleeper(); }
}

void executor::post(std::function<void()> function) {
    if (clock_ != nullptr) [[unlikely]] { refuse_foreign_thread(); }
    post(*new posted_function(*this, std::move(function)));
}

void executor::wake() noexcept {
    if (clock_ != nullptr) [[unlikely]] { note_thread(); }
    set_tag(poked_tag);
}

void executor::stop() noexcept {
    set_tag(stop_tag);
}

void executor::set_tag(std::uintptr_t tag) noexcept {
    std::uintptr_t seen = inbox_.load(std::memory_order_relaxed);
    while (!inbox_.compare_exchange_weak(seen, (seen & ~sleeping_tag) | tag, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) {}
    if ((seen & sleeping_tag) != 0) { wake_sleeper(); }
}

// The increment is the last that this thread does with the executor.
void executor::wake_sleeper() noexcept {
    reactor_->wake();
    woken_.fetch_add(1, std::memory_order_release);
}

void executor::request_stop() {
    if (current_ == this) {
        stop_source_.request_stop();
    } else {
        post([this] { stop_source_.request_stop(); });
    }
}

std::vector<task_info> executor::shut_down(std::chrono::nanoseconds limit) {
    struct limit_timer final : detail::timer_node {
        explicit limit_timer(executor& of) noexcept : executor_(of) {}
        void on_time() noexcept override { executor_.stop(); }
        executor& executor_;
    };
    limit_timer timer(*this);
    add_timer(timer, now() + limit);
    stop_source_.request_stop();
    run();
    timer.clear_timer();
    return tasks();
}

std::vector<task_info> executor::tasks() const {
    std::vector<task_info> all;
    for (const detail::task_context& context : contexts_) {
        task_info& task = all.emplace_back();
        task.where = context.where;
        task.elsewhere = context.on.load(std::memory_order_relaxed) != this;
        if (task.elsewhere || context.awaiting == nullptr) { continue; }
        task.awaiting = context.awaiting->name();
        task.waiting_for = now() - context.since;
    }
    return all;
}

void executor::keep_failure(std::exception_ptr failure) noexcept {
    if (!failure_) { failure_ = std::move(failure); }
}

detail::link_monitor& executor::links() {
    if (clock_ != nullptr) {
        throw std::system_error(make_error_code(errc::not_in_virtual_time), "an interface of the kernel");
    }
    auto made = std::make_unique<detail::link_monitor>(*this);
    for (const auto& known : monitors_) {
        if (known->same_namespace(*made)) { return *known; }
    }
    monitors_.push_back(std::move(made));
    return *monitors_.back();
}

}  // namespace fluxnet
