// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: descriptors, timers, other executors, and plain tasks.
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/writable.hpp"
#include "fluxnet/runtime/sockets/offload.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <semaphore>
#include <thread>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

class readable_world final : public fault_world {
public:
    explicit readable_world(fault_place&) {}

    task<ending> await_once() override {
        const std::error_code ec = co_await readable(pipe_.read.get());
        if (!ec) { pipe_.take(); }
        co_return ending_of(ec);
    }
    void complete() override { pipe_.put(); }
    void check(const fault_tally& tally) override {
        int left = 0;
        char byte = 0;
        while (::read(pipe_.read.get(), &byte, 1) == 1) { ++left; }
        CHECK(left == tally.completions - tally.completed);
    }

private:
    const pipe_ends pipe_;
};

class writable_world final : public fault_world {
public:
    explicit writable_world(fault_place&) { fill(); }

    task<ending> await_once() override {
        const std::error_code ec = co_await writable(pipe_.write.get());
        if (!ec) { fill(); }
        co_return ending_of(ec);
    }
    void complete() override {
        std::array<char, 4096> bytes;
        while (::read(pipe_.read.get(), bytes.data(), bytes.size()) > 0) {}
    }

private:
    void fill() const noexcept {
        const std::array<char, 4096> bytes{};
        while (::write(pipe_.write.get(), bytes.data(), bytes.size()) > 0) {}
    }

    const pipe_ends pipe_;
};

class signal_world final : public fault_world {
public:
    explicit signal_world(fault_place&) {}

    task<ending> await_once() override {
        try {
            const int number = co_await signals_.next();
            co_return number == SIGWINCH ? ending::completed : number == 0 ? ending::canceled : ending::failed;
        } catch (const std::system_error& refused) { co_return ending_of(refused.code()); }
    }
    void complete() override { REQUIRE(::raise(SIGWINCH) == 0); }
    void check(const fault_tally& tally) override {
        const int left = signals_.take();
        CHECK((left == SIGWINCH) == (tally.completed < tally.completions));
    }

private:
    signal_set signals_{SIGWINCH};  // ignored by default, should it come through
};

class subprocess_world final : public fault_world {
public:
    explicit subprocess_world(fault_place&) {}

    task<ending> await_once() override {
        const exit_result end = co_await child_.wait();
        if (!end.ec) { child_ = start(); }
        co_return ending_of(end.ec);
    }
    void complete() override {
        REQUIRE_FALSE(child_.kill(SIGKILL));
        siginfo_t info{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(child_.pid()), &info, WEXITED | WNOWAIT) == 0);
    }
    void check(const fault_tally& tally) override {
        CHECK(child_.ended().has_value() == (tally.completed < tally.completions));
    }

private:
    static subprocess start() { return subprocess::start({.argv = {"sleep", "1000000"}}).value(); }

    subprocess child_ = start();
};

/// What ends by its own time. Two timers of ours at the same time, one set before it and one after, request the stop.
class timed_world : public fault_world {
public:
    explicit timed_world(fault_place& place) : place_(place) {}

    void complete() override {}
    void let_complete(bool soon) override { soon_ = soon; }
    void race(race_order order, std::stop_source& stop) override {
        if (order == race_order::stop_first) {
            before_.stop = &stop;
        } else {
            after_.stop = &stop;
            fluxnet::detail::inside(place_.loop()).add_timer(after_, until_);
        }
    }
    void let_go() noexcept override {
        before_.clear_timer();
        after_.clear_timer();
    }

protected:
    /// When the await that begins now is to end.
    [[nodiscard]] executor::time_point begin() {
        until_ = place_.loop().now() + (soon_ ? std::chrono::nanoseconds(20ms) : std::chrono::nanoseconds(1h));
        before_.clear_timer();
        fluxnet::detail::inside(place_.loop()).add_timer(before_, until_);
        return until_;
    }

private:
    struct stopping_timer final : fluxnet::detail::timer_node {
        void on_time() noexcept override {
            if (stop != nullptr) { stop->request_stop(); }
        }
        std::stop_source* stop = nullptr;
    };

    fault_place& place_;
    bool soon_ = false;
    executor::time_point until_;
    stopping_timer before_;
    stopping_timer after_;
};

class sleep_world final : public timed_world {
public:
    using timed_world::timed_world;

    task<ending> await_once() override {
        const executor::time_point until = begin();
        const std::error_code ec = co_await sleep_until(until);
        co_return ending_of(ec);
    }
};

/// The limit ends it, by cancelling a task that would wait for ever.
class expiry_world final : public timed_world {
public:
    using timed_world::timed_world;

