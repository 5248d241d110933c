// SPDX-License-Identifier: BSD-3-Clause
// `back_off`: how long to wait before each attempt at something that fails for a while: twice as long as before, up to a
// limit.
//
// A value. Threads: one at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace fluxnet::detail {

class back_off {
public:
    constexpr back_off(std::chrono::milliseconds first, std::chrono::milliseconds most) noexcept
        : first_(first), most_(most), next_(first) {}

    /// The pause before the next attempt.
    [[nodiscard]] std::chrono::milliseconds next() noexcept { return std::exchange(next_, std::min(2 * next_, most_)); }

    /// Begins anew: an attempt has succeeded.
    void restart() noexcept { next_ = first_; }

private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds most_;
    std::chrono::milliseconds next_;
};

/// The pauses while a queue of a Unix socket is full: the kernel does not tell when there is room.
[[nodiscard]] constexpr back_off until_queue_has_room() noexcept {
    return {std::chrono::milliseconds(1), std::chrono::milliseconds(32)};
}

}  // namespace fluxnet::detail
