// SPDX-License-Identifier: BSD-3-Clause
// A point in time until which a test is willing to wait.
//
// A plain value. Functions of test support take one where others take a timeout, so that a wait made of several steps
// keeps one limit: `child.wait(5s)` and `child.wait(limit)` both read well.
#pragma once

#include <chrono>

namespace fluxnet::test {

/// A moment of the steady clock; made from a duration it lies that far in the future.
class deadline {
public:
    using clock = std::chrono::steady_clock;

    template <class Rep, class Period>
    deadline(std::chrono::duration<Rep, Period> from_now)
        : at_(clock::now() + std::chrono::ceil<clock::duration>(from_now)) {}
    deadline(clock::time_point at) noexcept : at_(at) {}

    [[nodiscard]] bool passed() const noexcept { return clock::now() >= at_; }

    /// Returns the time left, never negative, rounded up to whole milliseconds: what poll(2) takes.
    [[nodiscard]] int left_ms() const noexcept {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - clock::now()).count();
        constexpr long one_day_ms = 86'400'000;
        if (left <= 0) return 0;
        return static_cast<int>(left < one_day_ms ? left : one_day_ms);
    }

private:
    clock::time_point at_;
};

}  // namespace fluxnet::test
