// SPDX-License-Identifier: BSD-3-Clause
// `driver`: turns a fluxnet executor by handlers of an Asio executor, and lets Asio wait for it.
//
// Shared by an `execution` and everything that was started on it. Threads: any thread may start something; the executor is
// driven by the threads that run the Asio executor's context, one at a time.
//
// How it goes. A turn is a handler in the driver's strand: it polls the executor once. If there is more to do the next turn
// is posted, behind what else the context has to do. If there is not, and the executor has work, the driver waits through
// Asio for the executor's descriptor and for its next timer. If the executor has no work the driver waits for nothing: what
// it has waited for is cancelled, so that it does not keep the context from ending.
//
// Locks. The strand lets one turn follow the other without blocking threads of the context. `mutex_` is for the others: a
// thread outside the strand that closes the driver, or destroys a handle bound to its executor, waits until the turn under
// way has ended. It is recursive, because what runs in a turn may do so too; a driver that is closed in its own turn is
// cleared when that turn ends.
//
// Handlers of what has ended in a turn are dispatched after it, by the same handler of the strand.
//
// The end. close(), by the end of the `execution`: frames are destroyed, and the handlers of what was under way are told so.
// end_with_context(): the same, but handlers are destroyed without a call, as Asio does with all others.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/asio/detail/driver_service.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/wait_traits.hpp>
#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <system_error>
#include <thread>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace fluxnet::asio::detail {

class driver;

/// By which a task finds the driver of the executor that it runs on.
class driver_link final : public fluxnet::service {
public:
    explicit driver_link(executor&) noexcept {}
    driver* by = nullptr;  // null: somebody else drives the executor
};

/// An operation whose handler has to be told. Linked into one driver.
class ended_operation : public boost::intrusive::list_base_hook<> {
public:
    /// Tells the handler. Destroys the operation, whatever the handler throws.
    virtual void send_off() = 0;

    /// Destroys the operation and its handler.
    virtual void drop() noexcept = 0;

protected:
    ended_operation() = default;
    ended_operation(const ended_operation&) = delete;
    ended_operation& operator=(const ended_operation&) = delete;
    ~ended_operation() = default;
};

/// Something that has still to be done though no task waits for it. Linked into one driver while turns are excluded.
class rest_of_work : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    [[nodiscard]] virtual bool unfinished() noexcept = 0;

protected:
    rest_of_work() = default;
    rest_of_work(rest_of_work&&) noexcept : list_base_hook() {}
    rest_of_work& operator=(rest_of_work&&) noexcept { return *this; }
    ~rest_of_work() = default;
};

class driver final : public context_member, public std::enable_shared_from_this<driver> {
public:
    using strand_type = net::strand<net::any_io_executor>;

