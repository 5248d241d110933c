// SPDX-License-Identifier: BSD-3-Clause
// `dump_on_signal`: hands a list of an executor's tasks to a function of the user's whenever a signal arrives.
//
// For a program that seems to hang: `dump_on_signal tell(loop, SIGQUIT, [](const std::string& text) { ... });`. It is no
// task: run() ends without regard to it. Made and destroyed on the executor's thread, or while no thread runs it; make it
// before other threads, which then inherit that the signal is blocked. The function runs on the executor's thread, between
// two turns.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <functional>
#include <string>

namespace fluxnet {

class dump_on_signal final : private detail::turn_handler, private poll_operation {
public:
    /// Throws std::system_error when the kernel gives no descriptor for the signal.
    dump_on_signal(executor& of, int number, std::function<void(const std::string&)> tell)
        : executor_(of), signals_{number}, tell_(std::move(tell)) {
        detail::inside(executor_).add_handler(*this);
    }
    dump_on_signal(const dump_on_signal&) = delete;
    dump_on_signal& operator=(const dump_on_signal&) = delete;
    ~dump_on_signal() { end_run(); }

private:
    void end_turn() noexcept override {
        if (!armed()) { detail::inside(executor_).reactor().arm(*this, signals_.fd(), POLLIN); }
    }
    void before_sleep() noexcept override { end_turn(); }
    void after_sleep() noexcept override {}
    void end_run() noexcept override {
        if (armed()) { detail::inside(executor_).reactor().disarm_now(*this); }
    }
    void on_ready(int result) noexcept override {
        if (result > 0 && signals_.take() != 0) { tell_(to_text(executor_.tasks())); }
    }

    executor& executor_;
    signal_set signals_;
    const std::function<void(const std::string&)> tell_;
};

}  // namespace fluxnet
