// SPDX-License-Identifier: BSD-3-Clause
// `dump_on_signal`: hands a list of an executor's tasks to a function of the user's whenever a signal arrives.
//
// For a program that seems to hang:
//
//     executor loop;
//     dump_on_signal tell(loop, SIGQUIT, [](const std::string& tasks) { std::fputs(tasks.c_str(), stderr); });
//     loop.spawn(serve());
//     loop.run();  // kill -QUIT tells what each task awaits
//
// It is no task: run() ends without regard to it. It blocks its signal as a signal_set does, so what signal_set.hpp says
// about other threads and about child processes holds here too.
// Threads: made and destroyed on the executor's thread, or while no thread runs it; before other threads are made, which
// then inherit that the signal is blocked. The function runs on the executor's thread, between two turns.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <exception>
#include <functional>
#include <string>
#include <system_error>

namespace fluxnet {

class dump_on_signal final : private detail::turn_handler, private poll_operation {
public:
    /// Throws std::system_error as the constructor of a signal_set does. An exception that leaves `tell` comes out of run(),
    /// or of whatever drives the executor, as std::system_error with errc::callback_threw: its text holds that of the
    /// exception, which is nested in it. Later signals are told of again when the executor is run again.
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
        if (result <= 0 || signals_.take() == 0) { return; }
        try {
            tell_(to_text(executor_.tasks()));
        } catch (const std::exception& thrown) { executor_.keep_failure(named(thrown.what())); } catch (...) {
            executor_.keep_failure(named("something that is no std::exception"));
        }
    }

    /// Wraps the exception that is being handled. When that fails, for want of memory, the failure is what counts.
    static std::exception_ptr named(const char* what) noexcept {
        try {
            std::throw_with_nested(std::system_error(make_error_code(errc::callback_threw),
                                                     std::string("the function given to dump_on_signal threw: ") + what));
        } catch (...) { return std::current_exception(); }
    }

    executor& executor_;
    signal_set signals_;
    const std::function<void(const std::string&)> tell_;
};

}  // namespace fluxnet