    driver(const net::any_io_executor& on, reactor_kind kind) : loop_({}, kind, reactor_threads::changing), parts_(on) {
        loop_.use_service<driver_link>().by = this;
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
    [[nodiscard]] const strand_type& strand() const noexcept { return parts_->strand; }

    /// Has a turn made soon. Any thread.
    void schedule() {
        if (context_ends_ || turn_due_.exchange(true, std::memory_order_acq_rel)) { return; }
        net::post(strand(), [self = shared_from_this()] { self->make_due_turn(); });
    }

    /// Spawns `work`; destroys it instead when the driver was closed. In the strand.
    void start(task<void> work, const std::source_location& where) {
        const std::lock_guard lock(mutex_);
        if (closed_) { return; }
        loop_.after_sleep();  // else the executor would be woken by a system call
        loop_.spawn(std::move(work), where);
        schedule();
    }

    /// Has the handler of `one` told: after the turn, if one is under way. Any thread.
    void end(ended_operation& one) {
        const std::lock_guard lock(mutex_);
        ended_.push_back(one);
        if (!in_turn_) { post_sending(); }
    }

    /// Looks at `one` before it lets the context end. While turns are excluded.
    void add(rest_of_work& one) noexcept { rests_.push_back(one); }

    /// Calls `function` while no other thread makes a turn.
    template <class F>
    void exclusively(F function) {
        const outsider here(*this);
        function();
    }

    /// Destroys the frames of all tasks, now or at the end of the turn that calls this.
    void close() noexcept {
        const outsider here(*this);
        if (std::exchange(closed_, true) || in_turn_) { return; }
        clear();
    }

    /// Tells whether frames are destroyed for good, and not because something of theirs was given up.
    [[nodiscard]] bool closed() const noexcept { return closed_; }

    /// Tells whether handlers are to be destroyed without a call.
    [[nodiscard]] bool context_ends() const noexcept { return context_ends_; }

private:
    /// What belongs to the context, and must go before it.
    struct parts {
        explicit parts(const net::any_io_executor& on) : strand(on), descriptor(strand), timer(strand) {}
        strand_type strand;
        net::posix::basic_stream_descriptor<strand_type> descriptor;
        net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, strand_type> timer;
    };

    /// Holds the mutex for somebody who may be outside the strand. Turns that follow each other would hardly let go of it.
    class outsider {
    public:
        explicit outsider(driver& of) : of_(of) {
            of_.outsiders_.fetch_add(1, std::memory_order_relaxed);
            of_.mutex_.lock();
        }
        outsider(const outsider&) = delete;
        outsider& operator=(const outsider&) = delete;
        ~outsider() {
            of_.mutex_.unlock();
            of_.outsiders_.fetch_sub(1, std::memory_order_relaxed);
        }

    private:
        driver& of_;
    };

    std::shared_ptr<context_member> keep() noexcept override { return weak_from_this().lock(); }

    void end_with_context() noexcept override {
        const std::lock_guard lock(mutex_);
        service_ = nullptr;
        context_ends_ = true;
        closed_ = true;
        clear();
        while (!ended_.empty()) { take_ended()->drop(); }
        parts_.reset();
    }

    void make_due_turn() {
        if (turn_due_.load(std::memory_order_acquire)) { turn(); }
    }

    // Handlers are told after the turn, outside the mutex: they may be called at once, and do what they like.

    void turn() {
        const later rest(*this);
        make_turn();
        send_off();
    }

    void send_off() {
        while (ended_operation* const one = take_ended()) { one->send_off(); }
    }

    void post_sending() {
        net::post(strand(), [self = shared_from_this()] {
            const later rest(*self);
            self->send_off();
        });
    }

    /// Has those handlers told later that an exception of another one has left.
    class later {
    public:
        explicit later(driver& of) noexcept : of_(of) {}
        later(const later&) = delete;
        later& operator=(const later&) = delete;
        ~later() {
            const std::lock_guard lock(of_.mutex_);
            if (!of_.ended_.empty()) { of_.post_sending(); }
        }

    private:
        driver& of_;
    };

    [[nodiscard]] ended_operation* take_ended() noexcept {
        const std::lock_guard lock(mutex_);
        if (ended_.empty()) { return nullptr; }
        ended_operation& first = ended_.front();
        ended_.pop_front();
        return &first;
    }

    void make_turn() {
        while (outsiders_.load(std::memory_order_relaxed) != 0) { std::this_thread::yield(); }
        const std::lock_guard lock(mutex_);
        turn_due_.exchange(false, std::memory_order_acq_rel);
        if (closed_) { return; }
        bool again = true;
        in_turn_ = true;
        try {
            again = loop_.poll();
        } catch (...) {
            end_turn(true);
            throw;  // what left a task leaves the context's run(), as it leaves the executor's
        }
        end_turn(again);
    }

    void end_turn(bool again) {
        in_turn_ = false;
        if (closed_) {
            clear();
        } else if (loop_.stopped()) {
            rest();
        } else if (again) {
            schedule();
        } else if (!has_work()) {
            rest();
        } else if (const auto plan = loop_.prepare_sleep()) {
            await_descriptor(plan->fd);
            await_time(plan->deadline);
        } else {
            schedule();
        }
    }

    [[nodiscard]] bool has_work() noexcept {
        return loop_.has_work() || std::ranges::any_of(rests_, [](rest_of_work& each) { return each.unfinished(); });
    }

    // Waits have numbers: a handler with another one than the present has been cancelled, or was too late to be.

    void await_descriptor(int fd) {
        if (!parts_->descriptor.is_open()) { watch(fd); }
        if (descriptor_wait_ != 0) { return; }
        descriptor_wait_ = ++last_wait_;
        parts_->descriptor.async_wait(
            net::posix::descriptor_base::wait_read,
            [self = shared_from_this(), number = descriptor_wait_](const boost::system::error_code&) {
                if (self->ends(self->descriptor_wait_, number)) { self->turn(); }
            });
    }

    void await_time(const std::optional<std::chrono::steady_clock::time_point>& deadline) {
        if (!deadline) {
            stop_timer();
            return;
        }
        if (timer_wait_ != 0 && parts_->timer.expiry() == *deadline) { return; }
        timer_wait_ = ++last_wait_;
        parts_->timer.expires_at(*deadline);  // cancels the wait before
        parts_->timer.async_wait([self = shared_from_this(), number = timer_wait_](const boost::system::error_code&) {
            if (self->ends(self->timer_wait_, number)) { self->turn(); }
        });
    }

    /// Tells whether the wait with this number has just ended.
    [[nodiscard]] bool ends(std::uint64_t& present, std::uint64_t number) noexcept {
        const std::lock_guard lock(mutex_);
        if (present != number) { return false; }
        present = 0;
        return true;
    }

    /// Has Asio know an epoll that is readable when `fd` is. Asio makes what it waits for non-blocking, and the executor's
    /// descriptor has to stay a blocking one.
    void watch(int fd) {
        boost::system::error_code refused;
        const int made = fluxnet::detail::above_streams(::epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{};
        event.events = EPOLLIN;
        if (made < 0 || ::epoll_ctl(made, EPOLL_CTL_ADD, fd, &event) != 0) {
            refused.assign(errno, boost::system::system_category());
        } else {
            parts_->descriptor.assign(made, refused);
        }
        if (!refused) { return; }
        if (made >= 0) { ::close(made); }
        throw std::system_error(static_cast<std::error_code>(refused), "watch an executor's descriptor");
    }

    void stop_timer() noexcept {
        if (std::exchange(timer_wait_, 0) != 0) { parts_->timer.cancel(); }
    }

    /// Waits for nothing.
    void rest() noexcept {
        if (!parts_) { return; }
        stop_timer();
        boost::system::error_code ignored;
        if (std::exchange(descriptor_wait_, 0) != 0) { parts_->descriptor.cancel(ignored); }
    }

    void clear() noexcept {
        rest();
        loop_.discard_tasks();
    }

    executor loop_;
    std::recursive_mutex mutex_;  // guards the rest, but for what may be read at any time:
    std::atomic<bool> turn_due_ = false;
    std::atomic<unsigned> outsiders_ = 0;  // that hold the mutex or wait for it
    std::optional<parts> parts_;           // nothing once the context has gone
    driver_service* service_ = nullptr;
    boost::intrusive::list<ended_operation> ended_;
    boost::intrusive::list<rest_of_work, boost::intrusive::constant_time_size<false>> rests_;
    std::uint64_t last_wait_ = 0;
    std::uint64_t descriptor_wait_ = 0;  // 0: the descriptor is not awaited
    std::uint64_t timer_wait_ = 0;       // likewise
    bool in_turn_ = false;
    bool closed_ = false;
    bool context_ends_ = false;
};

/// The driver of the executor that the calling thread drives. Throws std::system_error: no_executor, wrong_executor.
[[nodiscard]] inline driver& driver_here() {
    executor* const here = executor::current();
    if (here == nullptr) { fluxnet::detail::throw_no_executor(); }
    driver* const by = here->use_service<driver_link>().by;
    if (by == nullptr) {
        throw std::system_error(make_error_code(errc::wrong_executor),
                                "await an operation of Boost.Asio on an executor that no fluxnet::asio::execution drives");
    }
    return *by;
}

}  // namespace fluxnet::asio::detail
