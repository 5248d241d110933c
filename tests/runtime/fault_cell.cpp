// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/fault_cell.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/leaves_nothing.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned seconds_a_cell = 300;  // only what hangs takes so long

constinit std::array<char, 200> cell_name{};

/// Ends the process when a cell takes too long, and says which.
class watchdog {
public:
    explicit watchdog(const std::string& name) {
        std::snprintf(cell_name.data(), cell_name.size(), "this cell of the fault matrix hangs: %s\n", name.c_str());
        ::signal(SIGALRM, [](int) {
            static_cast<void>(!::write(STDERR_FILENO, cell_name.data(), std::strlen(cell_name.data())));
            ::_exit(1);
        });
        ::alarm(seconds_a_cell);
    }
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;
    ~watchdog() { ::alarm(0); }
};

[[nodiscard]] bool destroys(fault how) {
    return how == fault::destroyed_while_suspended || how == fault::destroyed_when_completed;
}

[[nodiscard]] bool completes(fault how) {
    return how != fault::stopped_before_start && how != fault::stopped_while_suspended &&
           how != fault::stopped_by_another_thread && how != fault::shut_down && how != fault::destroyed_while_suspended;
}

/// Calls a function once, at the end of the turn in which it was given: what becomes ready then has to wait for the next.
class turn_end final : private fluxnet::detail::turn_handler {
public:
    explicit turn_end(executor& on) { fluxnet::detail::inside(on).add_handler(*this); }
    turn_end(const turn_end&) = delete;
    turn_end& operator=(const turn_end&) = delete;

    void call(std::function<void()> function) { function_ = std::move(function); }

private:
    void end_turn() noexcept override {
        if (const auto function = std::exchange(function_, {})) { function(); }
    }
    void before_sleep() noexcept override {}
    void after_sleep() noexcept override {}
    void end_run() noexcept override {}

    std::function<void()> function_;
};

/// One run of a cell.
class fault_run {
public:
    fault_run(const fault_entry& entry, fault how, temper on, std::uint64_t seed)
        : entry_(entry), how_(how), place_(on, seed), turn_end_(place_.loop()), world_(entry.make(place_)) {
        world_->let_complete(completes(how));
    }

    void run() {
        if (how_ == fault::shut_down || destroys(how_)) {
            place_.loop().spawn(observed());
        } else {
            place_.loop().spawn([this]() -> task<void> {
                if (how_ == fault::stopped_before_start || how_ == fault::stopped_before_ready_start) { prepare(); }
                stoppable under = run_under(stop_.get_token(), observed());
                co_await under;
            });
        }
        place_.loop().spawn(drive());
        place_.loop().run();
        if (thread_.joinable()) { thread_.join(); }
        if (how_ == fault::shut_down) { shut_down(); }
        check_ending();
        if (how_ == fault::stopped_while_suspended && ended_ == ending::canceled) { await_again(); }
        finish();
    }

private:
    task<void> observed() {
        started_ = true;
        const ending ended = co_await world_->await_once();
        if (ended == ending::completed) { ++tally_.completed; }
        ended_ = ended;
    }

    void prepare() {
        if (how_ == fault::stopped_before_ready_start) { complete(); }
        stop_.request_stop();
    }

    void complete() {
        ++tally_.completions;
        world_->complete();
    }

    [[nodiscard]] bool refused() const noexcept { return entry_.needs_descriptor && place_.in_virtual_time(); }
    [[nodiscard]] bool over() const noexcept { return ended_ != ending::none; }

    /// Waits until the await is suspended, and long enough that the kernel knows of it.
    task<void> suspended() {
        while (!started_) { static_cast<void>(co_await yield()); }
        if (entry_.completes_by_itself || place_.in_virtual_time()) { co_return; }
        do { static_cast<void>(co_await sleep_for(1ms)); } while (!over() && !world_->is_under_way());
    }

    task<void> drive() {
        co_await suspended();
        switch (how_) {
            case fault::none: complete(); break;
            case fault::stopped_before_start:
            case fault::stopped_before_ready_start: break;
            case fault::stopped_while_suspended:
                stop_.request_stop();
                if (!entry_.cancellable) { complete(); }
                break;
            case fault::stopped_then_completed: race(race_order::stop_first); break;
            case fault::completed_then_stopped: race(race_order::completion_first); break;
            case fault::stopped_by_another_thread:
                thread_ = std::thread([this] {
                    std::this_thread::sleep_for(1ms);
                    stop_.request_stop();
                });
                if (!entry_.cancellable) { complete(); }
                break;
            case fault::raced_by_another_thread: race_a_thread(); break;
            case fault::destroyed_when_completed: turn_end_.call([this] { complete(); }); [[fallthrough]];
            case fault::shut_down:
            case fault::destroyed_while_suspended: place_.loop().stop(); break;
        }
    }