    task<ending> await_once() override {
        const executor::time_point until = begin();
        const timed<std::error_code> ended = co_await deadline(until, wait_for(never_));
        if (!ended.value) { co_return ending::failed; }
        co_return ended.expired ? ending::completed : ending_of(ended.value);
    }

private:
    event never_;
};

/// What waits for one event, which is its own.
class own_event_world : public fault_world {
public:
    explicit own_event_world(fault_place&) {}
    void complete() override { happened_.set(); }

protected:
    event happened_;
};

class timeout_world final : public own_event_world {
public:
    using own_event_world::own_event_world;
    task<ending> await_once() override {
        const timed<std::error_code> ended = co_await timeout(1h, wait_for(happened_));
        co_return ended.expired ? ending::failed : ending_of(ended.value);
    }
};

class task_world final : public own_event_world {
public:
    using own_event_world::own_event_world;
    task<ending> await_once() override {
        const std::error_code ec = co_await wait_for(happened_);
        co_return ending_of(ec);
    }
};

class yield_world final : public fault_world {
public:
    explicit yield_world(fault_place&) {}
    task<ending> await_once() override {
        const std::error_code ec = co_await yield();
        co_return ending_of(ec);
    }
    void complete() override {}
};

/// The other executor runs on a thread of its own, from complete() on, until it has had its visitor.
class schedule_world final : public fault_world {
public:
    explicit schedule_world(fault_place&) { other_.emplace(); }
    ~schedule_world() override {
        if (thread_.joinable()) { thread_.join(); }
    }

    task<ending> await_once() override {
        const std::error_code ec = co_await schedule_on(*other_);
        if (!ec) { CHECK(executor::current() == &*other_); }
        co_return ending_of(ec);
    }
    void complete() override {
        if (thread_.joinable()) { return; }
        thread_ = std::thread([this] { other_->run(); });
    }
    void let_go() noexcept override {
        if (thread_.joinable()) { thread_.join(); }
    }

private:
    std::optional<executor> other_;
    std::thread thread_;
};

/// Each await's function waits until complete() is called, or has been since the last one began.
class offload_world final : public fault_world {
public:
    explicit offload_world(fault_place&) {}

    task<ending> await_once() override {
        began_ = false;
        const auto function = [this] {
            began_ = true;
            may_end_.acquire();
        };
        const result<void> ended = co_await offload(function);
        co_return ended ? ending::completed : ending_of(ended.error().code);
    }
    void complete() override { may_end_.release(); }
    bool is_under_way() const override { return began_; }
    void let_go() noexcept override { may_end_.release(); }

private:
    std::counting_semaphore<> may_end_{0};
    std::atomic<bool> began_ = false;
};

}  // namespace

std::span<const fault_entry> waiting_faults() {
    static const std::array all{
        fault_entry{.file = "descriptor_awaiter.hpp",
                    .awaiter = "descriptor_awaiter",
                    .what = "readable of a pipe",
                    .make = make_world<readable_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "descriptor_awaiter.hpp",
                    .awaiter = "descriptor_awaiter",
                    .what = "writable of a full pipe",
                    .make = make_world<writable_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "signal_set.hpp",
                    .awaiter = "next",
                    .what = "the next signal",
                    .make = make_world<signal_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "subprocess.hpp",
                    .awaiter = "wait",
                    .what = "the end of a program",
                    .make = make_world<subprocess_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "sleep.hpp",
                    .awaiter = "sleep_awaiter",
                    .what = "a sleep",
                    .make = make_world<sleep_world>,
                    .has_own_time = true},
        fault_entry{.file = "timeout.hpp",
                    .awaiter = "timeout_awaiter",
                    .what = "a time limit that is kept",
                    .make = make_world<timeout_world>},
        fault_entry{.file = "timeout.hpp",
                    .awaiter = "timeout_awaiter",
                    .what = "a time limit that passes",
                    .make = make_world<expiry_world>,
                    .has_own_time = true},
        fault_entry{.file = "offload.hpp",
                    .awaiter = "offload_awaiter",
                    .what = "a function on another thread",
                    .make = make_world<offload_world>,
                    .cancellable = false,
                    .needs_descriptor = true},
        fault_entry{.file = "task.hpp", .awaiter = "awaiter", .what = "a task", .make = make_world<task_world>},
        fault_entry{.file = "schedule.hpp",
                    .awaiter = "yield_awaiter",
                    .what = "a yield",
                    .make = make_world<yield_world>,
                    .cancellable = false,
                    .completes_by_itself = true},
        fault_entry{.file = "schedule.hpp",
                    .awaiter = "schedule_awaiter",
                    .what = "the way to another executor",
                    .make = make_world<schedule_world>,
                    .cancellable = false,
                    .why_not_in_virtual_time = "the other executor would run on another thread"},
    };
    return all;
}

}  // namespace fluxnet::test
