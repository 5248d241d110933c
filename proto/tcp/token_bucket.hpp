// SPDX-License-Identifier: BSD-3-Clause
// `token_bucket`: so many in a second, and no more than so many at once.
//
//     token_bucket resets(1000, 100);
//     if (resets.take(now)) { answer(); }
//
// A small value. Threads: one at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fluxnet::proto::tcp {

class token_bucket {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Full at the beginning. A rate of 0 gives `burst` tokens and no more.
    token_bucket(std::uint32_t rate, std::uint32_t burst) noexcept : rate_(rate), burst_(burst), tokens_(burst) {}

    /// Takes a token; false when there is none.
    [[nodiscard]] bool take(time_point now) noexcept {
        if (tokens_ == 0) { refill(now); }
        if (tokens_ == 0) { return false; }
        if (tokens_ == burst_) { since_ = now; }
        --tokens_;
        return true;
    }

private:
    void refill(time_point now) noexcept {
        if (rate_ == 0 || now <= since_) { return; }
        const std::chrono::nanoseconds each = std::chrono::nanoseconds(std::chrono::seconds(1)) / rate_;
        const auto gained = static_cast<std::uint64_t>((now - since_) / each);
        if (gained >= burst_) {
            tokens_ = burst_;
            since_ = now;
        } else {
            tokens_ = static_cast<std::uint32_t>(gained);
            since_ += each * static_cast<std::int64_t>(gained);
        }
    }

    std::uint32_t rate_;
    std::uint32_t burst_;
    std::uint32_t tokens_;
    time_point since_{};  // what the time after it has brought is not counted yet
};

}  // namespace fluxnet::proto::tcp