    void race(race_order order) {
        ++tally_.completions;
        world_->race(order, stop_);
    }

    void race_a_thread() {
        thread_ = std::thread([this] {
            running_.store(true);
            stop_.request_stop();
        });
        while (!running_.load()) { std::this_thread::yield(); }
        complete();
    }

    void shut_down() {
        if (!entry_.cancellable && !over()) { complete(); }
        const std::vector<task_info> left = place_.loop().shut_down(10s);
        CHECK(left.empty());
    }

    void check_ending() const {
        CHECK(started_);
        if (refused()) {
            CHECK((over() || destroys(how_)));  // completed: it was ready, and needed no descriptor
            CHECK(ended_.load() != ending::failed);
            return;
        }
        switch (how_) {
            case fault::none: CHECK(ended_.load() == ending::completed); break;
            case fault::stopped_before_start:
                CHECK(ended_.load() == (entry_.never_suspends ? ending::completed : ending::canceled));
                break;
            case fault::stopped_while_suspended:
            case fault::stopped_by_another_thread:
            case fault::shut_down:
                if (entry_.completes_by_itself && entry_.needs_descriptor && ended_ == ending::canceled) { break; }
                CHECK(ended_.load() == (entry_.cancellable ? ending::canceled : ending::completed));
                break;
            case fault::stopped_before_ready_start:
            case fault::stopped_then_completed:
            case fault::completed_then_stopped:
            case fault::raced_by_another_thread:
                CHECK((ended_.load() == ending::completed || ended_.load() == ending::canceled));
                break;
            case fault::destroyed_while_suspended:
                CHECK((ended_.load() == ending::none || entry_.completes_by_itself));
                break;
            case fault::destroyed_when_completed:
                CHECK((ended_.load() == ending::none || !entry_.cancellable || entry_.completes_by_itself ||
                       entry_.has_own_time));
                break;
        }
    }

    /// What was cancelled has taken nothing away: the next await gets it.
    void await_again() {
        ended_ = ending::none;
        started_ = false;
        world_->let_complete(true);
        place_.loop().spawn(observed());
        place_.loop().spawn([this]() -> task<void> {
            co_await suspended();
            complete();
        });
        place_.loop().run();
        CHECK(ended_.load() == (refused() ? ending::not_in_virtual_time : ending::completed));
    }

    void finish() {
        if (destroys(how_)) {
            tally_.destroyed = !over();
        } else {
            world_->check_handles(tally_);
        }
        world_->let_go();
        place_.close();
        world_->check(tally_);
    }

    const fault_entry& entry_;
    const fault how_;
    fault_place place_;
    turn_end turn_end_;  // before the handlers of sockets, which see at the end of the turn what it has done
    std::unique_ptr<fault_world> world_;
    std::stop_source stop_;
    std::thread thread_;
    std::atomic<bool> running_ = false;
    bool started_ = false;
    std::atomic<ending> ended_ = ending::none;  // a coroutine that went elsewhere ends on another thread
    fault_tally tally_;
};

const char* name_of(fault how) {
    switch (how) {
        case fault::none: return "completes";
        case fault::stopped_before_start: return "stopped before start";
        case fault::stopped_before_ready_start: return "stopped before start, ready";
        case fault::stopped_while_suspended: return "stopped while suspended";
        case fault::stopped_then_completed: return "stopped, then completed";
        case fault::completed_then_stopped: return "completed, then stopped";
        case fault::stopped_by_another_thread: return "stopped by another thread";
        case fault::raced_by_another_thread: return "raced by another thread";
        case fault::shut_down: return "shut down";
        case fault::destroyed_while_suspended: return "destroyed while suspended";
        case fault::destroyed_when_completed: return "destroyed when completed";
    }
    return "";
}

}  // namespace

std::optional<std::string> why_no_cell(const fault_entry& entry, fault how, temper on) {
    if (on != temper::virtual_time) { return {}; }
    if (!entry.why_not_in_virtual_time.empty()) { return entry.why_not_in_virtual_time; }
    if (how == fault::stopped_by_another_thread || how == fault::raced_by_another_thread) {
        return "virtual time knows no other thread";
    }
    return {};
}

void run_fault_cell(const fault_entry& entry, fault how, temper on) {
    const std::string name = entry.what + " (" + entry.awaiter + "), " + name_of(how) + ", " + name_of(on);
    CAPTURE(name);
    const watchdog watch_it(name);
    // In virtual time each round has another order of wake-ups.
    const std::uint64_t rounds = how == fault::raced_by_another_thread || on == temper::virtual_time ? 10 : 2;
    leaves_nothing([&](std::uint64_t round) { fault_run(entry, how, on, round).run(); }, rounds);
}

}  // namespace fluxnet::test
