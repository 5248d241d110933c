// SPDX-License-Identifier: BSD-3-Clause
// `executor_tasks`: the strands that were spawned on an executor and have not ended, in front and in the background.
//
// Owned by the executor, which hears of the exceptions that end them. Threads: the one that drives the executor.
#pragma once

#include "fluxnet/runtime/core/detail/strand.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <exception>
#include <source_location>
#include <utility>

namespace fluxnet::detail {

/// What was spawned on an executor and has not ended.
class executor_tasks final : private strand_owner {
public:
    explicit executor_tasks(executor& owner) noexcept : owner_(owner) {}

    void start(task<void> work, const std::source_location& where) {
        strands_.start(*this, owner_, owner_.stop_token(), where, std::move(work));
    }
    void start_background(task<void> work, const std::source_location& where) {
        background_.start(*this, owner_, owner_.stop_token(), where, std::move(work));
    }
    [[nodiscard]] bool any() const noexcept { return !strands_.empty(); }
    [[nodiscard]] bool any_background() const noexcept { return !background_.empty(); }
    void clear() noexcept {
        strands_.clear();
        background_.clear();
        strands_.clear();  // what the others' frames spawned as they went
    }

private:
    void strand_ended(std::exception_ptr failure) noexcept override {
        if (failure) { owner_.keep_failure(std::move(failure)); }
    }

    executor& owner_;
    strand_list strands_;
    strand_list background_;
};

}  // namespace fluxnet::detail
