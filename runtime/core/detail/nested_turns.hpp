// SPDX-License-Identifier: BSD-3-Clause
// `nested_turns`: turns of an executor that are made inside one, by a destructor that has to wait for other threads.
//
// Lies on the stack. Threads: the one that drives the executor.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"

#include <cstdint>

namespace fluxnet::detail {

class nested_turns {
public:
    explicit nested_turns(executor& of) noexcept : of_(of), resumed_at_(resumed_at), ready_left_(inside(of).ready_left_) {}
    nested_turns(const nested_turns&) = delete;
    nested_turns& operator=(const nested_turns&) = delete;
    ~nested_turns() {
        resumed_at = resumed_at_;
        inside(of_).ready_left_ = ready_left_;
    }

    /// Resumes what is ready. What leaves a spawned task comes out of run() later.
    void work() noexcept {
        of_.start_turn();
        for (auto& handler : inside(of_).handlers_) { handler.end_turn(); }
    }

    /// Looks at the reactor; sleeps until something comes when there is nothing to do.
    void rest() noexcept {
        try {
            if (inside(of_).has_ready()) {
                inside(of_).reactor().poll();
            } else {
                of_.rest();
            }
        } catch (...) { of_.keep_failure(std::current_exception()); }
    }

    /// Tells whether the calling thread drives `one`, now or whenever somebody does.
    [[nodiscard]] static bool driven_here(const executor& one) noexcept {
        if (executor::current() == &one || one.clock_ != nullptr) { return true; }
        return one.threads_ == reactor_threads::one &&
               one.thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

private:
    executor& of_;
    const std::uintptr_t resumed_at_;
    const unsigned ready_left_;
};

}  // namespace fluxnet::detail
