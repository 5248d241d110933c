// SPDX-License-Identifier: BSD-3-Clause
// `token_bucket`: allows so many things a second, and a burst of so many at once.
//
//     token_bucket bucket(100, 20);            // 100 a second, 20 at once
//     if (bucket.take(now)) { send(); }
//
// The state is one moment: the one from which the bucket would have filled to its present level. A value; one thread at a
// time changes it.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::detail {

class token_bucket {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Makes a full bucket. Both numbers are above 0; the rate is at most 1,000,000,000.
    constexpr token_bucket(std::uint32_t rate, std::uint32_t burst) noexcept
        : interval_(std::chrono::nanoseconds(1'000'000'000 / rate)), whole_(interval_ * burst) {
        assert(rate != 0 && burst != 0 && rate <= 1'000'000'000);
    }

    /// Tells whether so many tokens are there.
    [[nodiscard]] constexpr bool holds(time_point now, std::uint32_t count = 1) const noexcept {
        return std::max(empty_at_, now - whole_) + interval_ * count <= now;
    }

    /// Takes tokens if they are there, and tells whether.
    [[nodiscard]] constexpr bool take(time_point now, std::uint32_t count = 1) noexcept {
        if (!holds(now, count)) { return false; }
        pay(now, count);
        return true;
    }

    /// Takes tokens whether or not they are there; what is missing is owed.
    constexpr void pay(time_point now, std::uint32_t count) noexcept {
        empty_at_ = std::max(empty_at_, now - whole_) + interval_ * count;
    }

    /// When so many tokens, at most a burst, are there; long ago when nothing was ever taken.
    [[nodiscard]] constexpr time_point when(std::uint32_t count = 1) const noexcept { return empty_at_ + interval_ * count; }

private:
    std::chrono::nanoseconds interval_;  // between two tokens
    std::chrono::nanoseconds whole_;     // the time that fills an empty bucket
    time_point empty_at_ = time_point::min();
};

}  // namespace fluxnet::proto::detail
